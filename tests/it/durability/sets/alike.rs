//! What goes together comes to what each would come to alone: the same rows in two databases, made singly in one and as sets in the other.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::system::{database, rows};

/// Tables that transitions write, without what differs from one time to the next: times, and places in an order that is the server's.
const TABLES: [(&str, &str); 12] = [
    (
        "runs",
        "created_at,started_at,finished_at,admitted_at,position",
    ),
    ("messages", "created_at,position"),
    ("steps", "created_at"),
    ("run_events", "created_at"),
    ("conversations", "created_at,updated_at"),
    ("user_settings", "updated_at"),
    ("usage_days", ""),
    // Results have the times of tasks in them.
    ("tool_calls", "created_at,result"),
    ("tasks", "created_at,updated_at,completed_at"),
    ("task_totals", ""),
    ("apalis.jobs", "run_at,lock_at,done_at"),
    ("apalis.workers", "last_seen,started_at"),
];

fn id(kind: u128, number: usize) -> Uuid {
    Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + (kind << 32) + number as u128)
}

fn run(number: usize) -> Uuid {
    id(1, number)
}

fn conversation(number: usize) -> Uuid {
    id(2, number)
}

fn message(number: usize) -> Uuid {
    id(3, number)
}

/// A row of `run_accepts` with nothing special, but for these fields.
pub(super) fn asked(number: usize, user: &str, special: &Value) -> Value {
    let mut row = json!({
        "run_id": run(number), "user_id": user, "conversation_id": null, "new_conversation_id": conversation(number), "title": "a title",
        "rejects_busy": false, "message_id": message(number), "content": format!("message {number}"), "metadata": {"a": 1},
        "max_active": 10, "max_queued": 10, "per_minute": 10, "tokens_per_day": 1000, "max_undecided": 10, "max_ready": 4,
        "is_second_try": false,
    });
    for (name, value) in special.as_object().expect("an object") {
        row[name] = value.clone();
    }
    row
}

/// One of each kind of message; those that many users have in common with the first come first.
fn messages() -> Vec<Value> {
    let plain = json!({});
    let mut rows = vec![
        asked(100, "new", &plain),
        asked(101, "zoned", &json!({"time_zone": "Asia/Tokyo"})),
        asked(
            104,
            "traced",
            &json!({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
        ),
        asked(
            102,
            "known",
            &json!({"conversation_id": conversation(1), "new_conversation_id": null}),
        ),
        asked(103, "keyed", &json!({"key": "k1", "request_hash": "\\x01"})),
    ];
    rows.extend([
        // The user of the first once more.
        asked(110, "new", &plain),
        asked(
            111,
            "lost",
            &json!({"conversation_id": conversation(999), "new_conversation_id": null}),
        ),
        asked(112, "busy", &json!({"conversation_id": conversation(2)})),
        asked(
            113,
            "hasty",
            &json!({"conversation_id": conversation(3), "rejects_busy": true}),
        ),
        asked(114, "again", &json!({"key": "k", "request_hash": "\\x01"})),
        asked(115, "other", &json!({"key": "k", "request_hash": "\\x02"})),
        asked(116, "quick", &json!({"per_minute": 1})),
        asked(117, "named", &json!({"thread_name": "main"})),
        asked(118, "late", &json!({"deadline": "2020-01-01T00:00:00Z"})),
        asked(
            119,
            "twice",
            &json!({"is_second_try": true, "message_id": message(9)}),
        ),
        asked(120, "crowd", &json!({"max_ready": 1})),
        asked(121, "spent", &json!({"tokens_per_day": 5})),
        asked(122, "many", &json!({"max_active": 1})),
        asked(123, "full", &json!({"max_queued": 1})),
        asked(124, "owing", &json!({"max_undecided": 1})),
    ]);
    rows
}

/// A worker that may claim.
pub(super) async fn begin_worker(db: &PgPool) {
    rows::execute(db, "insert into apalis.workers (id, worker_type, storage_name, layers, last_seen, started_at) values ('w', 'errand.run', 's', '', now(), now())").await;
}

/// What was there before: a run for each of those users whose message is no plain one because of it.
async fn prepare(db: &PgPool) {
    begin_worker(db).await;
    rows::execute(
        db,
        &format!(
            "insert into conversations (id, user_id, title) values ('{}', 'known', 'before')",
            conversation(1)
        ),
    )
    .await;
    rows::execute(db, "insert into usage_days (user_id, day, tokens) values ('spent', (now() at time zone 'utc')::date, 5), ('known', (now() at time zone 'utc')::date, 7)").await;
    let users = [
        "busy", "hasty", "again", "other", "quick", "crowd", "many", "full", "twice", "owing",
    ];
    for (user, n) in users.into_iter().zip([2, 3, 4, 5, 6, 7, 8, 10, 9, 11]) {
        let key = ["again", "other"].contains(&user).then_some("k");
        let row = asked(
            n,
            user,
            &json!({"key": key, "request_hash": key.map(|_| "\\x01")}),
        );
        together(db, "run_accepts", &[row], true).await;
    }
    let waits = format!(
        "update runs set status = 'running' where id = '{0}'; update runs set status = 'waiting' where id = '{0}'",
        run(11)
    );
    rows::execute(db, &waits).await;
}

/// Calls a routine for these rows: each alone, or all together.
pub(super) async fn together(
    db: &PgPool,
    routine: &str,
    rows: &[Value],
    is_alone: bool,
) -> Vec<Value> {
    let more = match routine {
        "run_calls" => ", 200",
        _ => "",
    };
    let call = format!(
        "select to_jsonb(came) - '{{db_time,window_frees_in,day_ends_in}}'::text[] from {routine}($1, $2{more}) came order by place"
    );
    sqlx::query_scalar(AssertSqlSafe(call))
        .bind(json!(rows))
        .bind(is_alone)
        .fetch_all(db)
        .await
        .expect(routine)
}

/// All that is in the tables.
async fn state(db: &PgPool) -> Vec<(&'static str, Vec<Value>)> {
    let mut all = Vec::new();
    for (table, without) in TABLES {
        let read =
            format!("select to_jsonb(t) - '{{{without}}}'::text[] from {table} t order by 1");
        all.push((
            table,
            sqlx::query_scalar(AssertSqlSafe(read))
                .fetch_all(db)
                .await
                .expect(table),
        ));
    }
    all
}

pub(super) async fn claimed(db: &PgPool) -> Vec<Value> {
    rows::execute(
        db,
        "update apalis.jobs set run_at = now() - interval '1 minute'",
    )
    .await;
    let claim = "select to_jsonb(c) - '{said_at,created_at,position}'::text[] from run_claims('w', 100, 10, '1.0') c order by c.id";
    sqlx::query_scalar(claim)
        .fetch_all(db)
        .await
        .expect("claims")
}

pub(super) async fn jobs(db: &PgPool, runs: &[Value]) -> Vec<String> {
    sqlx::query_scalar("select job_of_run((r ->> 'id')::uuid) from unnest($1::jsonb[]) with ordinality as u (r, n) order by n")
        .bind(runs)
        .fetch_all(db)
        .await
        .expect("ids of jobs")
}

/// Rows of `run_steps` or `run_finishes` for runs that were claimed. One is of an attempt that is over.
pub(super) fn answers(runs: &[Value], step: i32, special: impl Fn(usize) -> Value) -> Vec<Value> {
    let rows = runs.iter().enumerate().map(|(n, run)| {
        let attempt = run["attempt"].as_i64().expect("an attempt") - i64::from(n == 3);
        let mut row = json!({
            "run_id": run["id"], "user_id": run["user_id"], "conversation_id": run["conversation_id"], "attempt": attempt, "is_fenced": true,
            "step": step, "content": format!("answer {n}"), "tool_calls": [{"id": "1", "name": "list_tasks", "arguments": "{}"}],
            "finish_reason": "stop", "input_tokens": 10 * n, "output_tokens": 3, "usage_estimated": n % 4 == 0, "model": format!("m{}", n % 3),
            "extra": null, "cached_input_tokens": n % 2, "first_seq": 2 * step, "events": [{"type": "A"}, {"type": "B", "n": n}],
        });
        // A process of before says nothing of it.
        if n % 4 != 1 {
            row["reasoning_tokens"] = json!(n % 3);
        }
        for (name, value) in special(n).as_object().expect("an object") {
            row[name] = value.clone();
        }
        row
    });
    rows.collect()
}

pub(super) fn ends(runs: &[Value], job_ids: &[String]) -> Vec<Value> {
    answers(runs, 2, |n| {
        let mut end = json!({
            "message_id": id(4, n), "cut_off_input": 0, "cut_off_output": 0, "cut_off_estimated": false, "job_id": job_ids[n], "max_ready": 4,
        });
        match n {
            // Without a last step; cut short; with an answer that was cut off, by another model.
            1 => end["step"] = Value::Null,
            2 => end["cut_short"] = json!("length"),
            4 | 5 => {
                end["cut_off_input"] = json!(100);
                end["cut_off_output"] = json!(20);
                end["cut_off_estimated"] = json!(n == 5);
                end["model"] = json!("another");
            }
            _ => {}
        }
        end
    })
}

/// Rows of `run_calls` that add a task, and one of each kind that is no such or is refused.
fn calls(runs: &[Value]) -> Vec<Value> {
    let rows = runs.iter().enumerate().map(|(n, run)| {
        let task = json!({
            "id": id(5, n), "title": format!("task {n}"), "completed": n % 2 == 0, "priority": "p2", "due_date": "2026-12-24", "due_time": "10:00",
            "tags": ["Home"], "tag_keys": ["home"],
        });
        let mut row = json!({
            "run_id": run["id"], "user_id": run["user_id"], "attempt": run["attempt"], "is_fenced": true, "step": 1, "ordinal": 0,
            "tool_name": "add_task", "parameters": {"n": n}, "is_error": false, "duration_ms": n,
            "result": {"task": {"title": format!("task {n}")}},
            "change": {
                "zone": run["time_zone"], "more_tasks": 1, "more_bytes": 10, "max_tasks": 10, "max_bytes": 1000, "add": task,
            },
        });
        match n {
            2 => row["change"] = Value::Null,
            3 => row["attempt"] = json!(7),
            4 => {
                row["change"] = Value::Null;
                row["is_error"] = json!(true);
            }
            5 => row["change"]["zone"] = json!("Asia/Tokyo"),
            6 => row["change"]["max_tasks"] = json!(0),
            7 => row["change"]["max_bytes"] = json!(9),
            8 => row["is_fenced"] = json!(false),
            9 => row["ordinal"] = json!(7),
            10 | 12 => {
                row["step"] = json!(5);
                row["answer"] = answers(&runs[n..=n], 5, |_| json!({"first_seq": 20})).remove(0);
            }
            11 => {
                let change = row["change"].as_object_mut().expect("an object");
                change.remove("add");
                change.insert("put".to_owned(), task_that_is_not_there(n));
            }
            _ => {}
        }
        row
    });
    rows.collect()
}

fn task_that_is_not_there(n: usize) -> Value {
    json!({
        "id": id(6, n), "title": "lost", "completed": false, "priority": "p4", "tags": [], "tag_keys": [], "seen": "2026-01-01T00:00:00Z",
    })
}

/// What came of calls, without the times of tasks, which are there if the call was made.
fn without_times(mut came: Vec<Value>) -> Vec<Value> {
    let strip = |task: &mut Value| {
        if let Some(task) = task.as_object_mut() {
            for time in ["created_at", "updated_at", "completed_at"] {
                task.remove(time);
            }
        }
    };
    for call in &mut came {
        if let Some(task) = call.pointer_mut("/result/task") {
            strip(task);
        }
        let list = call["tasks"].as_array_mut();
        list.into_iter().flatten().for_each(strip);
    }
    came
}

/// How many transactions wrote these rows: a set is one.
async fn writers(db: &PgPool, of: &str) -> i64 {
    let count = format!("select count(distinct xmin::text) from {of}");
    sqlx::query_scalar(AssertSqlSafe(count))
        .fetch_one(db)
        .await
        .expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_together_comes_to_what_goes_alone() {
    let mut came = Vec::new();
    for is_alone in [true, false] {
        let db = PgPool::connect(&database().await).await.expect("connects");
        prepare(&db).await;
        let mut steps: Vec<(&str, Vec<Value>)> = Vec::new();
        steps.push((
            "accepted",
            together(&db, "run_accepts", &messages(), is_alone).await,
        ));
        let plain = "messages where content in ('message 100', 'message 101', 'message 102', 'message 103', 'message 104')";
        assert_eq!(writers(&db, plain).await == 1, !is_alone);

        let runs = claimed(&db).await;
        assert!(runs.len() > 12, "{runs:?}");
        steps.push(("claimed", runs.clone()));
        steps.push((
            "stepped",
            together(
                &db,
                "run_steps",
                &answers(&runs, 1, |_| json!({})),
                is_alone,
            )
            .await,
        ));
        assert_eq!(writers(&db, "steps where step = 1").await == 1, !is_alone);

        // All users have lists but one.
        rows::execute(&db, "insert into task_totals (user_id, tasks, bytes) select distinct user_id, 0, 0 from runs where user_id <> 'many'").await;
        let mut calls = calls(&runs);
        // Made before; and the same user once more.
        together(&db, "run_calls", &calls[9..=9], true).await;
        calls.push(calls[0].clone());
        let again = calls.last_mut().expect("a call");
        again["ordinal"] = json!(1);
        again["change"]["add"]["id"] = json!(id(5, 99));
        let made = together(&db, "run_calls", &calls, is_alone).await;
        steps.push(("called", without_times(made.clone())));
        let recorded: Vec<Value> = sqlx::query_scalar(
            "select result from tool_calls where run_id = ($1 ->> 'id')::uuid order by ordinal",
        )
        .bind(&runs[0])
        .fetch_all(&db)
        .await
        .expect("results");
        assert_eq!(
            recorded,
            [&made[0], made.last().expect("a call")].map(|call| call["result"].clone())
        );
        for of_a_set in [
            "tool_calls where duration_ms in (0, 1, 2, 4, 10, 12) and ordinal = 0",
            "tasks where title in ('task 1', 'task 10', 'task 12')",
        ] {
            assert_eq!(writers(&db, of_a_set).await == 1, !is_alone, "{of_a_set}");
        }

        let ends = ends(&runs, &jobs(&db, &runs).await);
        steps.push((
            "ended",
            together(&db, "run_finishes", &ends, is_alone).await,
        ));
        assert_eq!(
            writers(&db, "messages where role = 'assistant'").await == 1,
            !is_alone
        );
        steps.extend(state(&db).await);
        came.push(steps);
    }
    let (together, alone) = (came.pop().expect("sets"), came.pop().expect("singles"));
    for (alone, together) in alone.into_iter().zip(together) {
        assert_eq!(alone.0, together.0);
        for (n, one) in alone.1.iter().enumerate() {
            assert_eq!(Some(one), together.1.get(n), "{}", alone.0);
        }
        assert_eq!(alone.1.len(), together.1.len(), "{}", alone.0);
    }
}
