//! Conversations with the plain model, its tools played by a list in memory.

mod desk;

use serde_json::{Value, json};

use super::super::received::{ask, question};
use super::{PlainModel, PlainSettings, decide};
use desk::Desk;

#[test]
fn adds() {
    let cases: [(&str, &[&str]); 28] = [
        ("add buy milk and call Ann", &["buy milk", "call Ann"]),
        ("Add buy milk", &["buy milk"]),
        (
            "Please add \"buy milk and eggs\" to my list.",
            &["buy milk and eggs"],
        ),
        ("add: milk; eggs", &["milk", "eggs"]),
        ("add milk, eggs and bread", &["milk", "eggs", "bread"]),
        ("add call Ann and Bob", &["call Ann and Bob"]),
        ("add a task to call Ann", &["call Ann"]),
        ("Add a task: call Ann", &["call Ann"]),
        (
            "create a new task called water the plants",
            &["water the plants"],
        ),
        (
            "Hi! Could you remind me to pay the rent please?",
            &["pay the rent"],
        ),
        ("remember to finish the report", &["finish the report"]),
        ("Remember the milk", &["the milk"]),
        ("I need to buy milk", &["buy milk"]),
        (
            "I need to buy milk and I have to call Ann",
            &["buy milk", "call Ann"],
        ),
        ("new task: write to Bob", &["write to Bob"]),
        ("put bread on my list", &["bread"]),
        ("add milk to my list and call Ann", &["milk", "call Ann"]),
        ("add milk to my to-do list", &["milk"]),
        ("todo: buy milk", &["buy milk"]),
        ("don\u{2019}t forget to call Dr. Smith", &["call Dr. Smith"]),
        (
            "Add these tasks:\n- buy milk\n- call Ann",
            &["buy milk", "call Ann"],
        ),
        (
            "add buy milk and finish the report",
            &["buy milk", "finish the report"],
        ),
        (
            "I have to get milk, call Ann, and pay the rent",
            &["get milk", "call Ann", "pay the rent"],
        ),
        ("Add Müll rausbringen", &["Müll rausbringen"]),
        ("add to my list: buy milk", &["buy milk"]),
        ("I need to remember to buy milk", &["buy milk"]),
        (
            "add two tasks: buy milk and call Ann",
            &["buy milk", "call Ann"],
        ),
        ("can you please add a reminder to call Ann?", &["call Ann"]),
    ];
    for (text, titles) in cases {
        let mut desk = Desk::default();
        let reply = desk.say(text);
        assert_eq!(desk.titles(), titles, "{text}: {reply}");
        assert!(reply.starts_with("I've added"), "{text}: {reply}");
        assert!(desk.called.iter().all(|tool| tool == "add_task"), "{text}");
    }
}

#[test]
fn changes() {
    const LIST: [&str; 4] = ["buy milk", "call Ann", "pay the rent", "+clean the kitchen"];
    let cases: [(&str, [&str; 4]); 31] = [
        (
            "the milk is done",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "I bought the milk",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "I've bought the milk.",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "Thanks, I called Ann!",
            [
                "buy milk",
                "+call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "I already paid the rent",
            [
                "buy milk",
                "call Ann",
                "+pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "I bought the milk and called Ann",
            [
                "+buy milk",
                "+call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "complete buy milk",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "finish milk and rent",
            [
                "+buy milk",
                "call Ann",
                "+pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "tick off the milk",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "tick the milks off",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "Mark \"call Ann\" as done",
            [
                "buy milk",
                "+call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "mark the milk task as completed",
            [
                "+buy milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "mark everything as done",
            [
                "+buy milk",
                "+call Ann",
                "+pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "I'm done with the rent",
            [
                "buy milk",
                "call Ann",
                "+pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "reopen the kitchen",
            ["buy milk", "call Ann", "pay the rent", "clean the kitchen"],
        ),
        (
            "the kitchen is not done",
            ["buy milk", "call Ann", "pay the rent", "clean the kitchen"],
        ),
        (
            "mark cleaning the kitchen as not done",
            ["buy milk", "call Ann", "pay the rent", "clean the kitchen"],
        ),
        (
            "rename buy milk to buy oat milk",
            [
                "buy oat milk",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "change the milk to go to the market",
            [
                "go to the market",
                "call Ann",
                "pay the rent",
                "+clean the kitchen",
            ],
        ),
        (
            "delete the milk",
            ["call Ann", "pay the rent", "+clean the kitchen", ""],
        ),
        (
            "Please remove call Ann from my list",
            ["buy milk", "pay the rent", "+clean the kitchen", ""],
        ),
        (
            "drop the rent",
            ["buy milk", "call Ann", "+clean the kitchen", ""],
        ),
        (
            "forget about calling Ann",
            ["buy milk", "pay the rent", "+clean the kitchen", ""],
        ),
        (
            "take the milk off my list",
            ["call Ann", "pay the rent", "+clean the kitchen", ""],
        ),
        (
            "delete all completed tasks",
            ["buy milk", "call Ann", "pay the rent", ""],
        ),
        ("delete everything", ["", "", "", ""]),
        (
            "delete the milk and mark Ann as done",
            ["+call Ann", "pay the rent", "+clean the kitchen", ""],
        ),
        ("I called Bob", LIST),
        ("delete the piano", LIST),
        ("the kitchen is done", LIST),
        ("I like milk", LIST),
    ];
    for (text, titles) in cases {
        let mut desk = Desk::with(&LIST);
        let reply = desk.say(text);
        let titles: Vec<&str> = titles
            .into_iter()
            .filter(|title| !title.is_empty())
            .collect();
        assert_eq!(desk.titles(), titles, "{text}: {reply}");
    }
}

#[test]
fn questions() {
    let cases = [
        (
            "what is left?",
            "You have 2 open tasks:\n\n- buy milk\n- call Ann",
        ),
        (
            "What's left to do?",
            "You have 2 open tasks:\n\n- buy milk\n- call Ann",
        ),
        (
            "what do I have to do today?",
            "You have 2 open tasks:\n\n- buy milk\n- call Ann",
        ),
        (
            "show my list",
            "You have 2 open tasks:\n\n- buy milk\n- call Ann",
        ),
        ("todo", "You have 2 open tasks:\n\n- buy milk\n- call Ann"),
        (
            "Can you show me my tasks please",
            "You have 2 open tasks:\n\n- buy milk\n- call Ann",
        ),
        ("list", "You have 2 open tasks:\n\n- buy milk\n- call Ann"),
        (
            "what isn't done yet?",
            "You have 2 open tasks:\n\n- buy milk\n- call Ann",
        ),
        (
            "what have I done?",
            "You have 1 finished task:\n\n- pay the rent",
        ),
        (
            "show completed tasks",
            "You have 1 finished task:\n\n- pay the rent",
        ),
        (
            "list everything",
            "You have 3 tasks:\n\n- [ ] buy milk\n- [ ] call Ann\n- [x] pay the rent",
        ),
        (
            "do I have anything about milk?",
            "You have 1 open task about *milk*:\n\n- buy milk",
        ),
        (
            "is the rent paid?",
            "You have 1 task about *rent*:\n\n- [x] pay the rent",
        ),
        (
            "find the piano",
            "There is nothing about *piano* on your list.",
        ),
    ];
    for (text, wanted) in cases {
        let mut desk = Desk::with(&["buy milk", "call Ann", "+pay the rent"]);
        assert_eq!(desk.say(text), wanted, "{text}");
        assert_eq!(desk.called, ["list_tasks"], "{text}");
    }
}

#[test]
fn small_talk() {
    let cases = [
        ("Hello!", "Hello!"),
        ("hey there", "Hello!"),
        ("help", "I can look after"),
        ("What can you do?", "I can look after"),
        ("thanks!", "You're welcome"),
        ("thank you very much", "You're welcome"),
        (
            "what is the weather like?",
            "I'm sorry, I'm only a stand-in",
        ),
        ("", "I'm sorry, I'm only a stand-in"),
        ("милк", "I'm sorry, I'm only a stand-in"),
    ];
    for (text, wanted) in cases {
        let mut desk = Desk::default();
        let reply = desk.say(text);
        assert!(reply.starts_with(wanted), "{text}: {reply}");
        assert!(desk.called.is_empty(), "{text}");
    }
}

#[test]
fn a_whole_conversation() {
    let mut desk = Desk::default();
    desk.say("add buy milk and call Ann and buy milk chocolate");
    assert!(
        desk.say("delete the milk")
            .starts_with("Which one do you mean?\n\n- **buy milk**")
    );
    desk.say("the second one");
    assert_eq!(desk.titles(), ["buy milk", "call Ann"]);
    desk.say("add a note to call Ann: after six");
    assert_eq!(desk.called, ["list_tasks", "update_task"]);
    assert!(
        desk.say("what is left?")
            .ends_with("- call Ann: *after six*")
    );
    desk.say("mark the first one as done");
    assert_eq!(desk.titles(), ["+buy milk", "call Ann"]);
    desk.say("actually, reopen it");
    assert_eq!(desk.titles(), ["buy milk", "call Ann"]);
    desk.say("rename it to buy bread");
    assert_eq!(desk.titles(), ["buy bread", "call Ann"]);
    let reply = desk.say("I called Ann, add book a table and show my list");
    assert_eq!(
        desk.called,
        ["add_task", "list_tasks", "complete_task", "list_tasks"]
    );
    assert!(
        reply.contains("I've added **book a table**")
            && reply.contains("**call Ann** is ticked off"),
        "{reply}"
    );
    assert!(
        reply.ends_with("You have 2 open tasks:\n\n- buy bread\n- book a table"),
        "{reply}"
    );
    desk.say("delete bread");
    desk.say("add buy milk with the note: two litres");
    assert_eq!(desk.tasks.last().unwrap()["description"], "two litres");
}

#[test]
fn asks_again_about_a_bare_title() {
    let mut desk = Desk::with(&["buy milk", "heat the milk"]);
    assert!(desk.say("the milk is done").starts_with("Which one"));
    desk.say("heat it, I mean heat the milk");
    assert_eq!(desk.titles(), ["buy milk", "+heat the milk"]);
}

#[test]
fn reads_every_page() {
    let titles: Vec<String> = (0..7)
        .map(|n| format!("task number {n}"))
        .chain(["buy milk".into()])
        .collect();
    let mut desk = Desk::with(&titles.iter().map(String::as_str).collect::<Vec<_>>());
    desk.page = Some(3);
    desk.say("I bought the milk");
    assert_eq!(
        desk.called,
        ["list_tasks", "list_tasks", "list_tasks", "complete_task"]
    );
    assert_eq!(desk.titles().last().unwrap(), "+buy milk");
}

#[test]
fn reports_failures_and_missing_tools() {
    let mut desk = Desk::with(&["buy milk"]);
    desk.messages = vec![json!({"role": "user", "content": "add tea"})];
    let mut request = desk.request();
    request["tools"] = Value::Null;
    assert!(decide(&request).text.contains("`add_task`"));

    let call = decide(&desk.request()).calls.remove(0);
    let function = json!({"name": call.name, "arguments": call.arguments});
    let calls = json!([{"id": call.id, "type": "function", "function": function}]);
    desk.messages
        .push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
    let failure = json!({"success": false, "error": {"type": "validation", "message": "too long", "details": {}}});
    desk.messages
        .push(json!({"role": "tool", "tool_call_id": call.id, "content": failure.to_string()}));
    assert_eq!(
        decide(&desk.request()).text,
        "I'm sorry, I could not add **tea**: too long"
    );
}

#[tokio::test]
async fn speaks_on_the_wire() {
    let model = PlainModel::start(PlainSettings::instant()).await.unwrap();
    let received = ask(&model.base_url(), &question("hello")).await.unwrap();
    assert!(received.text().starts_with("Hello! I look after"));
    assert!(received.done && received.finish() == Some("stop"));
    assert_eq!(model.request_count(), 1);
}
