//! A run is accepted: `queued`, behind those of its conversation.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use errand_core::hints::Hint;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    admit::MAX_UNDECIDED,
    admit::{Bounds, Usage},
};
use crate::{
    Connection, StoreError, Transaction, UserTurn, WORK_TIMEOUT,
    db::lane::{self, Answers, Lane, Lanes, Transition},
    read::conversations,
    settings,
};

/// How long before its caller gives up an acceptance is too late: that its answer is still heard.
const LAST_WAY: Duration = Duration::from_millis(500);

/// A message to accept.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// The id of the run that answers it.
    pub id: Uuid,
    /// Who sent it.
    pub user_id: &'a str,
    /// The conversation, if the client names one by its id.
    pub conversation_id: Option<Uuid>,
    /// The id of the conversation that is opened if there is none; none if there has to be one.
    pub new_conversation_id: Option<Uuid>,
    /// The client's own name of the conversation, in place of an id.
    pub thread_name: Option<&'a str>,
    /// The id of the message: the same at every try, and at no other message.
    pub message_id: Uuid,
    /// The answer to a first try was lost.
    pub is_second_try: bool,
    /// The message.
    pub text: &'a str,
    /// What the client said about it.
    pub metadata: Option<&'a Value>,
    /// Where the user writes from, if the client says so: a name that was checked.
    pub time_zone: Option<&'a str>,
    /// The client's key, if it sent one.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of the request, kept with the key.
    pub request_hash: Option<&'a [u8]>,
    /// The client will not wait in line.
    pub rejects_busy: bool,
    /// Where it belongs to in a trace (W3C `traceparent`), if anybody traces.
    pub traceparent: Option<&'a str>,
}

/// What a user may have at the same time and in a time; 0: any number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How far usage is counted, which is also where it ends.
    pub bounds: Bounds,
    /// Tokens of a day (UTC).
    pub tokens_per_day: i64,
    /// Runs in the job queue.
    pub max_ready: i64,
}

/// What came of a message.
#[derive(Debug, Clone)]
pub enum Acceptance {
    /// It is accepted. The usage is that before it.
    Accepted {
        /// Its conversation.
        conversation_id: Uuid,
        /// How much the user had asked for.
        usage: Usage,
    },
    /// Its key has begun this run before; or the first try took effect.
    Repeated {
        /// The run.
        run_id: Uuid,
        /// Its conversation.
        conversation_id: Uuid,
    },
    /// Its key has begun another run before.
    KeyReused,
    /// The user has asked for too much.
    Limited(Usage),
    /// The user has no such conversation.
    UnknownConversation,
    /// The conversation has a run that is not over.
    Busy,
}

/// Accepts a message in one round trip, as `run_accept` has it and together with others, and has others told. Only
/// [`Acceptance::Accepted`] has written anything, and nothing is written once the caller's [`WORK_TIMEOUT`] is over.
///
/// # Errors
/// The database failed, and whether the message was accepted is unknown; the run's id is taken (`runs_pkey`).
pub async fn accept(
    turn: &UserTurn<'_>,
    new: &NewRun<'_>,
    limits: Limits,
) -> Result<Acceptance, StoreError> {
    let pool = turn.pool();
    let mut row = Row::of(new, limits);
    let mut came = None;
    // A second time only if the database's clock was moved: who is late for real has nobody who waits.
    for _ in 0..2 {
        row.deadline = pool.clock().after(WORK_TIMEOUT - LAST_WAY);
        let answer = lane::make::<Accept>(pool, &row).await?;
        pool.clock().observe(answer.db_time);
        if answer.outcome != "late" {
            came = Some(answer);
            break;
        }
    }
    let came = came.ok_or(StoreError::Timeout(WORK_TIMEOUT))?;
    let (acceptance, hints) = came.read()?;
    pool.tell_all(hints);
    Ok(acceptance)
}

/// As [`accept`], in a transaction that holds the user's lock.
///
/// # Errors
/// As [`accept`].
pub async fn accept_within(
    tx: &mut Transaction,
    new: &NewRun<'_>,
    limits: Limits,
) -> Result<Acceptance, StoreError> {
    let row = serde_json::to_string(&[Row::of(new, limits)])
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let came = came_of(tx, &row, true).await?.pop();
    let (_, came) = came.ok_or(sqlx::Error::RowNotFound)?;
    let (acceptance, hints) = came.ok_or(sqlx::Error::RowNotFound)?.read()?;
    for hint in hints {
        tx.tell(hint);
    }
    Ok(acceptance)
}

/// A row of `run_accepts`.
#[derive(Serialize)]
struct Row<'a> {
    run_id: Uuid,
    user_id: &'a str,
    conversation_id: Option<Uuid>,
    new_conversation_id: Option<Uuid>,
    thread_name: Option<&'a str>,
    title: String,
    rejects_busy: bool,
    message_id: Uuid,
    content: &'a str,
    metadata: Option<&'a Value>,
    time_zone: Option<&'a str>,
    key: Option<&'a str>,
    /// As `bytea` is written: `\x` and digits.
    request_hash: Option<String>,
    max_active: i64,
    max_queued: i64,
    per_minute: i64,
    tokens_per_day: i64,
    max_undecided: i64,
    max_ready: i64,
    is_second_try: bool,
    /// By the database's clock.
    deadline: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(new: &NewRun<'a>, limits: Limits) -> Self {
        let hash = new.request_hash;
        Self {
            run_id: new.id,
            user_id: new.user_id,
            conversation_id: new.conversation_id,
            new_conversation_id: new.new_conversation_id,
            thread_name: new.thread_name,
            title: conversations::first_title(new.text),
            rejects_busy: new.rejects_busy,
            message_id: new.message_id,
            content: new.text,
            metadata: new.metadata,
            time_zone: new.time_zone,
            key: new.idempotency_key,
            request_hash: hash.map(bytea),
            max_active: limits.bounds.active,
            max_queued: limits.bounds.queued,
            per_minute: limits.bounds.per_minute,
            tokens_per_day: limits.tokens_per_day,
            max_undecided: MAX_UNDECIDED,
            max_ready: limits.max_ready,
            is_second_try: new.is_second_try,
            deadline: None,
            traceparent: new.traceparent,
        }
    }
}

/// Bytes as Postgres reads them.
fn bytea(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("\\x{}", digits.collect::<String>())
}

/// Acceptances of many messages, as `run_accepts` has it.
pub(in super::super) struct Accept;

/// What came of one of them.
pub(in super::super) struct Came {
    outcome: String,
    /// What time it was in the database.
    db_time: DateTime<Utc>,
    run_id: Option<Uuid>,
    conversation_id: Option<Uuid>,
    admitted: Vec<Uuid>,
    usage: Usage,
}

impl Transition for Accept {
    type Answer = Came;

    async fn send(
        db: &mut Connection,
        rows: &str,
        is_patient: bool,
    ) -> Result<Answers<Came>, StoreError> {
        came_of(db, rows, is_patient).await
    }

    fn lane(lanes: &Lanes) -> &Arc<Lane<Self>> {
        &lanes.accept
    }
}

async fn came_of(
    db: &mut Connection,
    rows: &str,
    is_patient: bool,
) -> Result<Answers<Came>, StoreError> {
    let answers = sqlx::query!(
        r#"select place as "place!", outcome, db_time as "db_time!", run_id, conversation_id, admitted,
                  active, queued, undecided, last_minute, window_frees_in, tokens_today, day_ends_in
           from run_accepts($1::text::jsonb, $2)"#,
        rows,
        is_patient
    )
    .fetch_all(db)
    .await?;
    let came = answers.into_iter().map(|row| {
        let came = row.outcome.map(|outcome| Came {
            outcome,
            db_time: row.db_time,
            run_id: row.run_id,
            conversation_id: row.conversation_id,
            admitted: row.admitted.unwrap_or_default(),
            usage: Usage {
                active: row.active.unwrap_or(0),
                queued: row.queued.unwrap_or(0),
                undecided: row.undecided.unwrap_or(0),
                last_minute: row.last_minute.unwrap_or(0),
                window_frees_in: row.window_frees_in.unwrap_or(0.0),
                tokens_today: row.tokens_today.unwrap_or(0),
                day_ends_in: row.day_ends_in.unwrap_or(0.0),
            },
        });
        (row.place, came)
    });
    Ok(came.collect())
}

impl Came {
    /// What it means, and what others are to be told.
    fn read(self) -> Result<(Acceptance, Vec<Hint>), StoreError> {
        let mut hints = Vec::new();
        let acceptance = match (self.outcome.as_str(), self.run_id, self.conversation_id) {
            ("accepted", _, Some(conversation_id)) => {
                hints.push(Hint::Conversation(conversation_id));
                if !self.admitted.is_empty() {
                    hints.push(Hint::JobReady);
                }
                Acceptance::Accepted {
                    conversation_id,
                    usage: self.usage,
                }
            }
            ("repeated", Some(run_id), Some(conversation_id)) => Acceptance::Repeated {
                run_id,
                conversation_id,
            },
            ("key_reused", ..) => Acceptance::KeyReused,
            ("limited", ..) => Acceptance::Limited(self.usage),
            ("unknown_conversation", ..) => Acceptance::UnknownConversation,
            ("busy", ..) => Acceptance::Busy,
            _ => {
                let unknown = sqlx::Error::Decode("an unknown outcome of run_accept".into());
                return Err(StoreError::Database(unknown));
            }
        };
        Ok((acceptance, hints))
    }
}

/// A run that goes on from another one, which is over.
#[derive(Debug, Clone, Copy)]
pub struct Successor<'a> {
    /// Its id.
    pub id: Uuid,
    /// The run that it goes on from.
    pub parent_run_id: Uuid,
    /// The client's key, if it sent one.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of the request, kept with the key.
    pub request_hash: Option<&'a [u8]>,
    /// As for a new run.
    pub time_zone: Option<&'a str>,
    /// As for a new run.
    pub traceparent: Option<&'a str>,
}

/// Accepts a run that goes on from another of the user, in the same conversation and turn. The caller holds the user's lock.
/// Zones are as for a new run.
///
/// # Errors
/// The id or the key is taken, or another run has gone on from there (`runs_continued_once`).
pub(super) async fn accept_successor(
    db: &mut Connection,
    user_id: &str,
    run: Successor<'_>,
) -> Result<(), StoreError> {
    if let Some(zone) = run.time_zone {
        settings::remember_zone(db, user_id, zone).await?;
    }
    sqlx::query!(
        "insert into runs (id, conversation_id, user_id, parent_run_id, root_run_id, idempotency_key, request_hash, time_zone, traceparent)
         select $3, conversation_id, user_id, id, coalesce(root_run_id, id), $4, $5,
                (select time_zone from user_settings where user_id = $2), $6
         from runs where id = $1 and user_id = $2",
        run.parent_run_id,
        user_id,
        run.id,
        run.idempotency_key,
        run.request_hash,
        run.traceparent
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A run found by its idempotency key.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// The run.
    pub id: Uuid,
    /// Its conversation.
    pub conversation_id: Uuid,
    /// The hash of the request it came with.
    pub request_hash: Option<Vec<u8>>,
}

/// The user's run with this idempotency key.
pub async fn find_by_key(
    db: &mut Connection,
    user_id: &str,
    key: &str,
) -> Result<Option<Keyed>, StoreError> {
    Ok(sqlx::query_as!(
        Keyed,
        "select id, conversation_id, request_hash from runs where user_id = $1 and idempotency_key = $2",
        user_id,
        key
    )
    .fetch_optional(db)
    .await?)
}
