//! Conversations that are deleted, with all that is under way in them.

use errand_devkit::model::{Gate, Turn, request};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{delete, listed, rename};
use crate::system::{
    Answer, Options, TestSystem,
    events::{Sse, assert_well_formed, stored},
    process, rows,
    socket::Socket,
};

/// From the answer on there is nothing: not in lists, not by any id, not for a client that was at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_conversation_is_not_there_for_anybody() {
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    system
        .model
        .push(Turn::call("add_task", json!({"title": "kept"})));
    system.model.push(Turn::text("Added."));
    let said = system
        .post_chat("ada", &json!({"message": "add it"}))
        .header("idempotency-key", "hers");
    let said = Answer::of(said).await;
    let (conversation, done) = (
        said.assert_ok()["conversation_id"].clone(),
        said.body["run_id"].clone(),
    );
    let task = &said.body["tool_calls"][0]["result"]["task_id"];
    system.model.push(Turn::status(400));
    let failed = system.say_in("ada", &conversation, "fail").await;
    let failed = failed.assert_error(502, "model_error")["run_id"].clone();
    system
        .model
        .push(Turn::call("delete_task", json!({"task_id": task})));
    let waiting = system.say_in("ada", &conversation, "delete it").await.body["run_id"].clone();
    delete(&system, "bob", &conversation)
        .await
        .assert_error(404, "not_found");
    let gone = delete(&system, "ada", &conversation).await;
    assert_eq!(
        (gone.status, &gone.body),
        (StatusCode::NO_CONTENT, &json!(""))
    );

    assert_eq!(listed(&system, "").await, [""; 0]);
    assert_eq!(listed(&system, "?search=add").await, [""; 0]);
    let id = conversation.as_str().unwrap();
    let run = |run: &Value, what: &str| format!("runs/{}{what}", run.as_str().unwrap());
    for path in [
        format!("conversations/{id}/messages"),
        run(&done, ""),
        run(&done, "/events"),
        run(&failed, ""),
        run(&waiting, "?wait=5"),
    ] {
        system
            .get("ada", &path)
            .await
            .assert_error(404, "not_found");
    }
    for (path, body) in [
        (
            "chat".to_owned(),
            json!({"message": "hi", "conversation_id": conversation}),
        ),
        (run(&failed, "/retry"), json!({})),
        (run(&waiting, "/decision"), json!({"approve": true})),
        (run(&waiting, "/cancel"), json!({})),
        (run(&done, "/cancel"), json!({})),
    ] {
        let answer = Answer::of(system.request(Method::POST, "ada", &path).json(&body)).await;
        answer.assert_error(404, "not_found");
    }
    // What its key began is gone, and does not begin once more.
    let repeat = system
        .post_chat("ada", &json!({"message": "add it"}))
        .header("idempotency-key", "hers");
    Answer::of(repeat).await.assert_error(404, "not_found");
    delete(&system, "ada", &conversation)
        .await
        .assert_error(404, "not_found");
    rename(&system, "ada", &conversation, json!({"title": "x"}))
        .await
        .assert_error(404, "not_found");
    // An id of a client's own does not open it anew.
    let mut socket = Socket::connect(&system, "ada").await;
    for (method, params) in [
        ("subscribe", json!({"threadId": conversation})),
        (
            "run.start",
            json!({"message": "hi", "threadId": conversation}),
        ),
        ("run.retry", json!({"runId": failed})),
        ("run.decide", json!({"runId": waiting, "approve": true})),
        ("run.cancel", json!({"runId": waiting})),
    ] {
        let answer = socket.call(method, params).await;
        assert_eq!(answer["error"], "not_found", "{method}: {answer}");
    }
    let input = json!({"threadId": conversation, "runId": Uuid::now_v7(),
                       "messages": [{"id": "1", "role": "user", "content": "hi"}]});
    let input = system
        .post_chat("ada", &input)
        .header("accept", "text/event-stream");
    Answer::of(input).await.assert_error(404, "not_found");
    let database = [("DATABASE_URL", system.database_url.as_str())];
    let requeue = ["requeue", failed.as_str().unwrap()];
    let (status, said) = process::run("errand-api", &requeue, database).await;
    assert!(
        !status.success() && said.contains("there is no such run"),
        "{said}"
    );

    let late = "select count(*) from runs where finished_at is null";
    assert_eq!(system.count(late).await, 0);
    assert_eq!(system.titles("ada").await, ["kept"]);
}

/// What is under way comes to its end in order, whoever looks on, and what waits in line never begins.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_cancelled() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .push(Turn::text("I was going to say").gate_after(3, &gate));
    let mut socket = Socket::connect(&system, "ada").await;
    let started = socket.call("run.start", json!({"message": "talk"})).await;
    let (conversation, run) = (&started["threadId"], &started["runId"]);
    socket
        .until(|frame| frame["event"]["type"] == "TEXT_MESSAGE_CONTENT")
        .await;
    let path = format!("runs/{}/events", run.as_str().unwrap());
    let mut stream = Sse::open(system.request(Method::GET, "ada", &path)).await;
    // More than one step cancels.
    let mut queued = Vec::new();
    for n in 0..8 {
        let body = json!({"message": format!("wait {n}"), "conversation_id": conversation});
        let body = system
            .post_chat("ada", &body)
            .header("prefer", "respond-async");
        queued.push(Answer::of(body).await.body["run_id"].clone());
    }
    let waiting = json!({"message": "wait", "conversation_id": conversation});
    let waiting = tokio::spawn(system.post_chat("ada", &waiting).send());
    system
        .until("select count(*) from runs where status = 'queued'", 9)
        .await;
    assert_eq!(
        delete(&system, "ada", conversation).await.status,
        StatusCode::NO_CONTENT
    );
    // The worker hears of it, and lets go of the model.
    system.model.aborted_seen(1).await.unwrap();
    let events = stream.until("RUN_FINISHED").await;
    assert_eq!(events.last().unwrap().1["outcome"]["type"], "cancelled");
    assert!(stream.next().await.is_none(), "the stream ends");
    let end = socket
        .until(|frame| frame["event"]["type"] == "RUN_FINISHED" && frame["runId"] == *run)
        .await;
    assert_eq!(end["event"]["outcome"]["type"], "cancelled");
    for run in queued.iter().chain([run]) {
        assert_well_formed(&stored(&system, run.as_str().unwrap()).await);
    }
    // Whoever waited for a run is told what everybody is.
    let waiting = waiting.await.unwrap().unwrap();
    assert_eq!(waiting.status(), StatusCode::NOT_FOUND);
    system
        .until("select count(*) from runs where status = 'cancelled'", 10)
        .await;
    let pending =
        "select count(*) from apalis.jobs where status in ('Pending', 'Queued', 'Running')";
    system.until(pending, 0).await;
    assert_eq!(system.model.request_count(), 1);
    // What was used counts all the same, and the user goes on elsewhere.
    let counted = "select count(*) from usage_days where tokens > 0";
    assert_eq!(system.count(counted).await, 1);
    system.model.push(Turn::text("Hello."));
    system.say("ada", "hello").await.assert_ok();
}

/// However many runs wait, in transactions of bounded size.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_goes_with_its_conversation() {
    let system = TestSystem::with(Options {
        api: vec!["--max-active-runs", "0", "--rate-runs-per-minute", "0"],
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let first = system
        .post_chat("ada", &json!({"message": "0"}))
        .header("prefer", "respond-async");
    let conversation = Answer::of(first).await.body["conversation_id"].clone();
    let many = "with r as (
                    insert into runs (id, conversation_id, user_id)
                    select gen_random_uuid(), c.id, c.user_id from conversations c, generate_series(1, 230)
                    returning id, conversation_id, user_id
                )
                insert into messages (id, conversation_id, user_id, run_id, role, content)
                select gen_random_uuid(), conversation_id, user_id, id, 'user', 'more' from r";
    rows::execute(&system.db, many).await;
    assert_eq!(
        delete(&system, "ada", &conversation).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        system
            .count("select count(*) from runs where status = 'cancelled'")
            .await,
        231
    );
    let jobs = "select count(*) from apalis.jobs where status = 'Pending'";
    assert_eq!(system.count(jobs).await, 0);
}

/// A thread that an AG-UI client calls by a name of its own can be begun anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_deleted_thread_is_free() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let say = async |text: &str| {
        let input = json!({"threadId": "main", "runId": Uuid::now_v7(), "messages": [{"id": "1", "role": "user", "content": text}]});
        let input = system
            .post_chat("ada", &input)
            .header("accept", "text/event-stream");
        Answer::of(input).await.assert_ok();
    };
    say("one").await;
    let first =
        system.get("ada", "conversations").await.assert_ok()["conversations"][0]["id"].clone();
    assert_eq!(
        delete(&system, "ada", &first).await.status,
        StatusCode::NO_CONTENT
    );
    say("two").await;
    assert_eq!(listed(&system, "").await, ["two"]);
    let asked = system.model.requests().pop().unwrap();
    assert_eq!(request::messages(&asked).len(), 2, "{asked}");
}
