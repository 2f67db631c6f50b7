//! The list as those who follow a run see it, read for many at the same moment.

use std::sync::Arc;

use chrono::Utc;
use errand_core::calendar::{Now, zone_or_utc};
use serde::Serialize;
use sqlx::types::Json;

use super::{Connection, Row, StoreError, Task};
use crate::{
    Pool,
    db::lane::{self, Answers, Lane, Lanes, Transition},
};

/// Tasks that are shown of a list, at most.
pub(crate) const MOST_LIVE: i64 = 200;

/// The user's tasks in the order in which they were added, without those in the trash, at most 200, as of now.
pub async fn live(pool: &Pool, user_id: &str) -> Result<Vec<Task>, StoreError> {
    let asked = Asked {
        user_id,
        most: MOST_LIVE,
    };
    let (zone, rows) = lane::make::<Live>(pool, &asked).await?;
    Ok(shown(rows, zone.as_deref()))
}

/// Rows as their owner, who has this zone, sees them now.
pub(crate) fn shown(rows: Vec<Row>, zone: Option<&str>) -> Vec<Task> {
    let now = Now::at(Utc::now(), zone_or_utc(zone));
    rows.into_iter().map(|row| row.into_task(&now)).collect()
}

/// A row of `task_lists`.
#[derive(Serialize)]
struct Asked<'a> {
    user_id: &'a str,
    most: i64,
}

/// Lists of many users, as `task_lists` has it.
pub(in super::super) struct Live;

impl Transition for Live {
    /// The user's zone, and the rows.
    type Answer = (Option<String>, Vec<Row>);

    /// Reading waits for no lock, patient or not.
    async fn send(
        db: &mut Connection,
        rows: &str,
        _: bool,
    ) -> Result<Answers<Self::Answer>, StoreError> {
        let lists = sqlx::query!(
            r#"select place as "place!", time_zone, tasks as "tasks!: Json<Vec<Row>>" from task_lists($1::text::jsonb)"#,
            rows
        )
        .fetch_all(db)
        .await?;
        Ok(lists
            .into_iter()
            .map(|list| (list.place, Some((list.time_zone, list.tasks.0))))
            .collect())
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.live
    }
}
