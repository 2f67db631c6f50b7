//! Streams as providers send them, and what they mean: one line each. Whatever came, the conversation goes on, with a stand-in
//! that refuses every request a strict provider would refuse.

use errand_devkit::model::Turn;
use serde_json::{Value, json};

use crate::system::TestSystem;

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum Call {
    /// `add_task` with this title is made.
    Made(&'static str),
    /// It is recorded under this name, and not made.
    Refused(&'static str),
}

use Call::{Made, Refused};

/// Pieces of tool calls, one chunk each, and what becomes of the calls, in order.
#[rustfmt::skip]
const CALLS: &[(&str, &[&str], &[Call])] = &[
    // Keys.
    ("indexes from 1", &[r#"{"index":1,"id":"a","function":{"name":"add_task"}}"#, r#"{"index":2,"id":"b","function":{"name":"add_task"}}"#, r#"{"index":1,"function":{"arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":2,"function":{"arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("one call at index 1, in pieces", &[r#"{"index":1,"id":"a","function":{"name":"add_task","arguments":"{\"ti"}}"#, r#"{"index":1,"function":{"arguments":"tle\":"}}"#, r#"{"index":1,"function":{"arguments":"\"A\"}"}}"#], &[Made("A")]),
    ("a gap", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":7,"id":"b","function":{"name":"add_task"}}"#, r#"{"index":7,"function":{"arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("out of order", &[r#"{"index":1,"id":"b","function":{"name":"add_task"}}"#, r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":1,"function":{"arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("arguments before their head", &[r#"{"index":0,"function":{"arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":0,"id":"a","function":{"name":"add_task"}}"#], &[Made("A")]),
    ("one index, several ids", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":0,"id":"b","function":{"name":"add_task","arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("one index, several ids, in pieces", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":"}}"#, r#"{"index":0,"function":{"arguments":"\"A\"}"}}"#, r#"{"index":0,"id":"b","function":{"name":"add_task","arguments":"{\"title\":"}}"#, r#"{"index":0,"function":{"arguments":"\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("no index, ids", &[r#"{"id":"a","function":{"name":"add_task"}}"#, r#"{"id":"b","function":{"name":"add_task"}}"#, r#"{"id":"b","function":{"arguments":"{\"title\":\"B\"}"}}"#, r#"{"id":"a","function":{"arguments":"{\"title\":\"A\"}"}}"#], &[Made("A"), Made("B")]),
    ("no key at all, whole", &[r#"{"function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#, r#"{"function":{"name":"add_task","arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("no key at all, one after the other", &[r#"{"function":{"name":"add_task","arguments":"{\"ti"}}"#, r#"{"function":{"arguments":"tle\":\"A\"}"}}"#, r#"{"function":{"name":"add_task"}}"#, r#"{"function":{"arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("an id that comes late", &[r#"{"index":0,"function":{"name":"add_task","arguments":"{\"ti"}}"#, r#"{"index":0,"id":"a","function":{"arguments":"tle\":\"A\"}"}}"#], &[Made("A")]),
    ("ids that change", &[r#"{"index":0,"id":"a1","function":{"name":"add_task","arguments":"{\"ti"}}"#, r#"{"index":0,"id":"a2","function":{"arguments":"tle\":"}}"#, r#"{"index":0,"id":"a3","function":{"arguments":"\"A\"}"}}"#], &[Made("A")]),
    ("empty ids, null names", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":""}}"#, r#"{"index":0,"id":"","function":{"name":null,"arguments":"{\"title\":\"A\"}"}}"#], &[Made("A")]),
    ("everything repeated", &[r#"{"index":0,"id":"a","type":"function","function":{"name":"add_task","arguments":"{\"ti"}}"#, r#"{"index":0,"id":"a","type":"function","function":{"name":"add_task","arguments":"tle\":\"A\"}"}}"#], &[Made("A")]),
    ("one id for two indexes", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":1,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"B\"}"}}"#], &[Made("A"), Made("B")]),
    ("arguments as an object", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":{"title":"A"}}}"#], &[Made("A")]),
    ("half a character in each chunk", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"\ud83d"}}"#, r#"{"index":0,"function":{"arguments":"\ude00\"}"}}"#], &[Made("😀")]),
    ("an empty piece", &["{}", r#"{"type":"function"}"#, r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#], &[Made("A")]),
    // What cannot be told apart.
    ("no key, interleaved", &[r#"{"id":"a","function":{"name":"add_task"}}"#, r#"{"id":"b","function":{"name":"delete_task"}}"#, r#"{"function":{"arguments":"{\"title\":\"A\"}"}}"#], &[Refused("add_task"), Refused("delete_task")]),
    ("one index, interleaved", &[r#"{"index":0,"id":"a","function":{"name":"add_task"}}"#, r#"{"index":0,"id":"b","function":{"name":"add_task"}}"#, r#"{"index":0,"function":{"arguments":"{\"title\":\"A\"}"}}"#], &[Refused("add_task"), Refused("add_task")]),
    ("a name in two parts", &[r#"{"index":0,"function":{"name":"add_"}}"#, r#"{"index":0,"function":{"name":"task","arguments":"{\"title\":\"A\"}"}}"#], &[Refused("add_"), Refused("task")]),
    ("one of three is clear", &[r#"{"id":"a","function":{"name":"add_task"}}"#, r#"{"id":"b","function":{"name":"add_task"}}"#, r#"{"function":{"arguments":"{\"title\":\"A\"}"}}"#, r#"{"id":"c","function":{"name":"add_task","arguments":"{\"title\":\"C\"}"}}"#], &[Refused("add_task"), Refused("add_task"), Made("C")]),
    ("more behind the end of a call", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#, r#"{"index":0,"function":{"arguments":"{\"title\":\"B\"}"}}"#], &[Refused("add_task")]),
    ("an index and an id that disagree", &[r#"{"index":0,"id":"a","function":{"name":"add_task"}}"#, r#"{"index":1,"id":"a","function":{"arguments":"{\"title\":\"A\"}"}}"#], &[Refused("add_task")]),
    // Names and arguments that no request may hold.
    ("a tool of the provider's", &[r#"{"index":0,"id":"a","function":{"name":"multi_tool_use.parallel","arguments":"{\"tool_uses\":[]}"}}"#], &[Refused("multi_tool_use.parallel")]),
    ("a tool with a prefix", &[r#"{"index":0,"id":"a","function":{"name":"functions.add_task","arguments":"{\"title\":\"A\"}"}}"#], &[Refused("functions.add_task")]),
    ("no name", &[r#"{"index":0,"id":"a","function":{"name":"","arguments":"{\"title\":\"A\"}"}}"#], &[Refused("")]),
    ("a name of 65 characters", &[r#"{"index":0,"id":"a","function":{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","arguments":"{}"}}"#], &[Refused("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]),
    ("null", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"null"}}"#], &[Refused("add_task")]),
    ("a list", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"[1]"}}"#], &[Refused("add_task")]),
    ("a text", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"\"text\""}}"#], &[Refused("add_task")]),
    ("half a surrogate pair", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"\\ud83d\"}"}}"#], &[Refused("add_task")]),
    ("a name twice", &[r#"{"index":0,"id":"a","function":{"name":"add_task","arguments":"{\"title\":\"A\",\"title\":\"B\"}"}}"#], &[Refused("add_task")]),
    ("an id as long as a page", &[r#"{"index":0,"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","function":{"name":"add_task","arguments":"{\"title\":\"A\"}"}}"#], &[Made("A")]),
];

/// Events, and the text and finish reason of the answer they make.
#[rustfmt::skip]
const TEXTS: &[(&str, &[&str], &str, Option<&str>)] = &[
    ("a refusal", &[r#"data: {"choices":[{"index":0,"delta":{"refusal":"I cannot "}}]}"#, r#"data: {"choices":[{"index":0,"delta":{"refusal":"help with that."},"finish_reason":"stop"}]}"#], "I cannot help with that.", None),
    ("a whole body instead of a stream", &[r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"At once."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#], "At once.", None),
    ("an empty data line and a comment", &["data:", ": hello", "data: ", r#"data: {"choices":[{"delta":{"content":"Fine."},"finish_reason":"stop"}]}"#, "data:"], "Fine.", None),
    ("a byte order mark", &["\u{FEFF}data: {\"choices\":[{\"delta\":{\"content\":\"Marked.\"},\"finish_reason\":\"stop\"}]}"], "Marked.", None),
    ("no empty line at the end", &[r#"data: {"choices":[{"delta":{"content":"Short."},"finish_reason":"stop"}]}"#, "!end"], "Short.", None),
    ("content as a list of parts", &[r#"data: {"choices":[{"delta":{"content":[{"type":"text","text":"Two "},{"type":"text","text":"parts."}]},"finish_reason":"stop"}]}"#], "Two parts.", None),
    ("half a character in each chunk", &[r#"data: {"choices":[{"delta":{"content":"Smile \ud83d"}}]}"#, r#"data: {"choices":[{"delta":{"content":"\ude00!"},"finish_reason":"stop"}]}"#], "Smile 😀!", None),
    ("half a character alone", &[r#"data: {"choices":[{"delta":{"content":"Half \ud83d"}}]}"#, r#"data: {"choices":[{"delta":{"content":" done."},"finish_reason":"stop"}]}"#], "Half \u{FFFD} done.", None),
    ("two choices", &[r#"data: {"choices":[{"index":0,"delta":{"content":"One."}},{"index":1,"delta":{"content":"Other."}}]}"#, r#"data: {"choices":[{"index":1,"delta":{"content":" More."},"finish_reason":"length"}]}"#, r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#], "One.", None),
    ("usage with decimals", &[r#"data: {"choices":[{"delta":{"content":"Counted."},"finish_reason":"stop"}],"usage":{"prompt_tokens":7.0,"completion_tokens":3.0}}"#], "Counted.", None),
    ("fields of other types", &[r#"data: {"id":7,"choices":[{"index":"0","delta":{"role":null,"content":"Odd.","tool_calls":null},"finish_reason":"stop","logprobs":[]}],"usage":"none"}"#], "Odd.", None),
    ("cut at the length limit", &[r#"data: {"choices":[{"delta":{"content":"And then"},"finish_reason":"length"}]}"#], "And then\n\n*(Cut off here: the answer has reached the model's length limit.)*", Some("length")),
    ("cut by a filter", &[r#"data: {"choices":[{"delta":{"content":"Well"},"finish_reason":"content_filter"}]}"#], "Well\n\n*(Cut off here by the provider's content filter.)*", Some("content_filter")),
    ("nothing left by a filter", &[r#"data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#], "*(Cut off here by the provider's content filter.)*", Some("content_filter")),
];

/// An event stream of these pieces.
fn stream(pieces: &[&str]) -> Turn {
    let chunk = |piece: &&str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{piece}]}}}}]}}\n\n"
        )
    };
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    Turn::raw(pieces.iter().map(chunk).chain([end.to_owned()]))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_what_the_stream_says_or_are_not_made() {
    let system = TestSystem::start().await;
    for (name, pieces, expected) in CALLS {
        system.model.push(stream(pieces));
        system.model.push(Turn::text("Done."));
        let answer = system.say(name, name).await;
        assert_eq!(answer.assert_ok()["response"], "Done.", "{name}");
        let made = answer.body["tool_calls"].as_array().expect("calls");
        assert_eq!(made.len(), expected.len(), "{name}: {made:#?}");
        for (call, expected) in made.iter().zip(*expected) {
            let success = call["result"]["success"] == true;
            match expected {
                Made(title) => assert!(
                    success && call["parameters"]["title"] == *title,
                    "{name}: {call}"
                ),
                Refused(tool) => assert!(!success && call["tool_name"] == *tool, "{name}: {call}"),
            }
        }
        let titles = expected.iter().filter_map(|call| match call {
            Made(title) => Some(*title),
            Refused(_) => None,
        });
        assert_eq!(
            system.titles(name).await,
            titles.collect::<Vec<_>>(),
            "{name}"
        );
        // The conversation lives: the stand-in refuses what a strict provider would.
        system.model.push(Turn::text("Still here."));
        let conversation = &answer.body["conversation_id"];
        let next = system.say_in(name, conversation, "and now?").await;
        assert_eq!(next.assert_ok()["response"], "Still here.", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_read_as_what_they_mean_at_the_first_try() {
    let system = TestSystem::start().await;
    for (name, events, text, finish_reason) in TEXTS {
        let is_open = events.last() == Some(&"!end");
        let events = events.iter().filter(|event| **event != "!end");
        let gap = if is_open { "" } else { "\n\n" };
        let before = system.model.request_count();
        system
            .model
            .push(Turn::raw(events.map(|event| format!("{event}{gap}"))));
        let answer = system.say(name, name).await;
        assert_eq!(answer.assert_ok()["response"], *text, "{name}");
        assert_eq!(system.model.request_count(), before + 1, "{name}");
        let told = finish_reason.map_or(Value::Null, |reason| json!(reason));
        assert_eq!(answer.body["usage"]["finish_reason"], told, "{name}");
        let run = answer.body["run_id"].as_str().expect("a run");
        let streamed = crate::system::events::stored(&system, run).await;
        assert_eq!(crate::system::events::text(&streamed), *text, "{name}");
    }
}

/// An error as the body of a success is an error, and tells of itself by its code alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_success_is_an_error() {
    let system = TestSystem::start().await;
    let error = json!({"error": {"code": 401, "message": "no", "param": null}});
    system.model.push(Turn::raw([error.to_string()]));
    let answer = system.say("ada", "hello").await;
    answer.assert_error(502, "model_error");
    assert_eq!(system.model.request_count(), 1);
}
