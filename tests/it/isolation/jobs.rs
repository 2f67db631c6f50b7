//! Jobs: a transaction that acts for a user reaches the jobs of that user's runs, in the columns that it has to change.

use errand_core::jobs::job_id;
use serde_json::json;
use uuid::Uuid;

use super::{REFUSED, attempt};
use crate::system::{Answer, Options, TestSystem, rows};

/// A run of this user that waits for a worker.
async fn queued(system: &TestSystem, user: &str) -> Uuid {
    let body = json!({"message": "go"});
    let request = system.post_chat(user, &body);
    let accepted = Answer::of(request.header("prefer", "respond-async")).await;
    accepted.body["run_id"].as_str().unwrap().parse().unwrap()
}

fn insert(id: Uuid, payload: Uuid) -> String {
    format!(
        "insert into apalis.jobs (job, id, job_type, attempts, max_attempts, run_at, priority)
         values (convert_to('{{\"run_id\":\"{payload}\"}}', 'UTF8'), '{}', 'errand.run', 0, 25, now(), 0)",
        job_id(id)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_others_can_be_neither_seen_nor_changed() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let (hers, his) = (queued(&system, "ada").await, queued(&system, "bob").await);
    let (her_job, his_job) = (job_id(hers), job_id(his));
    let mut tx = rows::begin_for(&system.db, "ada").await;
    let seen: Vec<String> = sqlx::query_scalar("select id from apalis.jobs")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(seen, std::slice::from_ref(&her_job));
    for (statement, touched) in [
        ("update apalis.jobs set status = 'Done'".to_owned(), 1),
        ("delete from apalis.jobs".to_owned(), 1),
        (
            format!("update apalis.jobs set status = 'Killed' where id = '{his_job}'"),
            0,
        ),
        (format!("delete from apalis.jobs where id = '{his_job}'"), 0),
    ] {
        assert_eq!(
            attempt(&mut tx, &statement).await,
            Ok(touched),
            "{statement}"
        );
    }
    // Who holds a job, when it is due and whose it is are not for a user.
    for statement in [
        "update apalis.jobs set lock_by = null".to_owned(),
        "update apalis.jobs set run_at = now()".to_owned(),
        "update apalis.jobs set job = '\\x00'".to_owned(),
        format!("update apalis.jobs set id = '{his_job}'"),
        "truncate apalis.jobs".to_owned(),
        "select * from apalis.workers".to_owned(),
        "update periodic_work set holder = 'ada'".to_owned(),
        "delete from purge_cursors".to_owned(),
    ] {
        let refused = attempt(&mut tx, &statement).await;
        assert_eq!(refused, Err(REFUSED.to_owned()), "{statement}");
    }
    tx.rollback().await.unwrap();

    rows::execute(&system.db, "delete from apalis.jobs").await;
    let mut tx = rows::begin_for(&system.db, "ada").await;
    for statement in [
        insert(his, his),
        // By its id it would stand in the way of his, by its payload it would start it.
        insert(his, hers),
        insert(hers, his),
        insert(Uuid::now_v7(), hers),
        insert(hers, hers).replace("errand.run", "another.queue"),
        insert(hers, hers).replace(&her_job, "none of a run"),
    ] {
        let refused = attempt(&mut tx, &statement).await;
        assert_eq!(refused, Err(REFUSED.to_owned()), "{statement}");
    }
    assert_eq!(attempt(&mut tx, &insert(hers, hers)).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_found_by_the_id_of_its_run() {
    let system = TestSystem::with(Options {
        workers: Some(0),
        ..Options::default()
    })
    .await;
    let ids = [
        Uuid::nil(),
        Uuid::max(),
        Uuid::now_v7(),
        Uuid::from_u128(1 << 122),
    ];
    for id in ids {
        let run: Option<Uuid> = sqlx::query_scalar("select run_of_job($1)")
            .bind(job_id(id))
            .fetch_one(&system.db)
            .await
            .unwrap();
        assert_eq!(run, Some(id));
    }
    for text in [
        "",
        "x",
        "80000000000000000000000000",
        "0000000000000000000000000U",
        "00000000000000000000000000\n",
    ] {
        let run: Option<Uuid> = sqlx::query_scalar("select run_of_job($1)")
            .bind(text)
            .fetch_one(&system.db)
            .await
            .unwrap();
        assert_eq!(run, None, "{text:?}");
    }
}
