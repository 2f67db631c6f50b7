//! What a user is asked: which task a call is about and what would become of it, as the server found it, and nothing at all about a
//! call that would come to an error.

use errand_core::events::MAX_EVENT_BYTES;
use errand_devkit::model::Turn;
use serde_json::{Value, json};

use super::{add, decide, view};
use crate::system::{Answer, Options, TestSystem, events::stored, mcp::Mcp, socket::Socket};

async fn system() -> TestSystem {
    TestSystem::with(Options {
        worker: vec![
            "--require-approval",
            "delete_task,update_task,complete_task",
        ],
        ..Options::default()
    })
    .await
}

/// One answer with these calls, as ada hears of it.
async fn asks(system: &TestSystem, calls: &[(&str, Value)]) -> Value {
    let mut turn = Turn::call(calls[0].0, calls[0].1.clone());
    for (tool, arguments) in &calls[1..] {
        turn = turn.and_call(tool, arguments.clone());
    }
    system.model.push(turn);
    system.say("ada", "go").await.body
}

async fn interrupts(system: &TestSystem, run: &Value) -> Vec<Value> {
    let interrupts = view(system, &run["run_id"]).await["interrupts"].clone();
    serde_json::from_value(interrupts).expect("interrupts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_names_the_task_and_what_would_become_of_it() {
    let system = system().await;
    let task = add(&system, "buy milk").await;
    let run = asks(
        &system,
        &[
            ("update_task", json!({"task_id": task, "title": "take over the world", "description": "<b>quietly</b>", "completed": false})),
            ("complete_task", json!({"task_id": task})),
            ("delete_task", json!({"task_id": task})),
        ],
    )
    .await;
    assert_eq!(run["status"], "waiting", "{run}");
    let asked = interrupts(&system, &run).await;
    let subject = json!({"id": task, "title": "buy milk"});
    for interrupt in &asked {
        assert_eq!(interrupt["metadata"]["task"], subject, "{interrupt}");
    }
    let told: Vec<_> = asked
        .iter()
        .map(|interrupt| (&interrupt["message"], &interrupt["metadata"]["changes"]))
        .collect();
    assert_eq!(
        told,
        [
            (
                &json!(
                    "Change \"buy milk\": title → \"take over the world\", description → \"<b>quietly</b>\"?"
                ),
                &json!([{"field": "title", "old": "buy milk", "new": "take over the world"},
                        {"field": "description", "old": null, "new": "<b>quietly</b>"}])
            ),
            (
                &json!("Mark \"buy milk\" as done?"),
                &json!([{"field": "completed", "old": false, "new": true}])
            ),
            (&json!("Delete \"buy milk\"?"), &json!([])),
        ]
    );
    let events = stored(&system, run["run_id"].as_str().expect("a run")).await;
    let (_, last) = events.last().expect("events");
    assert_eq!(last["outcome"]["interrupts"], json!(asked));
    // Whenever it is looked at, it is what was asked.
    let mcp = Mcp::on(&system.database_url, &[]).await;
    let renamed = json!({"user_id": "ada", "task_id": task, "title": "something else"});
    assert_eq!(
        mcp.call("ada", "update_task", renamed).await["success"],
        true
    );
    assert_eq!(interrupts(&system, &run).await, asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_a_call_that_comes_to_an_error() {
    let system = system().await;
    let task = add(&system, "buy milk").await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "his"})));
    system.model.push(Turn::text("Added."));
    let his = system.say("bob", "add his").await;
    let his = &his.assert_ok()["tool_calls"][0]["result"]["task_id"];
    let calls = [
        (
            "delete_task",
            json!({"task_id": uuid::Uuid::nil()}),
            "resource_not_found",
        ),
        (
            "update_task",
            json!({"task_id": his, "title": "x"}),
            "resource_not_found",
        ),
        (
            "delete_task",
            json!({"task_id": task.to_uppercase()}),
            "invalid_parameters",
        ),
        (
            "delete_task",
            json!({"task_id": format!("{{{task}}}")}),
            "invalid_parameters",
        ),
        (
            "complete_task",
            json!({"task_id": task.replace('-', "")}),
            "invalid_parameters",
        ),
        (
            "delete_task",
            json!({"task_id": format!(" {task}")}),
            "invalid_parameters",
        ),
        (
            "delete_task",
            json!({"task_id": task, "title": "only this one"}),
            "invalid_parameters",
        ),
        (
            "update_task",
            json!({"task_id": task, "title": "x".repeat(256)}),
            "invalid_parameters",
        ),
        (
            "update_task",
            json!({"task_id": task}),
            "invalid_parameters",
        ),
    ];
    let only: Vec<(&str, Value)> = calls
        .iter()
        .map(|(tool, arguments, _)| (*tool, arguments.clone()))
        .collect();
    let answer = {
        let (system, asks) = (&system, asks(&system, &only));
        let then = async { system.model.push(Turn::text("Hm.")) };
        tokio::join!(asks, then).0
    };
    assert_eq!(answer["response"], "Hm.", "{answer}");
    for ((tool, arguments, kind), made) in calls
        .iter()
        .zip(answer["tool_calls"].as_array().expect("calls"))
    {
        let error = &made["result"]["error"];
        assert_eq!(&error["type"], kind, "{tool} {arguments}: {made}");
        assert!(!error["message"].to_string().contains("approval"), "{made}");
    }
    // Among others, they are answered like that when the others have been decided.
    let run = asks(
        &system,
        &[
            ("delete_task", json!({"task_id": uuid::Uuid::nil()})),
            ("delete_task", json!({"task_id": task})),
        ],
    )
    .await;
    let asked = interrupts(&system, &run).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    system.model.push(Turn::text("Deleted."));
    let done = decide(&system, "ada", &run, json!({"approve": true})).await;
    let made = &done.assert_ok()["tool_calls"];
    assert_eq!(
        made[0]["result"]["error"]["type"], "resource_not_found",
        "{made}"
    );
    assert_eq!(made[1]["result"]["success"], true, "{made}");
    assert_eq!(system.titles("ada").await, Vec::<String>::new());
    assert_eq!(system.titles("bob").await, ["his"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_long_texts_fits_into_an_event() {
    let system = system().await;
    let task = add(&system, "buy milk").await;
    let long = |letter: &str| json!({"task_id": task, "title": letter.repeat(255), "description": letter.repeat(8_000)});
    let mcp = Mcp::on(&system.database_url, &[]).await;
    let mut first = long("\u{1}");
    first["user_id"] = json!("ada");
    assert_eq!(mcp.call("ada", "update_task", first).await["success"], true);
    let calls: Vec<(&str, Value)> = (0..8).map(|_| ("update_task", long("😀"))).collect();
    let run = asks(&system, &calls).await;
    assert_eq!(run["status"], "waiting", "{run}");
    let events = stored(&system, run["run_id"].as_str().expect("a run")).await;
    let (_, last) = events.last().expect("events");
    assert!(last.to_string().len() <= MAX_EVENT_BYTES);
    let metadata = &last["outcome"]["interrupts"][7]["metadata"];
    assert_eq!(metadata["task"]["title"], "\u{1}".repeat(255));
    assert_eq!(metadata["changes"][0]["field"], "title");
    assert_eq!(metadata["changes"][1]["field"], "description");
    // Stored, the texts are cut where nobody reads on, and the parameters are whole.
    let stored = &interrupts(&system, &run).await[7]["metadata"];
    assert_eq!(stored["changes"][0]["new"], "😀".repeat(255));
    assert_eq!(
        stored["changes"][1]["new"],
        format!("{}…", "😀".repeat(2_000))
    );
    assert_eq!(stored["parameters"], long("😀"));
}

/// Whoever wants to be asked is, about deleting and nothing else, whatever the operator has set.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_wants_to_be_asked_is_asked() {
    let system = TestSystem::start().await;
    let (milk, bread) = (
        add(&system, "buy milk").await,
        add(&system, "buy bread").await,
    );
    let delete = |task: &str| Turn::call("delete_task", json!({"task_id": task}));
    system.model.push(delete(&bread));
    system.model.push(Turn::text("Gone."));
    system.say("ada", "delete the bread").await.assert_ok();
    assert_eq!(system.titles("ada").await, ["buy milk"]);

    system
        .model
        .push(Turn::call("complete_task", json!({"task_id": milk})));
    system.model.push(delete(&milk));
    let body = json!({"message": "delete the milk", "metadata": {"ask_before_deleting": true}});
    let asked = Answer::of(system.post_chat("ada", &body)).await.body;
    assert_eq!(asked["status"], "waiting", "{asked}");
    let interrupts = interrupts(&system, &asked).await;
    assert_eq!(interrupts.len(), 1);
    assert_eq!(interrupts[0]["metadata"]["toolName"], "delete_task");
    assert_eq!(system.titles("ada").await, ["buy milk"]);
    // The turn that goes on is the same turn: it asks again before it deletes again.
    system.model.push(delete(&milk));
    let next = decide(&system, "ada", &asked, json!({"approve": false})).await;
    assert_eq!(next.body["status"], "waiting", "{}", next.body);

    let mut socket = Socket::connect(&system, "ada").await;
    system.model.push(delete(&milk));
    let start = json!({"message": "delete it", "askBeforeDeleting": true});
    socket.call("run.start", start).await;
    let end = socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED")
        .await;
    assert_eq!(end["event"]["outcome"]["type"], "interrupt", "{end}");
    assert_eq!(system.titles("ada").await, ["buy milk"]);
}
