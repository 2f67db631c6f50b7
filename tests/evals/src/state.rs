//! A user's tasks as rows: put there at the beginning, read again at the end.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chrono::{Duration, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::{Repeat, RepeatFrom, Rule};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    cases::{Case, Start},
    clock::Clock,
};

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) done: bool,
    pub(crate) deleted: bool,
    pub(crate) due: Option<NaiveDate>,
    pub(crate) time: Option<NaiveTime>,
    pub(crate) priority: String,
    /// In lower case.
    pub(crate) tags: BTreeSet<String>,
    pub(crate) repeat: Option<Repeat>,
}

/// The tasks of a case at its beginning, each with what the case calls it; those that nobody speaks of have no name.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) tasks: Vec<(Option<String>, Task)>,
}

impl Beginning {
    pub(crate) fn of(case: &Case, clock: &Clock) -> Result<Self> {
        let mut tasks = Vec::new();
        for start in &case.start {
            let task = Task::begin(start, clock);
            let task = task.with_context(|| format!("task {:?}", start.key()))?;
            tasks.push((Some(start.key().to_owned()), task));
        }
        for n in 0..case.filler {
            tasks.push((None, Task::filler(n, clock)?));
        }
        Ok(Self { tasks })
    }

    /// The task that the case calls so.
    pub(crate) fn named(&self, name: &str) -> Option<&Task> {
        let mut tasks = self.tasks.iter();
        tasks
            .find(|(key, _)| key.as_deref() == Some(name))
            .map(|(_, task)| task)
    }

    /// What the case calls a task.
    pub(crate) fn name(&self, id: Uuid) -> Option<&str> {
        let (key, _) = self.tasks.iter().find(|(_, task)| task.id == id)?;
        key.as_deref()
    }

    /// Puts the tasks there for a user who has none. Not by the tools, which know neither the past nor a hundred tasks at once; so it takes
    /// a superuser, for whom triggers can be switched off.
    pub(crate) async fn write(&self, user: &str, admin: &mut PgConnection) -> Result<()> {
        sqlx::raw_sql("set session_replication_role = replica")
            .execute(&mut *admin)
            .await?;
        let now = Utc::now();
        for (n, (_, task)) in self.tasks.iter().enumerate() {
            let minutes = i64::try_from(self.tasks.len() - n)?;
            let at = now - Duration::days(2) - Duration::minutes(minutes);
            let tags: Vec<&String> = task.tags.iter().collect();
            let repeat = task.repeat.as_ref();
            sqlx::query(
                "insert into tasks (id, user_id, title, description, completed, completed_at, deleted_at, due_date, due_time, priority,
                                    tags, tag_keys, repeat, repeat_from, repeat_start, created_at, updated_at)
                 values ($1, $2, $3, $4, $5, case when $5 then $14 end, case when $6 then now() - interval '1 hour' end, $7, $8, $9,
                         $10, $10, $11, $12, $13, $14, $14)",
            )
            .bind(task.id)
            .bind(user)
            .bind(&task.title)
            .bind(&task.description)
            .bind(task.done)
            .bind(task.deleted)
            .bind(task.due)
            .bind(task.time)
            .bind(&task.priority)
            .bind(tags)
            .bind(repeat.map(|repeat| repeat.rule.to_string()))
            .bind(repeat.map_or("due", |repeat| repeat.from.name()))
            .bind(repeat.map(|repeat| repeat.start))
            .bind(at)
            .execute(&mut *admin)
            .await
            .with_context(|| format!("task {:?}", task.title))?;
        }
        sqlx::raw_sql("set session_replication_role = origin")
            .execute(admin)
            .await?;
        Ok(())
    }
}

impl Task {
    fn begin(start: &Start, clock: &Clock) -> Result<Self> {
        let due = start
            .due
            .as_deref()
            .map(|due| clock.date(due))
            .transpose()?;
        let from = start.repeat_from.as_deref().unwrap_or("due");
        let from = RepeatFrom::named(from).with_context(|| format!("repeat_from: {from:?}"))?;
        let repeat = start.repeat.as_deref().map(|rule| {
            let rule: Rule = clock.fill(rule)?.parse()?;
            anyhow::Ok(Repeat::begin(rule, from, due, clock.today())?)
        });
        let time = start.time.as_deref().map(read_time).transpose()?;
        Ok(Self {
            id: Uuid::now_v7(),
            title: clock.fill(&start.title)?,
            description: start
                .description
                .as_deref()
                .map(|text| clock.fill(text))
                .transpose()?,
            done: start.done,
            deleted: start.deleted,
            due,
            time,
            priority: start.priority.clone().unwrap_or_else(|| "p4".to_owned()),
            tags: start.tags.iter().map(|tag| tag.to_lowercase()).collect(),
            repeat: repeat.transpose()?,
        })
    }

    /// One of the many tasks of a long list: 25 things to do about 20 matters, some of them with a date in the coming months.
    fn filler(n: usize, clock: &Clock) -> Result<Self> {
        const VERBS: [&str; 25] = [
            "Draft",
            "Review",
            "Archive",
            "Scan",
            "Compare",
            "Update",
            "Summarise",
            "Translate",
            "Proofread",
            "Sort",
            "Label",
            "Copy",
            "Sketch",
            "Estimate",
            "Publish",
            "Check",
            "Simplify",
            "Rehearse",
            "Illustrate",
            "Format",
            "Index",
            "Print",
            "Back up",
            "Number",
            "Discuss",
        ];
        const MATTERS: [&str; 20] = [
            "chapter",
            "newsletter",
            "timetable",
            "inventory",
            "floor plan",
            "catalogue",
            "questionnaire",
            "minutes",
            "glossary",
            "poster",
            "logbook",
            "handout",
            "spreadsheet",
            "field notes",
            "slides",
            "map",
            "recipe cards",
            "sponsor letter",
            "membership list",
            "photo album",
        ];
        let start = Start {
            title: format!(
                "{} the {}",
                VERBS[n % VERBS.len()],
                MATTERS[n / VERBS.len() % MATTERS.len()]
            ),
            due: n.is_multiple_of(3).then(|| format!("+{}d", 20 + n % 97)),
            ..Start::default()
        };
        Self::begin(&start, clock)
    }
}

/// A time of the day, `HH:MM`.
pub(crate) fn read_time(text: &str) -> Result<NaiveTime> {
    NaiveTime::parse_from_str(text, "%H:%M").with_context(|| format!("no time: {text:?}"))
}

/// All rows of a user, those in the trash included, the oldest first.
pub(crate) async fn read(user: &str, db: &PgPool) -> Result<Vec<Task>> {
    let rows = sqlx::query(
        "select id, title, description, completed, deleted_at is not null as deleted, due_date, due_time, priority, tag_keys, repeat,
                repeat_from, repeat_start
         from tasks where user_id = $1 order by id",
    )
    .bind(user)
    .fetch_all(db)
    .await?;
    rows.iter().map(task).collect()
}

fn task(row: &PgRow) -> Result<Task> {
    let repeat = match row.try_get::<Option<String>, _>("repeat")? {
        None => None,
        Some(rule) => Some(Repeat {
            rule: rule.parse()?,
            from: RepeatFrom::named(row.try_get("repeat_from")?).unwrap_or_default(),
            start: row.try_get("repeat_start")?,
        }),
    };
    Ok(Task {
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        done: row.try_get("completed")?,
        deleted: row.try_get("deleted")?,
        due: row.try_get("due_date")?,
        time: row.try_get("due_time")?,
        priority: row.try_get("priority")?,
        tags: row
            .try_get::<Vec<String>, _>("tag_keys")?
            .into_iter()
            .collect(),
        repeat,
    })
}
