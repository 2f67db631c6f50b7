//! A run is accepted: `queued`, behind those of its conversation.

use uuid::Uuid;

use super::super::{Connection, StoreError, Transaction, settings};
use crate::hints::Hint;

/// A run to accept.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: Uuid,
    /// The conversation it belongs to.
    pub conversation_id: Uuid,
    /// The owner of the conversation.
    pub user_id: &'a str,
    /// The client's key, if it sent one.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of the request, kept with the key.
    pub request_hash: Option<&'a [u8]>,
    /// Where the user writes from, if the client says so: a name that was checked.
    pub time_zone: Option<&'a str>,
}

/// Accepts a run as `queued`, and has those told who stream its conversation. The caller holds the user's lock and inserts the
/// message in the same transaction. The zone is remembered for the user; without one the run has the one that is remembered.
///
/// # Errors
/// The database failed; the key is taken (`runs_idempotency_key_key`).
pub async fn accept(tx: &mut Transaction, run: NewRun<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "with known as (
             select time_zone from user_settings where user_id = $3
         ),
         remembered as (
             insert into user_settings as s (user_id, time_zone)
             select $3, $6 where $6::text is not null and $6 is distinct from (select time_zone from known)
             on conflict (user_id) do update set time_zone = excluded.time_zone, updated_at = clock_timestamp()
         )
         insert into runs (id, conversation_id, user_id, idempotency_key, request_hash, time_zone)
         values ($1, $2, $3, $4, $5, coalesce($6, (select time_zone from known)))",
        run.id,
        run.conversation_id,
        run.user_id,
        run.idempotency_key,
        run.request_hash,
        run.time_zone
    )
    .execute(&mut **tx)
    .await?;
    tx.tell(Hint::Conversation(run.conversation_id));
    Ok(())
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
}

/// Accepts a run that goes on from another of the user, in the same conversation and turn. The caller holds the user's lock.
/// Zones are as for a new run.
///
/// # Errors
/// The database failed; the id or the key is taken, or another run has gone on from there (`runs_continued_once`).
pub(super) async fn accept_successor(
    db: &mut Connection,
    user_id: &str,
    run: Successor<'_>,
) -> Result<(), StoreError> {
    if let Some(zone) = run.time_zone {
        settings::remember_zone(db, user_id, zone).await?;
    }
    sqlx::query!(
        "insert into runs (id, conversation_id, user_id, parent_run_id, root_run_id, idempotency_key, request_hash, time_zone)
         select $3, conversation_id, user_id, id, coalesce(root_run_id, id), $4, $5,
                (select time_zone from user_settings where user_id = $2)
         from runs where id = $1 and user_id = $2",
        run.parent_run_id,
        user_id,
        run.id,
        run.idempotency_key,
        run.request_hash
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
///
/// # Errors
/// The database failed.
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

/// Whether a conversation has a run that is not over.
///
/// # Errors
/// The database failed.
pub async fn is_busy(
    db: &mut Connection,
    user_id: &str,
    conversation_id: Uuid,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select 1 from runs where conversation_id = $1 and user_id = $2 and finished_at is null and status <> 'waiting'
           ) as "busy!""#,
        conversation_id,
        user_id
    )
    .fetch_one(db)
    .await?)
}
