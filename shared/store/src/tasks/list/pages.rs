//! Pages that are asked for at the same moment, read together.

use std::sync::Arc;

use super::{Connection, StoreError, asked::Found};
use crate::db::lane::{Answers, Lane, Lanes, Transition};

/// Pages of many users, as `task_pages` has it.
pub(in super::super::super) struct Pages;

impl Transition for Pages {
    type Answer = Vec<Found>;

    /// Reading waits for no lock, patient or not.
    async fn send(
        db: &mut Connection,
        rows: &str,
        _: bool,
    ) -> Result<Answers<Self::Answer>, StoreError> {
        let rows = sqlx::query!(
            r#"select place as "place!", is_moved as "is_moved!", time_zone, total, id, title, description, completed, completed_at, due_date, due_time,
                      priority, tags, repeat, deleted_at, created_at, updated_at
               from task_pages($1::text::jsonb)"#,
            rows
        )
        .fetch_all(db)
        .await?;
        let mut pages: Answers<Vec<Found>> = Vec::new();
        for row in rows {
            let found = Found {
                is_moved: row.is_moved,
                time_zone: row.time_zone,
                total: row.total,
                id: row.id,
                title: row.title,
                description: row.description,
                completed: row.completed,
                completed_at: row.completed_at,
                due_date: row.due_date,
                due_time: row.due_time,
                priority: row.priority,
                tags: row.tags,
                repeat: row.repeat,
                deleted_at: row.deleted_at,
                created_at: row.created_at,
                updated_at: row.updated_at,
            };
            match pages.last_mut() {
                Some((place, Some(page))) if *place == row.place => page.push(found),
                _ => pages.push((row.place, Some(vec![found]))),
            }
        }
        Ok(pages)
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.pages
    }
}
