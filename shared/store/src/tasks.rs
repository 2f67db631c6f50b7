//! Tasks. The writes work only inside a tool call: the database refuses them elsewhere (see the migration).
//!
//! What a change means is the tools' to decide; here is what is stored, in which order it is shown, and how much of it there may be.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::{Due, Now, Repeat, RepeatFrom};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::{Connection, Page, StoreError};

mod candidates;
mod change;
mod list;
mod live;
mod views;

pub use candidates::{Candidate, Candidates, candidates};
pub use change::{Change, Refused, Stored, change, find, lock_list, read};
pub(super) use list::Pages;
pub use list::{Listed, Paged, list, page};
pub use live::live;
pub(super) use live::{Live, MOST_LIVE, shown};
pub use views::{Cursor, Filter, View};

/// Characters of a search text, at most.
pub const MAX_SEARCH: usize = 255;

/// Tasks that a user may have. Deleted ones do not count, done ones do.
pub const MAX_TASKS: i32 = 10_000;

/// Bytes that titles, descriptions and tags of a user's tasks may have together.
pub const MAX_BYTES: i64 = 20 * 1024 * 1024;

/// How long a deleted task can be brought back, in days. The trash holds as many tasks and bytes as a list, the latest of them.
pub const TRASH_DAYS: i64 = 30;

/// How important a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The highest.
    P1,
    /// High.
    P2,
    /// Medium.
    P3,
    /// Nobody has said anything about it.
    #[default]
    P4,
}

impl Priority {
    /// All, the highest first.
    pub const ALL: [Self; 4] = [Self::P1, Self::P2, Self::P3, Self::P4];

    /// Its name, in the tools and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P1 => "p1",
            Self::P2 => "p2",
            Self::P3 => "p3",
            Self::P4 => "p4",
        }
    }

    /// The one of this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.name().eq_ignore_ascii_case(name))
    }
}

/// A task as its owner, and the model, see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Task {
    /// Its id.
    pub id: Uuid,
    /// What to do, 1 to 255 characters.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// Whether it is done.
    pub completed: bool,
    /// When it was done; absent if it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<DateTime<Utc>>,
    /// The day on which it is due, a day of the user's own; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_date: Option<NaiveDate>,
    /// The time of that day, as the user's clock shows it: HH:MM; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "minutes")]
    #[schema(value_type = Option<String>, pattern = "^[0-2][0-9]:[0-5][0-9]$")]
    pub due_time: Option<NaiveTime>,
    /// When it is due, in words, as of now: "Fri, 27 Nov 2026, in 2 days".
    pub due: String,
    /// p1 (highest) to p4.
    pub priority: Priority,
    /// At most 10, of 1 to 40 characters.
    pub tags: Vec<String>,
    /// By which rule it comes again, an RFC 5545 RRULE; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

fn minutes<S: Serializer>(time: &Option<NaiveTime>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(&time.format("%H:%M")),
        None => to.serialize_none(),
    }
}

/// What a task says: all of it that tools write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// 1 to 255 characters.
    pub title: String,
    /// Not empty.
    pub description: Option<String>,
    /// When it is due.
    pub due: Option<Due>,
    /// How important it is.
    pub priority: Priority,
    /// As the user writes them, each once whatever the case.
    pub tags: Vec<String>,
    /// How it comes again. Only with a due date.
    pub repeat: Option<Repeat>,
}

impl Fields {
    /// Bytes that count, as the database counts them.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        let tags: usize = self.tags.iter().map(String::len).sum();
        let description = self.description.as_ref().map_or(0, String::len);
        i64::try_from(self.title.len() + description + tags).unwrap_or(i64::MAX)
    }

    /// When it is due, in words.
    #[must_use]
    pub fn due_in_words(&self, now: &Now, is_done: bool) -> String {
        due_in_words(self.due, now, is_done)
    }
}

fn due_in_words(due: Option<Due>, now: &Now, is_done: bool) -> String {
    due.map_or_else(
        || "no due date".to_owned(),
        |due| due.in_words(now, is_done),
    )
}

/// The form in which tags are compared.
#[must_use]
pub fn tag_key(tag: &str) -> String {
    tag.to_lowercase()
}

/// Of what a list is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Of tasks: [`MAX_TASKS`].
    Tasks,
    /// Of text: [`MAX_BYTES`].
    Bytes,
}

/// A row, as all queries here read it.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    id: Uuid,
    title: String,
    description: Option<String>,
    completed: bool,
    completed_at: Option<DateTime<Utc>>,
    due_date: Option<NaiveDate>,
    due_time: Option<NaiveTime>,
    priority: String,
    tags: Vec<String>,
    repeat: Option<String>,
    repeat_from: String,
    repeat_start: Option<NaiveDate>,
    deleted_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn due(&self) -> Option<Due> {
        self.due_date.map(|date| Due {
            date,
            time: self.due_time,
        })
    }

    fn priority(&self) -> Priority {
        Priority::named(&self.priority).unwrap_or_default()
    }

    fn into_task(self, now: &Now) -> Task {
        Task {
            due: due_in_words(self.due(), now, self.completed),
            priority: self.priority(),
            id: self.id,
            title: self.title,
            description: self.description,
            completed: self.completed,
            completed_at: self.completed_at,
            due_date: self.due_date,
            due_time: self.due_time,
            tags: self.tags,
            repeat: self.repeat,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn into_stored(self) -> Stored {
        let repeat = match (&self.repeat, self.repeat_start) {
            (Some(rule), Some(start)) => rule.parse().ok().map(|rule| Repeat {
                rule,
                from: RepeatFrom::named(&self.repeat_from).unwrap_or_default(),
                start,
            }),
            _ => None,
        };
        Stored {
            id: self.id,
            completed: self.completed,
            completed_at: self.completed_at,
            is_deleted: self.deleted_at.is_some(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            fields: Fields {
                due: self.due(),
                priority: self.priority(),
                title: self.title,
                description: self.description,
                tags: self.tags,
                repeat,
            },
        }
    }
}
