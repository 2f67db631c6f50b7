//! Every change of a run's status is one of the table's transitions: the database refuses the others, whoever makes them.

use errand_core::{RunStatus, TRANSITIONS};
use errand_devkit::model::Turn;
use sqlx::Connection;

use crate::system::TestSystem;

/// What a row has to have in a status, so that nothing but the transition itself can be refused.
fn fields(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Queued | RunStatus::Running | RunStatus::AwaitingApproval => {
            "finished_at = null, admitted_at = now(), error_code = null"
        }
        RunStatus::Completed | RunStatus::Cancelled => "finished_at = now(), error_code = null",
        RunStatus::Failed => "finished_at = now(), error_code = 'run_failed'",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transition_is_tried_from_every_status() {
    let system = TestSystem::start().await;
    system.model.push(Turn::text("Hello."));
    system.say("ada", "hello").await.assert_ok();
    let mut db = system.db.acquire().await.expect("a connection");
    for from in RunStatus::ALL {
        for to in RunStatus::ALL {
            let mut tx = db.begin().await.expect("a transaction");
            let set = |status: RunStatus| {
                format!("update runs set status = '{status}', {}", fields(status))
            };
            let given = format!(
                "alter table runs disable trigger runs_transitions; {}; alter table runs enable trigger runs_transitions",
                set(from)
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(given))
                .execute(&mut *tx)
                .await
                .expect("a status");
            let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(set(to)))
                .execute(&mut *tx)
                .await;
            let is_legal = from == to || from.leads_to(to);
            match changed {
                Ok(done) => assert!(is_legal && done.rows_affected() == 1, "{from} to {to}"),
                Err(error) => {
                    let error = error.into_database_error().expect("a refusal");
                    assert_eq!(error.constraint(), Some("runs_transitions"), "{error}");
                    assert!(!is_legal, "{from} to {to}");
                    let words = format!("a run that is {from} does not become {to}");
                    assert_eq!(error.message(), words);
                }
            }
            tx.rollback().await.expect("as before");
        }
    }
    assert_eq!(TRANSITIONS.len(), 10);
}
