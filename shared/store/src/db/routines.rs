//! Routines: the transitions that the database makes in one round trip, kept as files and applied by `migrate`.
//!
//! See `migrations/routines/README.md` for what a change of one may do.

use crate::{Connection, StoreError};

/// Name and text of each, those first that others call.
const ROUTINES: [(&str, &str); 32] = [
    (
        "sweep_finds",
        include_str!("../../../../migrations/routines/sweep_finds.sql"),
    ),
    (
        "queue_state",
        include_str!("../../../../migrations/routines/queue_state.sql"),
    ),
    (
        "job_of_run",
        include_str!("../../../../migrations/routines/job_of_run.sql"),
    ),
    (
        "run_enqueue",
        include_str!("../../../../migrations/routines/run_enqueue.sql"),
    ),
    (
        "run_admit",
        include_str!("../../../../migrations/routines/run_admit.sql"),
    ),
    (
        "run_append",
        include_str!("../../../../migrations/routines/run_append.sql"),
    ),
    (
        "run_end",
        include_str!("../../../../migrations/routines/run_end.sql"),
    ),
    (
        "run_usage",
        include_str!("../../../../migrations/routines/run_usage.sql"),
    ),
    (
        "run_accept",
        include_str!("../../../../migrations/routines/run_accept.sql"),
    ),
    (
        "run_accept_all",
        include_str!("../../../../migrations/routines/run_accept_all.sql"),
    ),
    (
        "run_accepts",
        include_str!("../../../../migrations/routines/run_accepts.sql"),
    ),
    (
        "run_history",
        include_str!("../../../../migrations/routines/run_history.sql"),
    ),
    (
        "run_claims",
        include_str!("../../../../migrations/routines/run_claims.sql"),
    ),
    (
        "run_step",
        include_str!("../../../../migrations/routines/run_step.sql"),
    ),
    (
        "run_step_all",
        include_str!("../../../../migrations/routines/run_step_all.sql"),
    ),
    (
        "run_steps",
        include_str!("../../../../migrations/routines/run_steps.sql"),
    ),
    (
        "task_check",
        include_str!("../../../../migrations/routines/task_check.sql"),
    ),
    (
        "task_times",
        include_str!("../../../../migrations/routines/task_times.sql"),
    ),
    (
        "task_change",
        include_str!("../../../../migrations/routines/task_change.sql"),
    ),
    (
        "task_read",
        include_str!("../../../../migrations/routines/task_read.sql"),
    ),
    (
        "task_list",
        include_str!("../../../../migrations/routines/task_list.sql"),
    ),
    (
        "task_lists",
        include_str!("../../../../migrations/routines/task_lists.sql"),
    ),
    (
        "run_call",
        include_str!("../../../../migrations/routines/run_call.sql"),
    ),
    (
        "task_page",
        include_str!("../../../../migrations/routines/task_page.sql"),
    ),
    (
        "task_pages",
        include_str!("../../../../migrations/routines/task_pages.sql"),
    ),
    (
        "run_call_all",
        include_str!("../../../../migrations/routines/run_call_all.sql"),
    ),
    (
        "run_calls",
        include_str!("../../../../migrations/routines/run_calls.sql"),
    ),
    (
        "run_finish",
        include_str!("../../../../migrations/routines/run_finish.sql"),
    ),
    (
        "run_finish_all",
        include_str!("../../../../migrations/routines/run_finish_all.sql"),
    ),
    (
        "run_finishes",
        include_str!("../../../../migrations/routines/run_finishes.sql"),
    ),
    (
        "run_view",
        include_str!("../../../../migrations/routines/run_view.sql"),
    ),
    (
        "run_views",
        include_str!("../../../../migrations/routines/run_views.sql"),
    ),
];

/// Applies each routine that is not there in this version or a later one, and those whose text was changed within a version.
pub(crate) async fn apply(db: &mut Connection) -> Result<(), StoreError> {
    let applied = sqlx::query!("select name, version, text from routines")
        .fetch_all(&mut *db)
        .await?;
    for (name, text) in ROUTINES {
        let version = version(text);
        let is_there = applied.iter().any(|there| {
            there.name == name
                && (there.version > version || (there.version == version && there.text == text))
        });
        if is_there {
            continue;
        }
        let mut tx = sqlx::Connection::begin(&mut *db).await?;
        sqlx::raw_sql(text).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into routines (name, version, text) values ($1, $2, $3)
             on conflict (name) do update set version = excluded.version, text = excluded.text, applied_at = now()",
            name,
            version,
            text
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Whether every routine is there, in this version or a later one.
pub(crate) async fn are_current(db: &mut Connection) -> Result<bool, StoreError> {
    let applied = sqlx::query!("select name, version from routines")
        .fetch_all(db)
        .await?;
    Ok(ROUTINES.iter().all(|(name, text)| {
        applied
            .iter()
            .any(|there| there.name == *name && there.version >= version(text))
    }))
}

/// What the first line says; 0 if it says nothing, which no file may.
fn version(text: &str) -> i32 {
    let first = text.lines().next().unwrap_or_default();
    let version = first.strip_prefix("-- version ");
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_applied_and_says_its_version() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/routines");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .filter_map(|file| file.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
        files.sort();
        let mut applied: Vec<&str> = ROUTINES.iter().map(|(name, _)| *name).collect();
        applied.sort_unstable();
        assert_eq!(applied, files);
        for (name, text) in ROUTINES {
            assert!(version(text) > 0, "{name}");
            assert!(
                text.contains(&format!("create or replace function {name}(")),
                "{name}"
            );
        }
    }
}
