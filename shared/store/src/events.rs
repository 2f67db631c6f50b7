//! Events: appended by the worker that owns the run, read by everybody who streams it.

use errand_core::{
    events::{Event, MAX_EVENT_BYTES, Open, too_large},
    hints::Hint,
};
use serde_json::Value;
use uuid::Uuid;

use super::{Connection, Pool, StoreError, Transaction, WriteError};

/// Bytes of a stored event that is shown as it is. Postgres writes JSON with spaces, so one within [`MAX_EVENT_BYTES`] may be larger
/// here, by half at most.
pub const MAX_SHOWN_BYTES: usize = 2 * MAX_EVENT_BYTES;
/// Bytes of a field that is kept in one that is not.
const MAX_KEPT_BYTES: i32 = 4096;

/// Events of one run that are to be appended.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The run.
    pub run_id: Uuid,
    /// The attempt that writes: the fence.
    pub attempt: i32,
    /// The seq of the first.
    pub first_seq: i64,
    /// The events.
    pub events: Vec<Event>,
}

/// Appends the events of many runs with one statement.
///
/// The commit waits for the disk, one wait for the whole batch: what a client has seen outlives a crash of the database, so
/// whoever resumes finds the same events under the same seqs. With `synchronous_commit = off` the last ones could be
/// lost and their seqs given to others.
///
/// Events of a run that is over, or that another attempt owns, are left out; the returned runs are those that were
/// written for. Appending the same batch again changes nothing.
///
/// # Errors
/// The database failed: whether the events were written is unknown, so append the same again.
pub async fn append(pool: &Pool, batches: &[Batch]) -> Result<Vec<Uuid>, StoreError> {
    let (mut runs, mut attempts, mut seqs, mut events) = (vec![], vec![], vec![], vec![]);
    for batch in batches {
        for (event, seq) in json(&batch.events)?.into_iter().zip(batch.first_seq..) {
            runs.push(batch.run_id);
            attempts.push(batch.attempt);
            seqs.push(seq);
            events.push(event);
        }
    }
    let mut db = pool.acquire().await?;
    // The lock on the run's row makes a claim wait for this statement: a new attempt sees every event of the last one.
    let owned = sqlx::query_scalar!(
        r#"with told as materialized (
             select distinct run_id, attempt from unnest($1::uuid[], $2::integer[]) as u (run_id, attempt)
         ),
         owned as (
             select r.id from runs r
             where r.id = any ($1) and r.status = 'running'
               and exists (select from told t where t.run_id = r.id and t.attempt = r.attempt offset 0)
             order by r.id
             for share of r
         ),
         written as (
             insert into run_events (run_id, seq, event, bytes)
             select e.run_id, e.seq, e.event, octet_length(e.event::text)
             from unnest($1::uuid[], $3::bigint[], $4::jsonb[]) as e (run_id, seq, event)
             join owned on owned.id = e.run_id
             on conflict on constraint run_events_pkey do nothing
         )
         select id from owned"#,
        &runs,
        &attempts,
        &seqs,
        &events
    )
    .fetch_all(&mut *db)
    .await?;
    db.release();
    pool.tell_all(owned.iter().copied().map(Hint::RunEvents));
    Ok(owned)
}

/// Events as they are kept.
///
/// # Errors
/// One cannot be written as JSON.
pub(super) fn json(events: &[Event]) -> Result<Vec<Value>, StoreError> {
    let written = events
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>();
    written.map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}

/// Writes events of one run as part of the caller's transaction, which has proven that it owns the run.
///
/// # Errors
/// A seq is taken (`run_events_pkey`).
pub async fn write(
    tx: &mut Transaction,
    run_id: Uuid,
    first_seq: i64,
    events: &[Event],
) -> Result<(), WriteError> {
    if events.is_empty() {
        return Ok(());
    }
    let events = json(events)?;
    sqlx::query!(
        "insert into run_events (run_id, seq, event, bytes)
         select $1, $2 + place - 1, event, octet_length(event::text) from unnest($3::jsonb[]) with ordinality as e (event, place)",
        run_id,
        first_seq,
        &events
    )
    .execute(&mut **tx)
    .await?;
    tx.tell(Hint::RunEvents(run_id));
    Ok(())
}

/// How far a run's events go, and what they leave open.
pub async fn state(db: &mut Connection, run_id: Uuid) -> Result<(i64, Open), StoreError> {
    let last = sqlx::query_scalar!(
        r#"select coalesce(max(seq), 0) as "last!" from run_events where run_id = $1"#,
        run_id
    )
    .fetch_one(&mut *db)
    .await?;
    let frames = sqlx::query_scalar!(
        "select event from run_events
         where run_id = $1
           and event ->> 'type' in ('RUN_STARTED', 'RUN_ERROR', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_END',
                                    'TOOL_CALL_START', 'TOOL_CALL_END', 'TOOL_CALL_RESULT')
         order by seq",
        run_id
    )
    .fetch_all(db)
    .await?;
    let mut open = Open::default();
    for frame in frames
        .into_iter()
        .filter_map(|frame| serde_json::from_value(frame).ok())
    {
        open.see(&frame);
    }
    Ok((last, open))
}

/// An event as readers get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The run.
    pub run_id: Uuid,
    /// Its place, from 1.
    pub seq: i64,
    /// The event; shortened if it is larger than [`MAX_SHOWN_BYTES`].
    pub event: Value,
    /// Its bytes as JSON text.
    pub bytes: usize,
}

/// How much is read at a time.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Events.
    pub events: i64,
    /// Bytes; the last event may go beyond them.
    pub bytes: i64,
}

/// Events that were read, and whether there may be more.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// In order.
    pub events: Vec<Stored>,
    /// A bound was reached.
    pub is_cut: bool,
}

/// The events of these runs, each from behind its own seq, in order, within `bounds`; at least one, if there is one.
///
/// For a process that streams on behalf of their owners, who were checked before. The limit inside keeps the planner to one
/// descent of the key for each run, whatever it believes about the table: a plain join was seen to read all of it. Sizes are
/// columns, so what is beyond the bound is not read.
pub async fn after(
    db: &mut Connection,
    runs: &[Uuid],
    seqs: &[i64],
    bounds: Bounds,
) -> Result<Read, StoreError> {
    let max_shown = i32::try_from(MAX_SHOWN_BYTES).unwrap_or(i32::MAX);
    let rows = sqlx::query!(
        r#"select p.run_id as "run_id!", p.seq as "seq!", p.bytes as "bytes!", p.bytes > $5 as "is_large!",
                  case when p.bytes <= $5 then p.event
                       else (select coalesce(jsonb_object_agg(f.key, f.value), '{}') from jsonb_each(p.event) f
                             where octet_length(f.value::text) <= $6)
                  end as "event!"
           from (
               select e.*, sum(least(e.bytes, $5)) over (order by e.run_id, e.seq) - least(e.bytes, $5) as before
               from (
                   select r.* from unnest($1::uuid[], $2::bigint[]) as w (run_id, seq)
                   cross join lateral (
                       select n.run_id, n.seq, n.event, coalesce(n.bytes, octet_length(n.event::text)) as bytes
                       from run_events n
                       where n.run_id = w.run_id and n.seq > w.seq
                       order by n.seq
                       limit $3
                   ) r
                   order by r.run_id, r.seq
                   limit $3
               ) e
           ) p
           where p.before < $4
           order by p.run_id, p.seq"#,
        runs,
        seqs,
        bounds.events,
        bounds.bytes,
        max_shown,
        MAX_KEPT_BYTES
    )
    .fetch_all(db)
    .await?;
    let events: Vec<Stored> = rows
        .into_iter()
        .map(|row| Stored {
            run_id: row.run_id,
            seq: row.seq,
            event: if row.is_large {
                too_large::mend(row.event)
            } else {
                row.event
            },
            bytes: usize::try_from(row.bytes.min(max_shown)).unwrap_or(0),
        })
        .collect();
    let bytes: usize = events.iter().map(|event| event.bytes).sum();
    let is_cut = i64::try_from(events.len()).is_ok_and(|read| read >= bounds.events)
        || i64::try_from(bytes).is_ok_and(|read| read >= bounds.bytes);
    Ok(Read { events, is_cut })
}
