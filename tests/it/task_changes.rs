//! Every socket of a user hears that the user's tasks changed, wherever and however they did.

use errand_devkit::model::{Turn, request};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{Answer, Options, World, mcp::Mcp, socket::Socket};

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

/// A world whose model adds a task, or lists them if it is asked to.
async fn world() -> World {
    let world = World::start().await;
    world.model.script(|asked| {
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
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_another_conversation_is_told_to_every_socket_of_its_user() {
    let world = world().await;
    let mut page = Socket::connect(&world, "ada").await;
    let mut phone = Socket::connect(&world, "ada").await;
    let mut bob = Socket::connect(&world, "bob").await;
    world.say("ada", "buy milk").await.assert_ok();
    for socket in [&mut page, &mut phone] {
        hear(socket).await;
    }
    let tasks = world.get("ada", "tasks").await;
    assert_eq!(tasks.assert_ok()["tasks"][0]["title"], "buy milk");
    assert!(has_heard_nothing(&mut bob).await, "{:?}", bob.frames);
    // What changes nothing is not told; Bob's change comes behind it.
    page.frames.clear();
    world.say("ada", "list").await.assert_ok();
    world.say("ada", "lose one").await.assert_ok();
    world.say("bob", "call Ann").await.assert_ok();
    hear(&mut bob).await;
    assert!(has_heard_nothing(&mut page).await, "{:?}", page.frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_a_client_from_outside_is_told_too() {
    let world = World::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mcp = Mcp::on(&world.database_url, &[]).await;
    let mut page = Socket::connect(&world, "ada").await;
    let mut bob = Socket::connect(&world, "bob").await;
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

/// Many changes at once are few frames, of which the last comes behind the last change.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_changes_is_told_of_a_few_times_a_second() {
    const CHANGES: usize = 60;
    let world = World::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mcp = Mcp::on(&world.database_url, &["--rate-calls-per-minute", "0"]).await;
    let mut page = Socket::connect(&world, "ada").await;
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
        let tasks = world.get("ada", "tasks?limit=200").await;
        if tasks.assert_ok()["tasks"].as_array().map(Vec::len) == Some(CHANGES) {
            break;
        }
    }
    let most = begun.elapsed().as_secs_f64() * 5.0 + 2.0;
    assert!(f64::from(told) <= most, "{told} frames, at most {most}");
}

/// Notifications are hints: after a time without them everybody is told to look.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_missed_a_change_is_told_to_look() {
    let world = World::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let mut page = Socket::connect(&world, "ada").await;
    let mut bob = Socket::connect(&world, "bob").await;
    let listener = "select count(*) from pg_stat_activity where datname = current_database()
                    and application_name = 'errand-api-listen' and query like '%LISTEN%'";
    world.until(listener, 1).await;
    for socket in [&mut page, &mut bob] {
        socket.call("ping", json!({})).await;
        socket.frames.clear();
    }
    sqlx::raw_sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'errand-api-listen' and datname = current_database()")
        .execute(&world.db)
        .await
        .expect("the listener is cut off");
    for socket in [&mut page, &mut bob] {
        hear(socket).await;
    }
    let tasks = world.get("ada", "tasks");
    assert_eq!(Answer::assert_ok(&tasks.await)["tasks"], json!([]));
}
