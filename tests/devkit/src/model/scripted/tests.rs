//! The wire format, each fault and each dialect, seen by a client over a socket.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::received::{Received, ask, question};
use super::{Dialect, Gate, ScriptedModel, Turn};

async fn model() -> ScriptedModel {
    ScriptedModel::start().await.unwrap()
}

/// What a client receives when the model takes this turn.
async fn receive(turn: Turn) -> Received {
    let model = model().await;
    model.push(turn);
    ask(&model.base_url(), &question("hello")).await.unwrap()
}

#[tokio::test]
async fn streams_text_as_the_reference_does() {
    let r = receive(Turn::text("Good morning, Ann.").usage(7, 3)).await;
    let deltas: Vec<&Value> = r.chunks.iter().map(|c| &c["choices"][0]["delta"]).collect();
    assert_eq!(
        *deltas[0],
        json!({"role": "assistant", "content": "", "refusal": null})
    );
    assert_eq!(*deltas[1], json!({"content": "Good "}));
    assert_eq!(r.text(), "Good morning, Ann.");
    assert_eq!(r.chunks[4]["choices"][0]["finish_reason"], "stop");
    assert_eq!(r.chunks[5]["choices"], json!([]));
    assert_eq!(r.chunks[5]["usage"]["total_tokens"], 10);
    assert!(r.done && !r.broken && r.chunks.len() == 6);
}

#[tokio::test]
async fn streams_calls_as_the_reference_does() {
    let turn = Turn::call("add_task", json!({"title": "buy milk"}))
        .call_id("call_a")
        .and_call("list_tasks", json!({}));
    let r = receive(turn).await;
    assert_eq!(r.chunks[0]["choices"][0]["delta"]["content"], Value::Null);
    let opening = &r.chunks[1]["choices"][0]["delta"]["tool_calls"][0];
    let function = json!({"name": "add_task", "arguments": ""});
    assert_eq!(
        *opening,
        json!({"index": 0, "id": "call_a", "type": "function", "function": function})
    );
    let calls = r.calls();
    assert_eq!(
        (calls[0].arguments.as_str(), calls[1].arguments.as_str()),
        (r#"{"title":"buy milk"}"#, "{}")
    );
    assert_eq!(r.finish(), Some("tool_calls"));
}

#[tokio::test]
async fn answers_whole_when_no_stream_is_asked_for() {
    let model = model().await;
    model.script(|_| Turn::call("list_tasks", json!({})).and_text("One moment."));
    let mut request = question("hello");
    request["stream"] = json!(false);
    let r = ask(&model.base_url(), &request).await.unwrap();
    let body: Value = serde_json::from_str(&r.raw).unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["content"], "One moment.");
    assert_eq!(
        body["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
        "list_tasks"
    );
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn the_queue_comes_before_the_script() {
    let model = model().await;
    model.script(|request| {
        Turn::text(
            request["messages"][0]["content"]
                .as_str()
                .unwrap_or_default(),
        )
    });
    model.push(Turn::text("first"));
    let mut texts = Vec::new();
    for text in ["a", "b"] {
        texts.push(
            ask(&model.base_url(), &question(text))
                .await
                .unwrap()
                .text(),
        );
    }
    assert_eq!(texts, ["first", "b"]);
    assert_eq!(
        (
            model.request_count(),
            model.requests().len(),
            model.unused_turns()
        ),
        (2, 2, 0)
    );
    assert_eq!(model.requests()[1]["messages"][0]["content"], "b");
}

#[tokio::test]
async fn errors_at_the_status_line() {
    let r = receive(Turn::status(429).header("retry-after", 1).body("slow down")).await;
    assert_eq!(
        (r.status, r.retry_after.as_deref(), r.raw.as_str()),
        (429, Some("1"), "slow down")
    );
    let r = receive(Turn::status(503)).await;
    assert!(r.raw.contains("server_error"), "{}", r.raw);
    let unscripted = ask(&model().await.base_url(), &question("hello"))
        .await
        .unwrap();
    assert_eq!(unscripted.status, 400);
}

#[tokio::test]
async fn cuts_and_stalls() {
    let r = receive(Turn::text("one two three").cut_after(2)).await;
    assert!(
        r.broken && r.chunks.len() == 2 && r.text() == "one ",
        "{r:?}"
    );
    let r = receive(Turn::text("one two three").stall_after(2)).await;
    assert!(r.silent && r.chunks.len() == 2, "{r:?}");
    let r = receive(Turn::text("one").cut_after(99)).await;
    assert!(r.broken && !r.done && r.finish() == Some("stop"), "{r:?}");
    let r = receive(Turn::text("one").cut_after(0)).await;
    assert!(r.broken && r.status == 200 && r.raw.is_empty(), "{r:?}");

    let model = model().await;
    model.push(Turn::text("one").stall_after(0));
    let hung = tokio::time::timeout(
        Duration::from_millis(300),
        ask(&model.base_url(), &question("hello")),
    )
    .await;
    assert!(hung.is_err());
    model.aborted_seen(1).await.unwrap();
}

#[tokio::test]
async fn chunks_that_are_not_as_expected() {
    let r = receive(Turn::text("one two").malformed_after(2)).await;
    assert!(r.raw.contains("\"cont\n") && r.text() == "one two" && r.done);
    let r = receive(Turn::text("one two").error_after(2, 502, "upstream")).await;
    assert_eq!(r.chunks.last().unwrap()["error"]["message"], "upstream");
    assert!(!r.done && r.text() == "one ");
    let r = receive(Turn::text("one").raw_after(1, ": a comment\n\n")).await;
    assert!(r.raw.contains(": a comment") && r.done);
    let r = receive(Turn::raw(["data: {\"a\"", ":1}\n\n", "data: [DONE]\n\n"])).await;
    assert_eq!(r.raw, "data: {\"a\":1}\n\ndata: [DONE]\n\n");
    let r = receive(Turn::call_raw("add_task", "{\"title\": ")).await;
    assert_eq!(r.calls()[0].arguments, "{\"title\": ");
}

#[tokio::test]
async fn ends_that_are_not_as_expected() {
    let r = receive(Turn::text("one").without_done()).await;
    assert!(!r.done && !r.broken && r.finish() == Some("stop"));
    let r = receive(Turn::text("one").without_finish()).await;
    assert!(r.done && r.finish().is_none());
    let r = receive(Turn::text("one").finish("content_filter")).await;
    assert_eq!(r.finish(), Some("content_filter"));
    let r = receive(Turn::empty().without_usage()).await;
    assert!(r.done && r.text().is_empty() && r.calls().is_empty() && r.usage().is_none());
}

#[tokio::test]
async fn endless_streams_end_when_the_client_leaves() {
    for turn in [
        Turn::endless("word "),
        Turn::endless_call("add_task", "xxxx"),
    ] {
        let model = model().await;
        model.push(turn);
        let client = reqwest::Client::new();
        let url = format!("{}/chat/completions", model.base_url());
        let mut response = client
            .post(url)
            .json(&question("hello"))
            .send()
            .await
            .unwrap();
        let mut received = 0;
        while received < 1_000_000 {
            received += response.chunk().await.unwrap().unwrap().len();
        }
        assert_eq!((model.in_flight(), model.aborted()), (1, 0));
        drop(response);
        model.aborted_seen(1).await.unwrap();
        model.idle().await.unwrap();
    }
}

#[tokio::test]
async fn pauses() {
    let start = Instant::now();
    let pause = Duration::from_millis(40);
    // Three events follow the first: a word, the finish reason and the usage.
    receive(
        Turn::text("one")
            .first_byte_after(pause * 2)
            .chunk_every(pause),
    )
    .await;
    assert!(start.elapsed() >= pause * 5, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_gate_holds_the_answer() {
    let (model, gate) = (model().await, Gate::closed());
    for _ in 0..2 {
        model.push(Turn::text("one two").gate_after(2, &gate));
    }
    let url = model.base_url();
    let asking = tokio::spawn(async move { ask(&url, &question("hello")).await });
    model.requests_seen(1).await.unwrap();
    gate.reached(1).await.unwrap();
    assert_eq!((model.in_flight(), asking.is_finished()), (1, false));
    gate.admit_one();
    assert_eq!(asking.await.unwrap().unwrap().text(), "one two");
    assert!(
        ask(&model.base_url(), &question("hello"))
            .await
            .unwrap()
            .silent
    );
    gate.open();
}

#[tokio::test]
async fn dropping_the_model_ends_its_streams() {
    let model = model().await;
    model.push(Turn::text("one two").stall_after(2));
    let url = model.base_url();
    let client = reqwest::Client::new();
    let request = client
        .post(format!("{url}/chat/completions"))
        .json(&question("hello"));
    let mut response = request.try_clone().unwrap().send().await.unwrap();
    drop(model);
    while let Ok(Some(_)) = response.chunk().await {}
    assert!(request.send().await.is_err());
}

#[tokio::test]
async fn refuses_what_a_strict_provider_refuses() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calls = |ids: &[&str]| {
        let calls: Vec<Value> = ids.iter().map(|id| call(id)).collect();
        json!({"role": "assistant", "content": null, "tool_calls": calls})
    };
    let odd_call = |name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": function}]})
    };
    let tool = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "{}"});
    let user = json!({"role": "user", "content": "hello"});
    let cases = [
        (
            vec![user.clone(), calls(&["a", "b"]), tool("b"), tool("a")],
            None,
        ),
        (vec![], Some("empty array")),
        (vec![user.clone(), tool("a")], Some("must be a response")),
        (
            vec![user.clone(), calls(&["a"]), tool("b")],
            Some("must be a response"),
        ),
        (
            vec![user.clone(), calls(&["a", "b"]), tool("a")],
            Some("did not have response messages: b"),
        ),
        (
            vec![user.clone(), calls(&["a"]), user.clone()],
            Some("did not have response messages: a"),
        ),
        (vec![calls(&["a"]), tool("a"), tool("a")], Some("Duplicate")),
        (
            vec![calls(&["a"]), tool("a"), user.clone(), tool("a")],
            Some("must be a response"),
        ),
        (vec![user.clone(), user.clone()], Some("must alternate")),
        (
            vec![user.clone(), calls(&["a"]), tool("a"), user.clone()],
            Some("must alternate"),
        ),
        (
            vec![user.clone(), odd_call("functions.f", "{}")],
            Some("tool_calls"),
        ),
        (
            vec![user.clone(), odd_call("f", "null")],
            Some("tool_calls"),
        ),
        (
            vec![json!({"role": "assistant", "content": null})],
            Some("expected a string"),
        ),
        (
            vec![json!({"role": "assistant", "content": null, "tool_calls": []})],
            Some("non-empty array"),
        ),
        (vec![json!({"role": "robot", "content": ""})], Some("robot")),
    ];
    let model = model().await;
    model.script(|_| Turn::text("fine"));
    for (messages, complaint) in cases {
        let request = json!({"model": "stand-in", "stream": true, "messages": messages});
        let r = ask(&model.base_url(), &request).await.unwrap();
        let wanted = if complaint.is_some() { 400 } else { 200 };
        assert_eq!(r.status, wanted, "{request}: {}", r.raw);
        assert!(
            r.raw.contains(complaint.unwrap_or("fine")),
            "{request}: {}",
            r.raw
        );
    }
    let toolless = json!({"model": "m", "messages": [user], "tools": []});
    assert_eq!(ask(&model.base_url(), &toolless).await.unwrap().status, 400);
}

#[tokio::test]
async fn every_dialect_says_the_same() {
    for dialect in Dialect::ALL {
        let model = model().await;
        model.speak(dialect);
        model.push(
            Turn::call("add_task", json!({"title": "Müll"}))
                .and_call("list_tasks", json!({}))
                .and_text("On it."),
        );
        let r = ask(&model.base_url(), &question("hello")).await.unwrap();
        let calls: Vec<(String, String)> = r
            .calls()
            .into_iter()
            .map(|c| (c.name, c.arguments))
            .collect();
        let wanted = [("add_task", "{\"title\":\"Müll\"}"), ("list_tasks", "{}")]
            .map(|(n, a)| (n.into(), a.into()));
        assert_eq!(calls, wanted, "{dialect:?}");
        assert_eq!(r.text(), "On it.", "{dialect:?}");
        assert_eq!(r.done, dialect != Dialect::NoDone, "{dialect:?}");
        assert!(r.usage().is_some() && r.finish().is_some(), "{dialect:?}");
    }
}

#[tokio::test]
async fn dialects_have_their_habits() {
    let in_dialect = async |dialect: Dialect, turn: Turn| {
        let model = model().await;
        model.speak(dialect);
        model.push(turn);
        ask(&model.base_url(), &question("hello")).await.unwrap()
    };
    let calls = || Turn::call("f", json!({"a": "long enough for two"})).and_call("g", json!({}));
    let parts = |r: &Received| -> Vec<Value> {
        let part = |c: &Value| c["choices"][0]["delta"]["tool_calls"][0].clone();
        r.chunks.iter().map(part).filter(Value::is_object).collect()
    };

    let r = in_dialect(Dialect::Gemini, calls()).await;
    assert_eq!((r.finish(), parts(&r).len()), (Some("stop"), 2));
    assert!(parts(&r).iter().all(|part| part.get("index").is_none()));
    let r = in_dialect(Dialect::Gemini, Turn::status(429)).await;
    let body: Value = serde_json::from_str(&r.raw).unwrap();
    assert_eq!(
        (&body[0]["error"]["code"], &body[0]["error"]["status"]),
        (&json!(429), &json!("RESOURCE_EXHAUSTED"))
    );

    let r = in_dialect(Dialect::Ollama, calls()).await;
    assert_eq!((r.finish(), parts(&r).len()), (Some("stop"), 2));
    assert!(
        parts(&r).iter().all(|part| part["index"] == 0) && parts(&r)[0]["id"] != parts(&r)[1]["id"]
    );
    let choices = r
        .chunks
        .iter()
        .map(|c| &c["choices"][0])
        .filter(|choice| choice.is_object());
    assert!(
        choices
            .into_iter()
            .all(|choice| choice["delta"]["role"] == "assistant")
    );

    let r = in_dialect(Dialect::Vllm, calls()).await;
    assert_eq!(r.chunks[0]["choices"][0]["delta"]["content"], "");
    assert_eq!(parts(&r)[1]["function"].get("name"), Some(&Value::Null));

    let r = in_dialect(Dialect::OpenRouter, Turn::text("one")).await;
    assert!(r.raw.starts_with(": OPENROUTER PROCESSING\n\n") && r.finish() == Some("end_turn"));
    let r = in_dialect(
        Dialect::OpenRouter,
        Turn::text("one").error_after(2, 502, "upstream"),
    )
    .await;
    assert_eq!(
        (r.finish(), r.chunks.last().map(|c| &c["error"]["code"])),
        (Some("error"), Some(&json!(502)))
    );
}
