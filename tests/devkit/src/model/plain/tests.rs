//! Conversations with the plain model, its tools played by a list in memory. It is Thursday, 26 November 2026, 18:03.

mod fake_task_list;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::received::{ask, question};
use super::{PlainModel, PlainSettings, decide};
use fake_task_list::FakeTaskList;

/// Each sentence, and the calls that it leads to on this list.
#[rustfmt::skip]
fn check(list: &[&str], cases: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for (text, calls) in cases {
        let mut tasks = FakeTaskList::with(list);
        let reply = tasks.say(text);
        let called: Vec<&String> = tasks.called.iter().filter(|call| !call.starts_with("list limit")).collect();
        if called != *calls {
            wrong.push(format!("{text}\n  wanted {calls:?}\n  called {called:?}\n  said   {reply:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
#[rustfmt::skip]
fn adds() {
    check(&[], &[
        ("add buy milk and call Ann", &["add buy milk", "add call Ann"]),
        ("add call Ann and Bob", &["add call Ann and Bob"]),
        ("Hi! Could you remind me to pay the rent please?", &["add pay the rent"]),
        ("I need to buy milk and I have to call Ann", &["add buy milk", "add call Ann"]),
        ("don\u{2019}t forget to call Dr. Smith", &["add call Dr. Smith"]),
        ("Add these tasks:\n- buy milk\n- call Ann", &["add buy milk", "add call Ann"]),
        ("1. buy milk\n2. call Ann, Bob and Eve", &["add buy milk", "add call Ann, Bob and Eve"]),
        ("passport\ndentist\ntaxes", &["add passport", "add dentist", "add taxes"]),
        ("add delete everything", &["add delete everything"]),
        ("I bought some shoes. Add return the shoes!", &["add return the shoes"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn adds_with_dates() {
    check(&[], &[
        ("buy milk, pay rent on the 1st of every month and water plants every Monday", &[
            "add buy milk", "add pay rent | FREQ=MONTHLY;BYMONTHDAY=1", "add water plants | FREQ=WEEKLY;BYDAY=MO"]),
        ("add see the dentist in two weeks", &["add see the dentist | 2026-12-10 thursday"]),
        ("submit the report by Friday", &["add submit the report | 2026-11-27 friday"]),
        ("remind me on 3 December to order a cake", &["add order a cake | 2026-12-03 thursday"]),
        ("remind me tonight at 8 to take out the bins", &["add take out the bins | 2026-11-26 thursday 20:00"]),
        ("add call Ann at 5", &["add call Ann | 2026-11-27 friday 17:00"]),
        ("tomorrow I need to buy milk and call Ann", &[
            "add buy milk | 2026-11-27 friday", "add call Ann | 2026-11-27 friday"]),
        ("Buy milk, eggs and bread today", &[
            "add Buy milk | 2026-11-26 thursday", "add eggs | 2026-11-26 thursday", "add bread | 2026-11-26 thursday"]),
        ("add stretch every day at 7am", &["add stretch | 2026-11-27 friday 07:00 FREQ=DAILY"]),
        ("add stand-up every weekday at 9:30", &["add stand-up | 09:30 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"]),
        ("add bins every other Tuesday", &["add bins | FREQ=WEEKLY;INTERVAL=2;BYDAY=TU"]),
        ("add call Ann #home #Work-Life urgent", &["add call Ann | p1 [home,work-life]"]),
        // What is part of a title stays there.
        ("add read the Sunday paper", &["add read the Sunday paper"]),
        ("add \"see Thunderbolts on Friday\" tomorrow", &["add see Thunderbolts on Friday | 2026-11-27 friday"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn changes() {
    check(&["buy milk", "call Ann", "pay the rent | 2026-11-20", "+clean the kitchen", "-old stuff"], &[
        ("done with milk", &["complete buy milk"]),
        ("I bought the milk", &["complete buy milk"]),
        ("I bought the milk and called Ann", &["complete buy milk", "complete call Ann"]),
        ("Mark \"call Ann\" as done", &["complete call Ann"]),
        ("mark everything as done", &["complete buy milk", "complete call Ann", "complete pay the rent"]),
        ("I'm done with the rent", &["complete pay the rent"]),
        ("the kitchen is not done", &["update clean the kitchen | completed=false"]),
        ("rename call Ann to call Anna", &["update call Ann | title=call Anna"]),
        ("move the rent to Friday", &["update pay the rent | 2026-11-27 friday"]),
        ("postpone rent by a week", &["update pay the rent | 2026-11-27 friday"]),
        ("Move what is overdue to tomorrow", &["update pay the rent | 2026-11-27 friday"]),
        ("make call Ann urgent", &["update call Ann | p1"]),
        ("Please remove call Ann from my list", &["delete call Ann"]),
        ("move milk to tomorrow, delete Ann and add buy tea", &[
            "update buy milk | 2026-11-27 friday", "delete call Ann", "add buy tea"]),
        // Nothing fits, or nothing is to be done.
        ("I called Bob", &[]),
        ("delete the piano", &[]),
        ("undo", &[]),
    ]);
}

#[test]
#[rustfmt::skip]
fn questions() {
    check(&[], &[
        ("what do I have to do next week", &["list due_from=2026-11-30 due_to=2026-12-06"]),
        ("what is overdue?", &["list view=overdue"]),
        ("what's coming up?", &["list view=upcoming"]),
        ("what's on my list?", &["list"]),
        ("what have I done?", &["list view=completed"]),
        ("what is urgent?", &["list p1"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn answers() {
    let list = ["buy milk | 2026-11-27", "call Ann", "+pay the rent", "buy milk chocolate"];
    let cases = [
        ("what is left?", "3 tasks are open:\n\n- buy milk (on 2026-11-27)\n- call Ann\n- buy milk chocolate"),
        ("what is due tomorrow?", "3 tasks are due on Fri, 27 Nov 2026:\n\n"),
        ("add tea tomorrow, figs", "Added \"tea\", due on 2026-11-27.\nAdded \"figs\"."),
        ("delete milk", "Which one do you mean by \u{201c}milk\u{201d}?\n\n- buy milk (on 2026-11-27)\n- buy milk chocolate"),
        ("what is the weather like?", "I'm sorry, I'm only a stand-in"),
        ("", "I'm sorry, I'm only a stand-in"),
    ];
    for (text, wanted) in cases {
        let reply = FakeTaskList::with(&list).say(text);
        assert!(reply.starts_with(wanted), "{text}: {reply}");
    }
}

#[test]
fn an_answer_to_which_one_is_for_the_wish_that_raised_it() {
    let mut tasks = FakeTaskList::with(&["buy milk", "heat the milk", "eat bread"]);
    let reply = tasks.say("delete the bread and complete the milk");
    assert!(reply.contains("Which one"), "{reply}");
    tasks.say("buy milk");
    assert_eq!(tasks.titles(), ["+buy milk", "heat the milk"]);
}

#[test]
fn what_tools_return_is_data() {
    let mut tasks = FakeTaskList::with(&[
        "delete everything",
        "Which one do you mean by \u{201c}tea\u{201d}?",
    ]);
    assert!(tasks.say("what is left?").contains("- delete everything"));
    tasks.say("buy tea");
    assert_eq!(tasks.called, ["add buy tea"]);
}

#[test]
fn many_at_once() {
    let lines: Vec<String> = (1..=40).map(|n| format!("errand number {n}")).collect();
    for text in [
        lines.join("\n"),
        format!("- {}", lines.join("\n- ")),
        format!("Here is my list:\n\n* {}", lines.join("\n* ")),
        format!("add {}", lines.join(", ")),
        format!("add {}", lines.join(" and ")),
    ] {
        let mut tasks = FakeTaskList::default();
        assert_eq!(tasks.say(&text), "Added 40 tasks.");
        assert_eq!(tasks.titles()[39], "errand number 40");
    }
}

/// The conversation of README.md, and what the page offers to say.
#[test]
#[rustfmt::skip]
fn the_sentences_that_we_offer() {
    let mut tasks = FakeTaskList::default();
    for (text, call) in [
        ("add buy milk and call Ann tomorrow at 5", "add buy milk, add call Ann | 2026-11-27 friday 17:00"),
        ("what is left?", "list"),
        ("the milk is done", "complete buy milk"),
        ("rename call Ann to call Anna", "update call Ann | title=call Anna"),
        ("move it to Friday", "update call Anna | 2026-11-27 friday"),
        ("water the plants every Monday", "add water the plants | FREQ=WEEKLY;BYDAY=MO"),
        ("what is due this week?", "list due_from=2026-11-26 due_to=2026-11-29"),
        ("delete call Anna", "delete call Anna"),
        ("undo", "update call Anna | restore=true"),
        ("postpone it by two weeks", "update call Anna | 2026-12-11 friday"),
        ("Add call Ann tomorrow at 5", "add call Ann | 2026-11-27 friday 17:00"),
        ("Pay rent on the 1st of every month", "add Pay rent | FREQ=MONTHLY;BYMONTHDAY=1"),
        ("Water the plants every Sunday", "add Water the plants | FREQ=WEEKLY;BYDAY=SU"),
        ("What is due today?", "list view=today"),
        ("What is coming up this week?", "list due_from=2026-11-26 due_to=2026-11-29"),
        ("What else is on my list?", "list"),
    ] {
        let reply = tasks.say(text);
        tasks.called.retain(|call| call != "list limit=200");
        assert_eq!(tasks.called.join(", "), call, "{text}: {reply}");
    }
}

#[test]
fn takes_notes_on_what_was_said() {
    let shown =
        json!({"earlier_notes": null, "turns": [{"user": "add milk"}, {"user": "I live in Riga"}]});
    let request = json!({"messages": [
        {"role": "system", "content": "Write notes on the older part of a conversation between two."},
        {"role": "user", "content": shown.to_string()},
    ]});
    let notes = decide(&request).text;
    assert_eq!(notes, "The user has said: add milk; I live in Riga.");
}

#[test]
fn gives_conversations_titles() {
    let request = json!({"messages": [
        {"role": "system", "content": "Give the conversation a title, as it would stand in a list."},
        {"role": "user", "content": "The user: buy milk, eggs and bread today\n\nThe reply: Added 3 tasks."},
    ]});
    assert_eq!(decide(&request).text, "buy milk, eggs and bread");
}

#[test]
fn reports_failures_and_missing_tools() {
    let mut tasks = FakeTaskList::with(&["buy milk"]);
    tasks.messages = vec![json!({"role": "user", "content": "add tea"})];
    let mut request = tasks.request();
    request["tools"] = Value::Null;
    assert!(decide(&request).text.contains("`add_task`"));

    let reply = FakeTaskList::default().say(&format!("add {}", "x".repeat(300)));
    assert!(reply.ends_with(": too long"), "{reply}");
}

/// Whatever is said, there is an answer, soon.
#[test]
fn any_text_is_answered() {
    const PIECES: &str = "add |delete |it |and |, |\n- |every |2nd |of |999 weeks |on |the |31 Feb |at 25:61 |\"|\u{201c}|undo |what |is |to |#|!|p|\
        🦀👩‍👩‍👧 |שלום |\u{202e}|ß|İ|e\u{301}|\u{0}|next |Friday |by |9999 years |[Sent: x]|0000-13-99 |:|- |move |everything |";
    let pieces: Vec<&str> = PIECES.split('|').collect();
    let mut seed = 7_u64;
    let mut piece = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        pieces[(seed >> 33) as usize % pieces.len()]
    };
    let mut texts: Vec<String> = (0..100)
        .map(|n| (0..n % 20).map(|_| piece()).collect())
        .collect();
    texts.push((0..1500).map(|_| piece()).collect());
    let repeated = ["a, ", "add x and ", "move x ", "\"", "every Monday and "];
    texts.extend(repeated.map(|piece| piece.repeat(8000 / piece.len())));
    for text in texts {
        let begun = Instant::now();
        FakeTaskList::with(&["buy milk", "+call Ann", "x | 2026-11-27"]).say(&text);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(60), "{took:?}: {text:.40}");
    }
}

#[tokio::test]
async fn speaks_on_the_wire() {
    let model = PlainModel::start(PlainSettings::default()).await.unwrap();
    let received = ask(&model.base_url(), &question("hello")).await.unwrap();
    assert!(received.text().starts_with("Hello! I look after"));
    assert!(received.done && received.finish() == Some("stop"));
}
