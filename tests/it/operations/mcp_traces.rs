//! Traces of calls from outside: each call of a tool at `/mcp` is a span, below what its client says, whichever program serves it.

use serde_json::{Value, json};

use super::traces::{TRACE, api, system, traceparent};
use crate::system::{
    TestSystem,
    otlp::{Collector, SOON, Span},
    process::Process,
};

/// Another one, by `_meta`.
const OTHER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Has errand-mcp serve in the place of the API.
async fn errand_mcp(system: &mut TestSystem, more: &[(&str, &str)]) -> Process {
    let own = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
        SOON,
    ];
    let environment = own.iter().chain(more).copied();
    let mut program = Process::start("errand-mcp", &[], environment).await;
    let line: Value = serde_json::from_str(&program.until_says("serving").await).expect("a line");
    system.url = format!("http://{}", line["address"].as_str().expect("an address"));
    program.until_says("the database is ready").await;
    program
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

fn shown(span: &Span) -> (&str, i32, bool) {
    (span.service.as_str(), span.kind, span.is_error)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_from_outside_are_spans_below_what_their_client_says() {
    for program in ["errand-api", "errand-mcp"] {
        let collector = Collector::start().await;
        let mut system = system().await;
        let telemetry = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
            ("LOG_USER_IDS", "hashed"),
        ];
        let _process = match program {
            "errand-api" => api(&mut system, &telemetry).await,
            _ => errand_mcp(&mut system, &telemetry).await,
        };
        let token = system.identity.token("ada");
        let ask = |message: Value| system.mcp().post(&message).bearer_auth(&token);

        let added = call(
            "add_task",
            json!({"user_id": "ada", "title": "a secret plan"}),
        );
        let added = ask(added)
            .header("traceparent", traceparent(TRACE, "01"))
            .send()
            .await;
        assert_eq!(added.expect("an answer").status(), 200);
        let span = collector.span(TRACE, "execute_tool add_task").await;
        assert_eq!(shown(&span), (program, 2, false));
        assert_eq!(span.parent, "b7ad6b7169203331");
        assert_eq!(span.get("gen_ai.operation.name"), "execute_tool");
        assert_eq!(span.get("gen_ai.tool.name"), "add_task");
        assert_eq!(span.get("mcp.method.name"), "tools/call");
        assert!(
            span.get("user.id")
                .as_str()
                .is_some_and(|id| id.starts_with("u-"))
        );

        // By the call itself, and one that comes to an error.
        let mut missing = call(
            "complete_task",
            json!({"user_id": "ada", "task_id": "nothing like it"}),
        );
        missing["params"]["_meta"] = json!({"traceparent": traceparent(OTHER, "01")});
        ask(missing).send().await.expect("an answer");
        let span = collector.span(OTHER, "execute_tool complete_task").await;
        assert_eq!(shown(&span), (program, 2, true));
        assert_eq!(span.get("error.type"), "tool_error");

        // What a client makes up is nobody's name, and a call without a trace begins one.
        ask(call("a secret tool", json!({})))
            .send()
            .await
            .expect("an answer");
        let unknown = |spans: &[Span]| {
            spans
                .iter()
                .find(|span| span.name == "execute_tool unknown")
                .cloned()
        };
        let span = collector.until(unknown).await;
        assert!(span.parent.is_empty() && span.trace != TRACE, "{span:?}");
        assert!(!collector.was_told("secret"));
    }
}
