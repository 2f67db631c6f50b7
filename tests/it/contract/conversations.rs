//! Conversations: renamed, deleted with all that is in them, searched, and read from their end.

use std::time::Duration;

use errand_devkit::model::{Gate, Turn, request};
use errand_store::queue::purge::{self, Purge};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::system::{
    Answer, Options, TestSystem,
    events::{Sse, assert_well_formed, stored},
    process, rows,
    socket::Socket,
};

async fn rename(system: &TestSystem, user: &str, id: &Value, body: Value) -> Answer {
    let path = format!("conversations/{}", id.as_str().expect("an id"));
    Answer::of(system.request(Method::PATCH, user, &path).json(&body)).await
}

async fn delete(system: &TestSystem, user: &str, id: &Value) -> Answer {
    let path = format!("conversations/{}", id.as_str().expect("an id"));
    Answer::of(system.request(Method::DELETE, user, &path)).await
}

async fn listed(system: &TestSystem, query: &str) -> Vec<String> {
    let page = system.get("ada", &format!("conversations{query}")).await;
    let rows = page.assert_ok()["conversations"]
        .as_array()
        .unwrap()
        .clone();
    rows.iter()
        .map(|row| row["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_renamed_and_keeps_its_place() {
    let system = TestSystem::start().await;
    system.model.script(|_| Turn::text("Hello."));
    let first = system.say("ada", "first").await.assert_ok()["conversation_id"].clone();
    system.say("ada", "second").await.assert_ok();
    let before = system.get("ada", "conversations").await.assert_ok()["conversations"][1].clone();
    let renamed = rename(&system, "ada", &first, json!({"title": "Shopping, 🛒"})).await;
    let mut expected = before;
    expected["title"] = json!("Shopping, 🛒");
    assert_eq!(renamed.assert_ok(), &expected);
    assert_eq!(listed(&system, "").await, ["second", "Shopping, 🛒"]);
    let longest = "ä".repeat(255);
    rename(&system, "ada", &first, json!({"title": longest}))
        .await
        .assert_ok();
    for (body, field) in [
        (json!({"title": ""}), "title"),
        (json!({"title": " \u{200b}"}), "title"),
        (json!({"title": "a\u{0}b"}), "title"),
        (json!({"title": "ä".repeat(256)}), "title"),
        (json!({"title": 7}), "title"),
        (json!({"title": null}), "title"),
        (json!({}), "title"),
        (json!({"title": "x", "user_id": "bob"}), "user_id"),
    ] {
        let refused = rename(&system, "ada", &first, body.clone()).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], field, "{body}: {}", refused.body);
    }
    for id in [json!(Uuid::now_v7()), json!("nonsense"), first.clone()] {
        let user = if id == first { "bob" } else { "ada" };
        rename(&system, user, &id, json!({"title": "his"}))
            .await
            .assert_error(404, "not_found");
    }
    assert_eq!(listed(&system, "").await, ["second", longest.as_str()]);
    // Browsers of listed origins may do both.
    let system = TestSystem::with(Options {
        api: vec!["--allowed-origins", "https://app.example.com"],
        workers: Some(0),
        ..Options::default()
    })
    .await;
    for method in ["PATCH", "DELETE"] {
        let asked = system
            .bare(Method::OPTIONS, "/api/ada/conversations/x")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", method)
            .header(
                "access-control-request-headers",
                "authorization, x-time-zone",
            );
        let answer = Answer::of(asked).await;
        assert!(
            answer
                .header("access-control-allow-methods")
                .contains(method)
        );
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("x-time-zone")
        );
    }
}

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

/// The rows of a deleted conversation go, all of them and no others, in batches of any size; those of one that is still at work wait.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_deleted_conversation_are_purged() {
    const HOUR: Duration = Duration::from_secs(3600);
    let system = TestSystem::with(Options {
        worker: vec!["--require-approval", "delete_task"],
        ..Options::default()
    })
    .await;
    // Two of each, with a run that goes on from another and a decision.
    let mut conversations = Vec::new();
    for n in 0..3 {
        system.model.push(Turn::call(
            "add_task",
            json!({"title": format!("kept {n}")}),
        ));
        system.model.push(Turn::text("Added."));
        let said = system.say("ada", "add it").await;
        let conversation = said.assert_ok()["conversation_id"].clone();
        let task = &said.body["tool_calls"][0]["result"]["task_id"];
        system
            .model
            .push(Turn::call("delete_task", json!({"task_id": task})));
        system.model.push(Turn::text("Left."));
        let waits = system.say_in("ada", &conversation, "delete it").await;
        let path = format!("runs/{}/decision", waits.body["run_id"].as_str().unwrap());
        let decision = system
            .request(Method::POST, "ada", &path)
            .json(&json!({"approve": false}));
        Answer::of(decision).await.assert_ok();
        conversations.push(conversation);
    }
    let mut db = system.db.acquire().await.unwrap();
    let purge = async |db: &mut sqlx::PgConnection, limit| {
        let mut rows = 0;
        for _ in 0..1_000 {
            let batch = purge::step(db, Purge::Conversations, HOUR, limit)
                .await
                .unwrap();
            rows += batch.rows;
            if batch.is_last {
                return rows;
            }
        }
        panic!("no end");
    };
    // The purge begins at the beginning, where what is made older lies.
    let age = "update conversations set deleted_at = deleted_at - interval '2 hours' where deleted_at is not null;
               delete from purge_cursors";
    let rows_of = async |id: &Value| -> i64 {
        let query = "select (select count(*) from conversations where id = $1::uuid)
                          + (select count(*) from messages where conversation_id = $1::uuid)
                          + (select count(*) from runs where conversation_id = $1::uuid)
                          + (select count(*) from runs r join steps x on x.run_id = r.id where conversation_id = $1::uuid)
                          + (select count(*) from runs r join tool_calls x on x.run_id = r.id where conversation_id = $1::uuid)
                          + (select count(*) from runs r join approvals x on x.run_id = r.id where conversation_id = $1::uuid)
                          + (select count(*) from runs r join run_events x on x.run_id = r.id where conversation_id = $1::uuid)";
        let count = sqlx::query_scalar(query).bind(id.as_str().unwrap());
        count.fetch_one(&system.db).await.unwrap()
    };
    let all = rows_of(&conversations[0]).await;
    assert!(all > 30, "{all}");
    delete(&system, "ada", &conversations[0]).await;
    assert_eq!(purge(&mut db, 64).await, 0, "not at once");
    rows::execute(&system.db, age).await;
    assert_eq!(purge(&mut db, 8).await, u64::try_from(all).unwrap());
    assert_eq!(rows_of(&conversations[0]).await, 0);
    // One with a run that is not over waits, and is not forgotten.
    delete(&system, "ada", &conversations[1]).await;
    let at_work = "alter table runs disable trigger runs_transitions;
                   update runs set status = 'running', finished_at = null, cancel_requested_at = now() where id = (
                       select r.id from runs r join conversations c on c.id = r.conversation_id
                       where c.deleted_at is not null order by r.position desc limit 1);
                   alter table runs enable trigger runs_transitions";
    rows::execute(&system.db, at_work).await;
    rows::execute(&system.db, age).await;
    let left = rows_of(&conversations[1]).await;
    assert_eq!(purge(&mut db, 64).await, 0);
    rows::execute(
        &system.db,
        "update runs set status = 'cancelled', finished_at = now() where status = 'running'",
    )
    .await;
    assert_eq!(purge(&mut db, 4096).await, u64::try_from(left).unwrap());
    assert_eq!(rows_of(&conversations[1]).await, 0);
    assert_eq!(rows_of(&conversations[2]).await, all);
    assert_eq!(system.titles("ada").await, ["kept 0", "kept 1", "kept 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_found_by_title_and_by_what_was_said() {
    let system = TestSystem::start().await;
    system.model.script(|asked| {
        let text = request::last_user(asked);
        Turn::text(if text == "hint" {
            "Look under the Doormat."
        } else {
            "Yes."
        })
    });
    let mut ids = Vec::new();
    for message in ["buy milk", "hint", "100% [sure] (a+b)*"] {
        ids.push(system.say("ada", message).await.assert_ok()["conversation_id"].clone());
    }
    system.say("bob", "his doormat").await.assert_ok();
    rename(&system, "ada", &ids[0], json!({"title": "Groceries"}))
        .await
        .assert_ok();
    for (search, found) in [
        ("groc", vec!["Groceries"]),
        ("MILK", vec!["Groceries"]),
        ("doormat", vec!["hint"]),
        ("e", vec!["100% [sure] (a+b)*", "hint", "Groceries"]),
        ("100%25 [", vec!["100% [sure] (a+b)*"]),
        ("(A%2Bb)*", vec!["100% [sure] (a+b)*"]),
        ("m.lk", vec![]),
        ("_", vec![]),
        ("%5C", vec![]),
        ("***=", vec![]),
        ("", vec!["100% [sure] (a+b)*", "hint", "Groceries"]),
    ] {
        assert_eq!(
            listed(&system, &format!("?search={search}")).await,
            found,
            "{search}"
        );
    }
    // In pages, each conversation once.
    let mut seen = Vec::new();
    let mut query = "conversations?search=e&limit=1".to_owned();
    loop {
        let page = system.get("ada", &query).await;
        let rows = page.assert_ok()["conversations"]
            .as_array()
            .unwrap()
            .clone();
        assert!(rows.len() <= 1);
        seen.extend(rows.iter().map(|row| row["id"].clone()));
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        query = format!("conversations?search=e&limit=1&cursor={cursor}");
    }
    seen.reverse();
    assert_eq!(seen, ids);
    let foreign = Uuid::now_v7();
    for (bad, field) in [
        ("search=%00".to_owned(), "search"),
        (format!("search={}", "a".repeat(256)), "search"),
        ("search=a&cursor=nonsense".to_owned(), "cursor"),
        (format!("search=a&cursor=0_{foreign}_{foreign}"), "cursor"),
        (format!("search=a&cursor=0_{foreign}_7"), "cursor"),
        (format!("cursor=0_{foreign}_{foreign}"), "cursor"),
        ("search=a&limit=0".to_owned(), "limit"),
    ] {
        let refused = system.get("ada", &format!("conversations?{bad}")).await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], field, "{bad}: {}", refused.body);
    }
}

/// Messages of a user, `each` in a conversation, by twos in a run.
fn messages(user: &str, conversations: u32, each: u32, text: &str) -> String {
    format!(
        "with c as (
             insert into conversations (id, user_id, title, updated_at)
             select gen_random_uuid(), '{user}', 'talk ' || g, now() - g * interval '1 minute' from generate_series(1, {conversations}) g
             returning id, user_id
         ),
         r as (
             insert into runs (id, conversation_id, user_id, status, attempt, admitted_at, started_at, finished_at, created_at)
             select gen_random_uuid(), id, user_id, 'completed', 1, t, t, t, t
             from c cross join generate_series(1, {each} / 2) g cross join (select now() - interval '1 hour' as t) t
             returning id, conversation_id, user_id
         )
         insert into messages (id, conversation_id, user_id, run_id, role, content)
         select gen_random_uuid(), conversation_id, user_id, id, role, {text} from r cross join unnest(array['user', 'assistant']) role"
    )
}

/// Every page of a search; how many conversations it found, how many pages there were, and how long the slowest took.
async fn search(system: &TestSystem, user: &str, text: &str) -> (usize, usize, Duration) {
    let (mut found, mut pages, mut slowest) = (0, 0, Duration::ZERO);
    let mut query = format!("conversations?search={text}");
    loop {
        let begun = Instant::now();
        let page = system.get(user, &query).await;
        found += page.assert_ok()["conversations"].as_array().unwrap().len();
        slowest = slowest.max(begun.elapsed());
        pages += 1;
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            return (found, pages, slowest);
        };
        query = format!("conversations?search={text}&cursor={cursor}");
    }
}

/// A hundred thousand messages, and one conversation with very many large ones: each answer comes within the time of one, and the search
/// comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_bounded_however_much_there_is() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let small = "'some words about this and that, number ' || row_number() over ()";
    rows::execute(&system.db, &messages("ada", 1_000, 100, small)).await;
    let large = "repeat('long words ', 700)";
    rows::execute(&system.db, &messages("eve", 1, 20_000, large)).await;
    rows::execute(&system.db, "analyze").await;
    let (found, pages, slowest) = search(&system, "ada", "nothing").await;
    assert_eq!(found, 0);
    assert!(
        slowest < Duration::from_secs(4),
        "{pages} pages, {slowest:?}"
    );
    let expected = "select count(distinct conversation_id) from messages where user_id = 'ada' and content like '%number 777%'";
    let expected = usize::try_from(system.count(expected).await).unwrap();
    assert!(expected > 10);
    let (found, pages, slowest) = search(&system, "ada", "Number%20777").await;
    assert_eq!(found, expected);
    assert!(
        slowest < Duration::from_secs(4),
        "{pages} pages, {slowest:?}"
    );
    let (found, ..) = search(&system, "ada", "number%2077777").await;
    assert_eq!(found, 1);
    // The first page of what is everywhere ends early.
    let begun = Instant::now();
    assert_eq!(
        system
            .get("ada", "conversations?search=WORDS")
            .await
            .assert_ok()["conversations"]
            .as_array()
            .unwrap()
            .len(),
        50
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
    // 140 MB in one conversation: several pages, none of which is late.
    let (found, pages, slowest) = search(&system, "eve", "nothing").await;
    assert_eq!(found, 0);
    assert!(
        slowest < Duration::from_secs(4),
        "{pages} pages, {slowest:?}"
    );
    let first = "update messages set content = 'the needle' where position = (select min(position) from messages where user_id = 'eve')";
    rows::execute(&system.db, first).await;
    assert_eq!(search(&system, "eve", "needle").await.0, 1);
    // A page that ran out of time in the middle of a conversation is gone on from there, and looks at nothing twice.
    let within = |message: &str| {
        format!(
        "select (extract(epoch from updated_at) * 1000000)::bigint || '_' || c.id || '_' || m.id
         from conversations c join messages m on m.conversation_id = c.id where c.user_id = 'eve' {message}"
    )
    };
    for (message, expected) in [("order by m.position desc", 1), ("order by m.position", 0)] {
        let query = within(&format!("{message} limit 1"));
        let cursor: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&system.db)
            .await
            .unwrap();
        let page = system
            .get(
                "eve",
                &format!("conversations?search=needle&cursor={cursor}"),
            )
            .await;
        assert_eq!(
            page.assert_ok()["conversations"].as_array().unwrap().len(),
            expected,
            "{message}"
        );
        assert_eq!(page.body["next_cursor"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_read_from_its_end() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    rows::execute(
        &system.db,
        &messages("ada", 1, 6_000, "'message ' || row_number() over ()"),
    )
    .await;
    let id: String = sqlx::query_scalar("select id::text from conversations")
        .fetch_one(&system.db)
        .await
        .unwrap();
    let read = async |order: &str, limit: usize| {
        let mut seen: Vec<Value> = Vec::new();
        let path = format!("conversations/{id}/messages?order={order}&limit={limit}");
        let mut query = path.clone();
        loop {
            let page = system.get("ada", &query).await;
            let page = page.assert_ok();
            seen.extend(page["messages"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str().filter(|_| seen.len() < 10_000) else {
                return seen;
            };
            assert_eq!(seen.last().unwrap()["id"], cursor);
            query = format!("{path}&cursor={cursor}");
        }
    };
    let forwards = read("asc", 200).await;
    let mut backwards = read("desc", 170).await;
    assert_eq!(forwards.len(), 6_000);
    assert_ne!(forwards[0], backwards[0]);
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let default = system
        .get("ada", &format!("conversations/{id}/messages?limit=1"))
        .await;
    assert_eq!(default.assert_ok()["messages"][0], forwards[0]);
    for bad in ["order=newest", "order=", "order=desc&order=asc"] {
        let refused = system
            .get("ada", &format!("conversations/{id}/messages?{bad}"))
            .await;
        let details = refused.assert_error(400, "invalid_request");
        assert_eq!(details["field"], "order", "{}", refused.body);
    }
}
