//! `/mcp` within the API: what differs from a process of its own, and that it counts, records and tells as that does.

use std::time::Duration;

use errand_devkit::identity::TokenSpec;
use reqwest::{Method, RequestBuilder};
use rmcp::{
    ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation,
    },
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use crate::system::{
    Answer, Options, TestSystem, database,
    mcp::{Mcp, Server},
    process::Process,
    socket::Socket,
};

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

fn add(title: &str) -> Value {
    json!({"name": "add_task", "arguments": {"user_id": "ada", "title": title}})
}

/// Carries the lines of a client that speaks MCP as over standard input and output to `/mcp` and back.
async fn carry(lines: DuplexStream, url: String, token: String) {
    let (read, mut write) = tokio::io::split(lines);
    let mut read = BufReader::new(read).lines();
    let http = reqwest::Client::new();
    while let Ok(Some(line)) = read.next_line().await {
        let request = http
            .post(&url)
            .bearer_auth(&token)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        let answer = request.body(line).send().await.expect("an answer");
        let mut answer = answer.text().await.expect("a body");
        // A notification is answered with nothing.
        if !answer.is_empty() {
            answer.push('\n');
            write.write_all(answer.as_bytes()).await.expect("a reader");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_the_five_tools_and_calls_them() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (url, token) = (format!("{}/mcp", system.url), system.identity.token("ada"));
    tokio::spawn(carry(theirs, url, token));
    let info = Implementation::new("a client", "1");
    let client = ClientConfig::new(ClientCapabilities::default(), info).serve(ours);
    let client = client.await.expect("a handshake");
    let told = client.peer().peer_info().expect("a server");
    let instructions = told.instructions.clone().unwrap_or_default();
    assert!(instructions.contains("\"ada\""), "{instructions}");
    let tools = client.peer().list_all_tools().await.expect("tools");
    assert_eq!(tools.len(), 5);
    let call = async |tool: &str, arguments: Value| {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match client.peer().call_tool_once(params).await {
            Ok(CallToolResponse::Complete(result)) => result.structured_content.expect("a result"),
            other => panic!("{other:?}"),
        }
    };
    let task = |user: &str| json!({"user_id": user, "title": "buy milk"});
    let added = call("add_task", task("ada")).await;
    assert_eq!(added["success"], true, "{added}");
    let foreign = call("add_task", task("bob")).await;
    assert_eq!(foreign["error"]["type"], "unauthorized_access", "{foreign}");
    let listed = call("list_tasks", json!({"user_id": "ada"})).await;
    assert_eq!(listed["tasks"][0]["title"], "buy milk", "{listed}");
    // The rest of the API shows the same rows, and each call is on record.
    let tasks = system.get("ada", "tasks").await;
    assert_eq!(tasks.assert_ok()["tasks"][0]["id"], added["task_id"]);
    let recorded = "select count(*) from mcp_calls where user_id = 'ada' and result is not null";
    assert_eq!(system.count(recorded).await, 3);
    assert!(system.titles("bob").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_page_may_call_and_a_foreign_one_may_not() {
    let listed = ["--allowed-origins", "https://app.example.com"];
    let mcp = Mcp::by(Server::Api, &listed).await;
    let own = mcp.url.strip_suffix("/mcp").unwrap().to_owned();
    let port = own.rsplit(':').next().unwrap();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let send = |origin: &str| {
        let request = mcp.post(&ping).bearer_auth(mcp.identity.token("ada"));
        Answer::of(request.header("origin", origin))
    };
    for (origin, is_admitted) in [
        (own.as_str(), true),
        ("https://app.example.com", true),
        ("https://app.example.com:8443", false),
        ("http://app.example.com", false),
        (&format!("http://localhost:{port}"), false),
        ("http://127.0.0.1:6274", false),
        ("https://evil.example", false),
        ("null", false),
        ("", false),
    ] {
        let answer = send(origin).await;
        match is_admitted {
            true => drop(answer.assert_ok().clone()),
            false => drop(answer.assert_error(403, "forbidden").clone()),
        }
    }
    // As a browser asks before it sends, and what it lets the page read then.
    let preflight = |origin: &str| {
        let asked = "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name";
        let request = mcp.bare(Method::OPTIONS, "/mcp").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        Answer::of(request.header("access-control-request-headers", asked))
    };
    let allowed = preflight("https://app.example.com").await;
    assert_eq!(allowed.status, 200, "{}", allowed.body);
    let headers = allowed.header("access-control-allow-headers");
    assert!(headers.contains("mcp-protocol-version"), "{headers}");
    preflight("https://evil.example")
        .await
        .assert_error(403, "forbidden");
    let answer = send("https://app.example.com").await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    let exposed = answer.header("access-control-expose-headers");
    assert!(exposed.contains("www-authenticate"), "{exposed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_reached_by_the_names_that_the_api_is_reached_by() {
    const URL: &str = "https://mcp.example.com/mcp";
    let any = Mcp::by(Server::Api, &[]).await;
    let limited = Mcp::by(Server::Api, &["--mcp-allowed-hosts", "app.example.com"]).await;
    // MCP_URL may be that of errand-mcp, which shares the environment.
    let named = Mcp::by(Server::Api, &["--mcp-url", URL]).await;
    let metadata = |mcp: &Mcp, host: &str| {
        mcp.bare(Method::GET, METADATA)
            .header("host", host.to_owned())
    };
    let resource = async |request: RequestBuilder| {
        let answer = Answer::of(request).await;
        answer.assert_ok()["resource"].as_str().unwrap().to_owned()
    };
    for host in ["app.example.com", "other.example:8080", "localhost"] {
        let told = resource(metadata(&any, host)).await;
        assert_eq!(told, format!("http://{host}/mcp"));
        // Behind a router that ends TLS.
        let secure = metadata(&any, host).header("x-forwarded-proto", "https");
        assert_eq!(resource(secure).await, format!("https://{host}/mcp"));
        assert_eq!(resource(metadata(&named, host)).await, URL);
    }
    for (host, is_served) in [
        ("app.example.com", true),
        ("localhost:8080", true),
        ("other.example", false),
        ("app.example.com@other.example", false),
    ] {
        let answer = Answer::of(metadata(&limited, host)).await;
        match is_served {
            true => drop(answer.assert_ok().clone()),
            false => drop(answer.assert_error(403, "forbidden").clone()),
        }
    }
    // The page under such a name is the API's own.
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for (origin, status) in [
        ("https://app.example.com", 200),
        ("https://a.example.com", 403),
    ] {
        let request = any.post(&ping).bearer_auth(any.identity.token("ada"));
        let request = request.header("host", "app.example.com");
        let answer = Answer::of(request.header("origin", origin)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

/// A client that has read the metadata has a token for `/mcp`, and with it nothing else of the user.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_mcp_alone_opens_nothing_else() {
    const URL: &str = "https://app.example.com/mcp";
    let system = TestSystem::with(Options {
        workers: Some(0),
        api: vec!["--mcp-url", URL],
        ..Options::default()
    })
    .await;
    let spec = TokenSpec {
        user: "ada".to_owned(),
        claims: json!({"aud": URL}),
        ..TokenSpec::default()
    };
    let token = system.identity.token_with(&spec).unwrap();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let listed = Answer::of(system.mcp().post(&list).bearer_auth(&token)).await;
    listed.assert_ok();
    let tasks = system.request_with(&token, Method::GET, "ada", "tasks");
    Answer::of(tasks).await.assert_error(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_wherever_they_are_made() {
    let url = database().await;
    let limit = ["--rate-calls-per-minute", "3"];
    let api = Mcp::of_an_api_on(&url, &limit).await;
    let program = Mcp::on(&url, &limit).await;
    for (mcp, status) in [(&api, 200), (&program, 200), (&api, 200), (&program, 429)] {
        let answer = mcp.ask("ada", "tools/call", add("again")).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let refused = api.ask("ada", "tools/call", add("again")).await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    let pause: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&pause), "{pause}");
    assert_eq!(api.titles("ada").await.len(), 3);
}

/// What was done at the last moment is told all the same, to the sockets of other processes.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_calls_before_the_end_are_told() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mut page = Socket::connect(&system, "ada").await;
    let environment = [
        ("DATABASE_URL", system.database_url.as_str()),
        ("BETTER_AUTH_URL", system.identity.issuer()),
        ("PORT", "0"),
        ("HOST", "127.0.0.1"),
    ];
    let mut process = Process::start("errand-api", &[], environment).await;
    let line = process.until_says("serving").await;
    let address = line.split("address=").nth(1).expect("an address").trim();
    process.until_says("the database is ready").await;
    let http = reqwest::Client::new();
    // The first is told at once; the second comes in the pause behind it.
    for title in ["one", "two"] {
        let request = http
            .post(format!("http://{address}/mcp"))
            .header("accept", "application/json, text/event-stream")
            .bearer_auth(system.identity.token("ada"))
            .json(
                &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": add(title)}),
            );
        Answer::of(request).await.assert_ok();
    }
    process.signal("TERM").await;
    loop {
        let heard = page.until(|frame| frame["type"] == "tasks.changed").await;
        page.frames.retain(|frame| *frame != heard);
        let tasks = system.get("ada", "tasks").await;
        if tasks.assert_ok()["tasks"].as_array().map(Vec::len) == Some(2) {
            break;
        }
    }
    assert!(process.ends(Duration::from_secs(5)).await.success());
}
