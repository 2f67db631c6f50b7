//! Every socket of a user hears that the user's tasks changed, wherever and however they did, and every stream hears of what its run has
//! not done itself.

use std::time::Duration;

use errand_core::hints::{Owner, TASKS_CHANGED, TaskChange};
use errand_devkit::model::{Gate, Turn, request};
use futures::FutureExt;
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use tokio::time::{Instant, timeout};

use crate::system::{
    Answer, Options, PATIENCE, TestSystem,
    events::{Sse, assert_well_formed, stored},
    mcp::Mcp,
    socket::Socket,
};

fn is_change(frame: &Value) -> bool {
    frame["type"] == "tasks.changed"
}

fn changes(socket: &Socket) -> usize {
    socket
        .frames
        .iter()
        .filter(|frame| is_change(frame))
        .count()
}

/// Waits until the socket is told of a change again.
async fn hear(socket: &mut Socket) {
    socket.frames.retain(|frame| !is_change(frame));
    let heard = socket.until(is_change).await;
    // The page reads the rows itself.
    assert_eq!(heard, json!({"type": "tasks.changed"}));
}

/// Whether nothing of a change is on its way to the socket: a ping is answered behind it.
async fn has_heard_nothing(socket: &mut Socket) -> bool {
    socket.call("ping", json!({})).await;
    changes(socket) == 0
}

/// Whose changes processes tell each other of, up to the first of this user.
async fn told_of(hints: &mut PgListener, last: &str) -> Vec<Owner> {
    let mut owners = Vec::new();
    while !owners.contains(&Owner::of(last)) {
        let hint = timeout(PATIENCE, hints.recv()).await.expect("a hint");
        let hint = hint.expect("a connection");
        let changes = hint.payload().split(',').filter_map(TaskChange::parse);
        owners.extend(changes.map(|change| change.owner));
    }
    owners
}

/// A system whose model adds a task, or lists them if it is asked to.
async fn system() -> TestSystem {
    let system = TestSystem::start().await;
    system.model.script(|asked| {
        match (
            request::steps(asked).len(),
            request::last_user(asked).as_str(),
        ) {
            (0, "list") => Turn::call("list_tasks", json!({})),
            (0, "lose one") => Turn::call("delete_task", json!({"task_id": uuid::Uuid::nil()})),
            (0, title) => Turn::call("add_task", json!({"title": title})),
            _ => Turn::text("Done."),
        }
    });
    system
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_another_conversation_is_told_to_every_socket_of_its_user() {
    let system = system().await;
    // Who begins to listen tells every socket that there is, because something may have been missed. That is over when somebody has heard of anything.
    let mut eve = Socket::connect(&system, "eve").await;
    system.say("eve", "wake up").await.assert_ok();
    hear(&mut eve).await;
    let mut hints = PgListener::connect(&system.database_url)
        .await
        .expect("connects");
    hints.listen(TASKS_CHANGED).await.expect("listens");
    let mut page = Socket::connect(&system, "ada").await;
    let mut phone = Socket::connect(&system, "ada").await;
    let mut bob = Socket::connect(&system, "bob").await;
    system.say("ada", "buy milk").await.assert_ok();
    for socket in [&mut page, &mut phone] {
        hear(socket).await;
    }
    let tasks = system.get("ada", "tasks").await;
    assert_eq!(tasks.assert_ok()["tasks"][0]["title"], "buy milk");
    assert!(has_heard_nothing(&mut bob).await, "{:?}", bob.frames);
    // What changes nothing is not told; Bob's change comes behind it. A socket may be told more than there is, when its process begins to listen again.
    system.say("ada", "list").await.assert_ok();
    system.say("ada", "lose one").await.assert_ok();
    system.say("bob", "call Ann").await.assert_ok();
    hear(&mut bob).await;
    assert_eq!(
        told_of(&mut hints, "bob").await,
        ["ada", "bob"].map(Owner::of)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_a_client_from_outside_is_told_too() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mcp = Mcp::on(&system.database_url, &[]).await;
    let mut page = Socket::connect(&system, "ada").await;
    let mut bob = Socket::connect(&system, "bob").await;
    let milk = json!({"user_id": "ada", "title": "buy milk"});
    let added = mcp.call("ada", "add_task", milk).await;
    hear(&mut page).await;
    let task = json!({"user_id": "ada", "task_id": added["task_id"]});
    for tool in ["complete_task", "delete_task"] {
        let done = mcp.call("ada", tool, task.clone()).await;
        assert_eq!(done["success"], true, "{done}");
        hear(&mut page).await;
    }
    assert!(has_heard_nothing(&mut bob).await, "{:?}", bob.frames);
    mcp.stop().await;
}

/// How soon, for a change after a silence and for one right behind another. That it is heard of is asserted; the figures are printed.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "figures are for people")]
async fn a_change_is_heard_of_at_once_from_any_process() {
    const CHANGES: usize = 30;
    let unlimited = ["--rate-calls-per-minute", "0"];
    let system = TestSystem::with(Options {
        workers: Some(0),
        api: unlimited.to_vec(),
        ..Options::default()
    })
    .await;
    let program = Mcp::on(&system.database_url, &unlimited).await;
    let other_api = Mcp::of_an_api_on(&system.database_url, &unlimited).await;
    let mut page = Socket::connect(&system, "ada").await;
    for (place, pause) in [
        ("the socket's own API", Duration::ZERO),
        ("the socket's own API", Duration::from_millis(150)),
        ("another API", Duration::ZERO),
        ("errand-mcp", Duration::ZERO),
    ] {
        let mut took = Vec::new();
        for n in 0..CHANGES {
            let task = json!({"user_id": "ada", "title": format!("task {n}")});
            let call = match place {
                "errand-mcp" => program.call("ada", "add_task", task).boxed(),
                "another API" => other_api.call("ada", "add_task", task).boxed(),
                _ => {
                    let mcp = system.mcp();
                    async move { mcp.call("ada", "add_task", task).await }.boxed()
                }
            };
            let asked = Instant::now();
            let (heard, _) = tokio::join!(
                async {
                    hear(&mut page).await;
                    asked.elapsed()
                },
                call
            );
            took.push(heard);
            tokio::time::sleep(pause).await;
        }
        took.sort();
        eprintln!(
            "{place}, {pause:?} behind the last: heard of {:?} after the call was sent (median), {:?} at most",
            took[CHANGES / 2],
            took[CHANGES - 1]
        );
    }
}

/// A stream shows its run's own changes as state; those of others it tells of beside the run's events.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "figures are for people")]
async fn a_stream_hears_of_what_others_change_meanwhile() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    system.say("ada", "hi").await.assert_ok();
    let gate = Gate::closed();
    system
        .model
        .push(Turn::call("add_task", json!({"title": "mine"})));
    system
        .model
        .push(Turn::text("It is there.").gate_after(2, &gate));
    let post = system.post_chat("ada", &json!({"message": "add mine"}));
    let mut stream = Sse::open(post.header("accept", "text/event-stream")).await;
    let (mut events, mut beside) = (Vec::new(), Vec::new());
    while events
        .last()
        .is_none_or(|(_, event): &(i64, Value)| event["type"] != "TEXT_MESSAGE_CONTENT")
    {
        match stream.next_of_all().await.expect("the stream goes on") {
            (Some(seq), event) => events.push((seq, event)),
            (None, event) => beside.push(event),
        }
    }
    let run = events[0].1["runId"].as_str().expect("a run").to_owned();
    let add = |user: &str| json!({"user_id": user, "title": "from outside"});
    system.mcp().call("bob", "add_task", add("bob")).await;
    let asked = Instant::now();
    let call = async { system.mcp().call("ada", "add_task", add("ada")).await };
    let hears = async {
        loop {
            match stream.next_of_all().await.expect("the stream goes on") {
                (Some(seq), event) => events.push((seq, event)),
                (None, event) => {
                    beside.push(event);
                    return asked.elapsed();
                }
            }
        }
    };
    let (_, took) = tokio::join!(call, hears);
    eprintln!("a stream heard of it {took:?} after the call was sent");
    gate.open();
    while let Some((seq, event)) = stream.next_of_all().await {
        match seq {
            Some(seq) => events.push((seq, event)),
            None => beside.push(event),
        }
    }
    // Once: neither of the run's own change, nor of Bob's.
    let change = json!({"type": "CUSTOM", "name": "errand.tasks_changed", "value": {}});
    assert_eq!(beside, [change]);
    assert_well_formed(&events);
    assert_eq!(events, stored(&system, &run).await);
}

/// Many changes at once are few frames, of which the last comes behind the last change.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_changes_is_told_of_in_few_frames() {
    const CHANGES: usize = 60;
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mcp = Mcp::on(&system.database_url, &["--rate-calls-per-minute", "0"]).await;
    let mut page = Socket::connect(&system, "ada").await;
    let begun = Instant::now();
    for n in 0..CHANGES {
        let task = json!({"user_id": "ada", "title": format!("task {n}")});
        mcp.call("ada", "add_task", task).await;
    }
    let mut told = 0;
    // Whoever reads after each frame ends with the whole list.
    loop {
        hear(&mut page).await;
        told += 1;
        let tasks = system.get("ada", "tasks?limit=200").await;
        if tasks.assert_ok()["tasks"].as_array().map(Vec::len) == Some(CHANGES) {
            break;
        }
    }
    let most = begun.elapsed().as_secs_f64() * 20.0 + 2.0;
    assert!(f64::from(told) <= most, "{told} frames, at most {most}");
}

/// Notifications are hints: after a time without them everybody is told to look.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_missed_a_change_is_told_to_look() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mut page = Socket::connect(&system, "ada").await;
    let mut bob = Socket::connect(&system, "bob").await;
    let listener = "select count(*) from pg_stat_activity where datname = current_database()
                    and application_name = 'errand-api-listen' and query like '%LISTEN%'";
    system.until(listener, 1).await;
    for socket in [&mut page, &mut bob] {
        socket.call("ping", json!({})).await;
        socket.frames.clear();
    }
    sqlx::raw_sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'errand-api-listen' and datname = current_database()")
        .execute(&system.db)
        .await
        .expect("the listener is cut off");
    for socket in [&mut page, &mut bob] {
        hear(socket).await;
    }
    let tasks = system.get("ada", "tasks");
    assert_eq!(Answer::assert_ok(&tasks.await)["tasks"], json!([]));
}
