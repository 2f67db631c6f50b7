//! What bodies and frames may hold: no key twice, something to read, sizes in characters, errors that name the field.

use errand_devkit::model::Turn;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, TestSystem, socket::Socket};

mod keys;

const KIB: usize = 1024;

/// A body as it is written, keys twice and all.
async fn post_raw(system: &TestSystem, path: &str, body: impl Into<String>) -> Answer {
    let request = system.request(Method::POST, "ada", path);
    let request = request.header("content-type", "application/json");
    Answer::of(request.body(body.into())).await
}

/// The same to the stream of events.
async fn stream_raw(system: &TestSystem, body: impl Into<String>) -> Answer {
    let request = system
        .request(Method::POST, "ada", "chat")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json");
    Answer::of(request.body(body.into())).await
}

fn message(answer: &Answer) -> &str {
    answer.body["error"]["message"].as_str().expect("a message")
}

/// `text` as JSON with every character escaped, as some libraries write all that is not ASCII.
fn escaped(text: &str) -> String {
    let units = text.encode_utf16();
    let units: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_anything_to_read_is_refused() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let mut socket = Socket::connect(&system, "ada").await;
    let invisible = [
        " ",
        "\n\t\r",
        "\u{a0}\u{2003}\u{3000}",
        // Zero-width space and joiners, byte order mark, word joiner, soft hyphen.
        "\u{200b}\u{200c}\u{200d}\u{feff}\u{2060}\u{ad}",
        // Directions, fillers, a blank pattern of Braille, variation selectors, tags.
        "\u{202e}\u{2066}\u{061c}",
        "\u{3164}\u{ffa0}\u{115f}\u{1160}",
        "\u{2800}",
        "\u{fe0f}\u{e0100}\u{e0020}",
        "\u{180e}\u{34f}\u{7f}\u{85}\u{1}",
    ];
    for text in invisible {
        let refused = Answer::of(system.post_chat("ada", &json!({"message": text}))).await;
        assert_eq!(
            refused.assert_error(400, "invalid_request")["field"],
            "message",
            "{text:?}"
        );
        for content in [json!(text), json!([{"type": "text", "text": text}])] {
            let input = json!({"threadId": uuid::Uuid::now_v7(), "runId": uuid::Uuid::now_v7(),
                "messages": [{"role": "user", "content": content}]});
            stream_raw(&system, input.to_string())
                .await
                .assert_error(400, "invalid_request");
        }
        let answer = socket.call("run.start", json!({"message": text})).await;
        assert_eq!(answer["error"], "invalid_request", "{text:?}");
    }
    assert_eq!(system.count("select count(*) from conversations").await, 0);
    // What is within something to read stays as it came.
    for text in [" a ", "\u{1f469}\u{200d}\u{1f467}", "\u{200f}שלום", "."] {
        let said = Answer::of(system.post_chat("ada", &json!({"message": text}))).await;
        said.assert_ok();
        let asked = system.model.requests().pop().expect("a request");
        assert_eq!(errand_devkit::model::request::last_user(&asked), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_a_message_is_of_its_characters_however_they_are_written() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let mut socket = Socket::connect(&system, "ada").await;
    for (count, is_fine) in [(8_000, true), (8_001, false)] {
        let text = escaped(&"\u{1f600}".repeat(count));
        let body = format!(r#"{{"message":{text}}}"#);
        let answers = [
            post_raw(&system, "chat", body.clone()).await,
            stream_raw(&system, body).await,
        ];
        for answer in answers {
            if is_fine {
                assert_eq!(answer.status, 200, "{}", answer.body);
            } else {
                let details = answer.assert_error(400, "invalid_request");
                assert_eq!(details["field"], "message");
            }
        }
        let id = count.to_string();
        socket
            .send(&format!(
                r#"{{"id":"{id}","method":"run.start","params":{{"message":{text}}}}}"#
            ))
            .await;
        let answer = socket.until(|frame| frame["id"] == *id).await;
        let kind = if is_fine { "success" } else { "error" };
        assert_eq!(answer["type"], kind, "{answer}");
    }
    let stored =
        "select count(*) from messages where role = 'user' and char_length(content) = 8000";
    assert_eq!(system.count(stored).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_has_its_own_limit_and_a_body_has_one() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    // `{"x":"…"}` is eight bytes and what is in it, whatever is written around it.
    let metadata = |length: usize| json!({"message": "hi", "metadata": {"x": "y".repeat(length)}});
    let large = Answer::of(system.post_chat("ada", &metadata(64 * KIB - 8))).await;
    large.assert_ok();
    let spaced = format!(
        r#"{{"message":"hi",{}"metadata":{{"x":1}}}}"#,
        " ".repeat(200 * KIB)
    );
    post_raw(&system, "chat", spaced).await.assert_ok();
    let larger = Answer::of(system.post_chat("ada", &metadata(64 * KIB - 7))).await;
    let details = larger.assert_error(413, "payload_too_large");
    assert_eq!(details["field"], "metadata");
    // What is no input of AG-UI's is not read any further, also where such input would be welcome.
    let padded = format!(r#"{{"message":"hi"{}}}"#, " ".repeat(256 * KIB));
    post_raw(&system, "chat", padded.clone())
        .await
        .assert_error(413, "payload_too_large");
    stream_raw(&system, padded)
        .await
        .assert_error(413, "payload_too_large");
    assert_eq!(system.count("select count(*) from runs").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_field() {
    let system = TestSystem::start().await;
    let run = uuid::Uuid::nil();
    let decision = format!("runs/{run}/decision");
    let cases: &[(&str, Value, &str, &str)] = &[
        (
            "chat",
            json!({"message": "hi", "conversation_id": "not-a-uuid"}),
            "conversation_id",
            "conversation_id must be a UUID.",
        ),
        (
            "chat",
            json!({"message": "hi", "conversation_id": 5}),
            "conversation_id",
            "conversation_id must be a UUID.",
        ),
        ("chat", json!({"message": 5}), "message", "message"),
        ("chat", json!({}), "message", "message"),
        (
            "chat",
            json!({"message": "hi", "mesage": 1}),
            "mesage",
            "mesage",
        ),
        (
            "chat",
            json!({"message": "hi", "metadata": "text"}),
            "metadata",
            "metadata",
        ),
        (
            "chat",
            json!({"message": "hi", "on_busy": "sometimes"}),
            "on_busy",
            "on_busy",
        ),
        (
            &decision,
            json!({"approve": true, "run_id": "x"}),
            "run_id",
            "run_id must be a UUID.",
        ),
        (&decision, json!({"approve": "yes"}), "approve", "approve"),
        (
            &decision,
            json!({"decisions": {"a/1/0": "yes"}}),
            "decisions.a/1/0",
            "decisions.a/1/0",
        ),
    ];
    for (path, body, field, said) in cases {
        let refused = post_raw(&system, path, body.to_string()).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], *field, "{}", refused.body);
        assert!(message(&refused).contains(said), "{}", refused.body);
    }
    for (field, input) in [
        (
            "threadId",
            json!({"threadId": 1, "runId": "r", "messages": []}),
        ),
        (
            "threadId",
            json!({"threadId": "", "runId": "r", "messages": []}),
        ),
        (
            "threadId",
            json!({"threadId": "x".repeat(129), "runId": "r", "messages": []}),
        ),
        (
            "threadId",
            json!({"threadId": "a\u{0}b", "runId": "r", "messages": []}),
        ),
        ("threadId", json!({"runId": "r", "messages": []})),
        ("runId", json!({"threadId": "t", "messages": []})),
        (
            "runId",
            json!({"threadId": "t", "runId": "x".repeat(129), "messages": []}),
        ),
        ("messages", json!({"threadId": "t", "runId": "r"})),
        (
            "messages",
            json!({"threadId": "t", "runId": "r", "messages": {}}),
        ),
        (
            "messages",
            json!({"threadId": "t", "runId": "r", "messages": [{"role": "assistant", "content": "hi"}]}),
        ),
        (
            "messages[0].role",
            json!({"threadId": "t", "runId": "r", "messages": [{"role": 1, "content": "hi"}]}),
        ),
    ] {
        let refused = stream_raw(&system, input.to_string()).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], field, "{}", refused.body);
    }
    let mut socket = Socket::connect(&system, "ada").await;
    for (method, params, said) in [
        (
            "subscribe",
            json!({"threadId": "x"}),
            "threadId must be a UUID",
        ),
        (
            "subscribe",
            json!({"threadId": run, "after": {"runId": "x", "seq": 1}}),
            "after.runId must be a UUID",
        ),
        (
            "run.start",
            json!({"message": "hi", "runId": 7}),
            "runId must be a UUID",
        ),
        ("run.start", json!({"message": 7}), "message"),
    ] {
        let answer = socket.call(method, params).await;
        assert_eq!(answer["error"], "invalid_request", "{answer}");
        let message = answer["message"].as_str().expect("a message");
        assert!(message.contains(said), "{answer}");
    }
}
