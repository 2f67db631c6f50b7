//! Long conversations: older talk gives way to a summary, which is written behind a turn and seen by nobody but the model.

use errand_devkit::model::{Gate, Turn, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Answer, Options, TestSystem, past, rows};

const NOTES: &str = "Ann is the user's sister. The user likes lists short.";

fn is_summary(request: &Value) -> bool {
    request["messages"][0]["content"]
        .as_str()
        .is_some_and(|prompt| prompt.starts_with("Write notes"))
}

/// The requests for summaries, in their order.
fn asked(system: &TestSystem) -> Vec<Value> {
    let requests = system.model.requests().into_iter();
    requests.filter(is_summary).collect()
}

/// Those of turns.
fn turns(system: &TestSystem) -> Vec<Value> {
    let requests = system.model.requests().into_iter();
    requests.filter(|request| !is_summary(request)).collect()
}

async fn say(system: &TestSystem, user: &str, conversation: &Value, text: &str) -> Answer {
    system.model.push(Turn::text("Yes."));
    let answer = system.say_in(user, conversation, text).await;
    assert_eq!(answer.assert_ok()["response"], "Yes.");
    answer
}

const COMPLETED: &str = "select count(*) from summaries where status = 'completed'";

#[tokio::test(flavor = "multi_thread")]
async fn older_talk_is_replaced_by_a_summary_that_is_written_behind_a_turn() {
    let system = TestSystem::start().await;
    let notes = Turn::text(NOTES).usage(1_000, 100).cached(200);
    system.model.summarise(notes.reasoning(30));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    let first = say(&system, "ada", &conversation, "go on").await;
    system.until(COMPLETED, 1).await;
    let summaries = asked(&system);
    assert_eq!(summaries.len(), 1);
    // It is asked what was said, without a tool to act with.
    assert!(summaries[0]["tools"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(request::messages(&summaries[0]).len(), 2);
    let shown: Value = serde_json::from_str(&request::last_user(&summaries[0])).unwrap();
    let shown = shown["turns"].as_array().unwrap();
    assert_eq!(shown[0]["user"], "Remember number 1");
    assert_eq!(shown.last().unwrap()["user"], "Remember number 25");

    system
        .model
        .push(Turn::call("add_task", json!({"title": "milk"})));
    say(&system, "ada", &conversation, "add milk").await;
    let requests = turns(&system);
    let [before, after, .., last] = requests.as_slice() else {
        panic!("{} requests", requests.len())
    };
    assert!(before.to_string().contains("Remember number 1\\n"));
    let messages = request::messages(after);
    assert!(
        request::content(&messages[1]).ends_with(NOTES),
        "{}",
        messages[1]
    );
    assert_eq!(messages[1]["role"], "user");
    assert_eq!(request::content(&messages[3]), "Remember number 26");
    assert!(!after.to_string().contains("Remember number 25"));
    assert_eq!(
        request::messages(last)[..messages.len()],
        *messages,
        "the prefix stays"
    );

    // It is counted as used, and is no part of any run, message or list that a client sees.
    assert_eq!(first.body["usage"]["model_calls"], 1);
    let today = "select (sum(tokens) > 1100)::int::bigint from usage_days where user_id = 'ada'";
    assert_eq!(system.count(today).await, 1);
    let usage = system.get("ada", "usage").await;
    let day = &usage.assert_ok()["usage"][0];
    assert_eq!(day["models"][0]["model_calls"], 4, "three answers and it");
    let told = (&day["cached_input_tokens"], &day["reasoning_tokens"]);
    assert_eq!(told, (&json!(200), &json!(30)));
    let recorded = "select count(*) from summaries where input_tokens = 1000 and output_tokens = 100 and attempt = 1
                    and model = 'scripted' and covers_to = (select position from runs order by position offset 24 limit 1)";
    assert_eq!(system.count(recorded).await, 1);
    assert_eq!(system.count("select count(*) from runs").await, 37);
    assert_eq!(system.count("select count(*) from messages").await, 74);
    assert_eq!(system.count("select count(*) from apalis.jobs").await, 0);
    let list = system.get("ada", "conversations").await;
    assert_eq!(
        list.assert_ok()["conversations"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(!list.body.to_string().contains("sister"));
}

/// A message of the conversation waits for nothing: the summary gives way, and is asked for again behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_goes_on_cancels_its_summary() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .summarise(Turn::text(NOTES).gate_after(0, &gate));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    say(&system, "ada", &conversation, "go on").await;
    gate.reached(1).await.unwrap();
    let path = format!("conversations/{}/messages", conversation.as_str().unwrap());
    let busy = system.get("ada", &path).await;
    assert!(
        !busy.assert_ok().to_string().contains("running"),
        "{}",
        busy.body
    );
    // Answered though the summary is not; whoever wrote it has hung up.
    say(&system, "ada", &conversation, "and on").await;
    system.model.aborted_seen(1).await.unwrap();
    // Behind that turn it is begun again.
    gate.reached(2).await.unwrap();
    // Told once more, and late: it was meant for the attempt before.
    rows::execute(
        &system.db,
        "select pg_notify('errand_cancel', id::text) from summaries",
    )
    .await;
    a_cancel_is_heard(&system).await;
    gate.open();
    system.until(COMPLETED, 1).await;
    let attempts = "select attempt::bigint from summaries where status = 'completed'";
    assert_eq!(system.count(attempts).await, 2);
    say(&system, "ada", &conversation, "and on and on").await;
    let last = turns(&system).pop().unwrap();
    assert!(request::content(&request::messages(&last)[1]).ends_with(NOTES));
}

/// Cancels a run of somebody else: its worker has heard of all cancels before it.
async fn a_cancel_is_heard(system: &TestSystem) {
    let gate = Gate::closed();
    let never = Turn::text("never").gate_after(0, &gate);
    system.model.push(never);
    let go = system.post_chat("bob", &json!({"message": "go"}));
    let accepted = Answer::of(go.header("prefer", "respond-async")).await;
    let run = accepted.body["run_id"].as_str().unwrap();
    gate.reached(1).await.unwrap();
    let cancel = format!("runs/{run}/cancel");
    let cancel = system.request(Method::POST, "bob", &cancel);
    Answer::of(cancel).await.assert_ok();
    let ended = system.get("bob", &format!("runs/{run}?wait=20")).await;
    assert_eq!(ended.assert_ok()["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_fails_is_not_tried_for_ever() {
    let system = TestSystem::start().await;
    for (turn, code) in [
        (Turn::status(401), "model_refused"),
        (
            Turn::call("add_task", json!({"title": "notes"})),
            "no_summary",
        ),
    ] {
        system.model.summarise(turn);
        let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
        say(&system, "ada", &conversation, "go on").await;
        let failed = "select count(*) from summaries where status = 'failed'";
        system.until(failed, 1).await;
        let why: String = sqlx::query_scalar("select error_code from summaries")
            .fetch_one(&system.db)
            .await
            .unwrap();
        assert_eq!(why, code);
        let before = asked(&system).len();
        for _ in 0..4 {
            say(&system, "ada", &conversation, "and on").await;
        }
        system.model.idle().await.unwrap();
        assert_eq!(asked(&system).len(), before);
        // Nobody's turn is the worse for it, and no task came of it.
        assert_eq!(system.titles("ada").await, [""; 0]);
        rows::execute(&system.db, "delete from summaries").await;
    }
    // Attempts that were begun and came to nothing count, whatever became of them.
    system.model.summarise(Turn::text(NOTES));
    let conversation = past::talk(&system.db, "bob", 35, "Remember number").await;
    let worn = "insert into summaries (id, conversation_id, user_id, covers_to, status, attempt, finished_at)
                select gen_random_uuid(), conversation_id, user_id, position, 'cancelled', 3, now() from runs where user_id = 'bob'
                order by position offset 20 limit 1";
    rows::execute(&system.db, worn).await;
    let before = asked(&system).len();
    say(&system, "bob", &conversation, "go on").await;
    say(&system, "bob", &conversation, "go on").await;
    system.model.idle().await.unwrap();
    assert_eq!(asked(&system).len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_summaries_the_older_turns_are_left_out() {
    let system = TestSystem::with(Options {
        worker: vec!["--summaries", "false"],
        ..Options::default()
    })
    .await;
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    say(&system, "ada", &conversation, "go on").await;
    system
        .until("select count(*) from summaries where status = 'skipped'", 1)
        .await;
    say(&system, "ada", &conversation, "go on").await;
    assert!(asked(&system).is_empty());
    let last = turns(&system).pop().unwrap();
    assert_eq!(
        request::content(&request::messages(&last)[1]),
        "Remember number 26"
    );
}

/// It goes with its conversation: nothing more is written of one that is deleted, and nothing is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_conversation_takes_its_summary_with_it() {
    let system = TestSystem::start().await;
    let gate = Gate::closed();
    system
        .model
        .summarise(Turn::text(NOTES).gate_after(0, &gate));
    let conversation = past::talk(&system.db, "ada", 35, "Remember number").await;
    say(&system, "ada", &conversation, "go on").await;
    gate.reached(1).await.unwrap();
    let path = format!("conversations/{}", conversation.as_str().unwrap());
    let gone = system.request(reqwest::Method::DELETE, "ada", &path);
    assert_eq!(Answer::of(gone).await.status.as_u16(), 204);
    gate.open();
    system.model.idle().await.unwrap();
    system.until("select count(*) from apalis.jobs", 0).await;
    let left = "select count(*) from summaries where status = 'cancelled' and content is null";
    assert_eq!(system.count(left).await, 1);
    // Also if whoever purges is of a version that knows nothing of summaries.
    let purged = "delete from messages; delete from steps; delete from run_events; delete from runs; delete from conversations";
    rows::execute(&system.db, purged).await;
    assert_eq!(system.count("select count(*) from summaries").await, 0);
}

/// What is summarised, and who is shown it, is one user's; behind the code that says so stands a policy.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_one_user_is_in_anothers_summary() {
    let system = TestSystem::start().await;
    let hers = past::talk(&system.db, "ada", 35, "Her secret").await;
    let his = past::talk(&system.db, "bob", 35, "His secret").await;
    for (user, conversation, others) in [("ada", &hers, "His"), ("bob", &his, "Her")] {
        system
            .model
            .summarise(Turn::text(format!("Notes on {user}.")));
        say(&system, user, conversation, "go on").await;
        let written = match user {
            "ada" => 1,
            _ => 2,
        };
        system.until(COMPLETED, written).await;
        say(&system, user, conversation, "and on").await;
        let (summary, turn) = (asked(&system).pop().unwrap(), turns(&system).pop().unwrap());
        assert!(!summary.to_string().contains(&format!("{others} secret")));
        assert!(
            request::content(&request::messages(&turn)[1]).ends_with(&format!("Notes on {user}."))
        );
    }
    let mut db = system.db.begin().await.unwrap();
    sqlx::query("select act_for('bob')")
        .execute(&mut *db)
        .await
        .unwrap();
    let seen: Vec<String> = sqlx::query_scalar("select content from summaries")
        .fetch_all(&mut *db)
        .await
        .unwrap();
    assert_eq!(seen, ["Notes on bob."]);
    let changed = "update summaries set content = 'mine' where user_id = 'ada'";
    let changed = sqlx::query(changed).execute(&mut *db).await.unwrap();
    assert_eq!(changed.rows_affected(), 0);
}

/// In a conversation that is full, most requests begin with the whole of the one before: a provider's prompt cache knows them.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_turns_of_a_full_conversation_mostly_share_their_beginning() {
    let system = TestSystem::with(Options {
        api: vec!["--rate-runs-per-minute", "0"],
        ..Options::default()
    })
    .await;
    system.model.summarise(Turn::text(NOTES));
    let words = "Remember this number, which matters a lot to me. ".repeat(25);
    let conversation = past::talk(&system.db, "ada", 60, &words).await;
    for n in 0..20 {
        if n % 3 == 0 {
            system
                .model
                .push(Turn::call("list_tasks", json!({"limit": 20})));
        } else if n % 3 == 1 {
            system.model.push(Turn::call(
                "add_task",
                json!({"title": format!("task {n}")}),
            ));
        }
        let text = format!("turn {n}: {}", "some more words ".repeat(10));
        say(&system, "ada", &conversation, &text).await;
    }
    // The last request of each turn, against the first of the next.
    let requests = turns(&system);
    let is_first = |request: &&Value| {
        request["messages"].as_array().unwrap().last().unwrap()["role"] == "user"
    };
    let mut shared = 0;
    let mut neighbours = 0;
    for pair in requests.windows(2).filter(|pair| is_first(&&pair[1])) {
        let (one, next) = (request::messages(&pair[0]), request::messages(&pair[1]));
        assert_eq!(one[0], next[0]);
        neighbours += 1;
        shared += usize::from(next.starts_with(one));
    }
    assert_eq!(neighbours, 19);
    assert!(shared >= 15, "{shared} of {neighbours}");
}
