//! The past: finished runs with their messages and steps, and, for some, what has not been purged yet.

use std::ops::Range;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// Runs made with one statement.
const CHUNK: usize = 50_000;

/// A conversation that is to have a past.
#[derive(Debug, Clone)]
pub struct Talk {
    pub conversation: Uuid,
    pub user: String,
    /// Turns it has had: a message of the user and a reply.
    pub turns: i32,
}

/// Makes conversations with their past turns, which have ended an hour ago.
///
/// # Errors
/// Postgres refuses.
pub async fn talks(db: &mut PgConnection, talks: &[Talk]) -> Result<()> {
    execute(db, "set session_replication_role = replica").await?;
    execute(db, ID_AT).await?;
    let conversations: Vec<_> = talks.iter().map(|talk| talk.conversation).collect();
    let users: Vec<_> = talks.iter().map(|talk| talk.user.clone()).collect();
    let turns: Vec<_> = talks.iter().map(|talk| talk.turns).collect();
    // Ids come from times, which are those of one transaction.
    let mut tx = db.begin().await?;
    for statement in TALKS {
        let made = sqlx::query(statement).bind(&conversations).bind(&users);
        made.bind(&turns).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    execute(db, "set session_replication_role = origin").await?;
    // So that nothing is planned for the tables as they were, and what was made is not still to be tidied up while others measure.
    execute(db, "vacuum analyze conversations, runs, messages, steps").await?;
    execute(db, "checkpoint").await
}

/// A UUIDv7 of a time: rows that were made one behind the other lie beside one another in an index, as in a past that somebody had.
const ID_AT: &str = "create or replace function pg_temp.id_at(at timestamptz, what text) returns uuid language sql as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(what), 1, 3)
            || '8' || substr(md5(what), 4, 15))::uuid
$$";

/// `n` are the turns, each with its conversation, user and number.
macro_rules! of_turns {
    ($statement:literal) => {
        concat!(
            "with n as (
                 select id, user_id, nth, at, pg_temp.id_at(at, 'run' || id || nth) as run_id
                 from unnest($1::uuid[], $2::text[], $3::integer[]) as u (id, user_id, turns), generate_series(1, turns) nth,
                      lateral (select now() - interval '1 hour' - (turns - nth) * interval '1 second' as at) t
             ) ",
            $statement
        )
    };
}

const TALKS: [&str; 4] = [
    "insert into conversations (id, user_id, title, created_at, updated_at)
     select id, user_id, 'past', now() - interval '1 hour', now() - interval '1 hour'
     from unnest($1::uuid[], $2::text[], $3::integer[]) as u (id, user_id, turns)",
    of_turns!(
        "insert into runs (id, conversation_id, user_id, status, attempt, input_tokens, output_tokens, model_calls,
                           admitted_at, created_at, started_at, finished_at)
         select run_id, id, user_id, 'completed', 0, 400, 20, 1, at, at, at, at from n order by id, nth"
    ),
    // A reply has the steps of its turn, as `run_finish` keeps them.
    of_turns!(
        "insert into messages (id, conversation_id, user_id, run_id, role, content, created_at, turn_steps)
         select pg_temp.id_at(at, role || run_id), id, user_id, run_id, role, 'some words that somebody has said', at,
                case when role = 'assistant' then json_build_array(json_build_object(
                    'run_id', run_id, 'told_by', run_id, 'step', 1, 'content', 'some words that somebody has said', 'calls', '[]'::json)) end
         from n, unnest(array['user', 'assistant']) with ordinality as r (role, side) order by id, nth, side"
    ),
    of_turns!(
        "insert into steps (run_id, step, attempt, content, tool_calls, created_at)
         select run_id, 1, 1, 'some words that somebody has said', '[]', at from n"
    ),
];

/// Makes the finished runs of these numbers, of `all`, evenly spread over 300 days until an hour ago. Ten are in a conversation, and
/// a thousand or so of a user; one in ten has a key. The last 20,000 of these have events, done jobs and calls from outside.
///
/// # Errors
/// Postgres refuses.
pub async fn make(db: &mut PgConnection, runs: Range<u32>, all: u32) -> Result<()> {
    // The rows are consistent by construction: foreign keys need not be checked, and nobody is to be notified.
    execute(db, "set session_replication_role = replica").await?;
    execute(db, ID_AT).await?;
    let days = "insert into usage_days (user_id, day, tokens)
                select 'user-' || u, current_date - d, 420 from generate_series(0, 1999) u, generate_series(1, 30) d
                on conflict do nothing";
    execute(db, days).await?;
    for first in runs.clone().step_by(CHUNK) {
        let last = runs.end.min(first + CHUNK as u32);
        let unpurged = first.max(runs.end.saturating_sub(20_000));
        for statement in statements(first, last, unpurged, all) {
            execute(db, &statement).await?;
        }
    }
    for statement in [
        "set session_replication_role = origin",
        // A past has been tidied up long ago, and not while others measure.
        "vacuum analyze",
        "checkpoint",
    ] {
        execute(db, statement).await?;
    }
    Ok(())
}

async fn execute(db: &mut PgConnection, statement: &str) -> Result<()> {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    statement.execute(db).await?;
    Ok(())
}

fn statements(first: u32, last: u32, unpurged: u32, all: u32) -> Vec<String> {
    let end = last - 1;
    let at = format!(
        "timestamptz 'today' - interval '300 days' + {{g}} * (interval '299 days' / {all})"
    );
    let of = |g: &str| at.replace("{g}", g);
    let source = |from: u32| {
        format!(
            "(select g, md5('c' || g / 10)::uuid as conversation_id, 'user-' || g / 10 % 2000 as user_id, {} as at
              from generate_series({from}, {end}) g) n",
            of("g")
        )
    };
    let run = "pg_temp.id_at(at, 'r' || g)";
    let mut statements = vec![
        format!(
            "insert into conversations (id, user_id, title, created_at, updated_at)
             select md5('c' || g)::uuid, 'user-' || g % 2000, 'past', {at}, {at} from generate_series({}, {}) g",
            first / 10,
            end / 10,
            at = of("g * 10")
        ),
        format!(
            "insert into runs (id, conversation_id, user_id, status, attempt, input_tokens, output_tokens, model_calls,
                               admitted_at, created_at, started_at, finished_at, idempotency_key, request_hash)
             select {run}, conversation_id, user_id, 'completed', 1, 400, 20, 1, at, at, at, at,
                    case when g % 10 = 0 then md5('k' || g) end, case when g % 10 = 0 then sha256('x') end
             from {}",
            source(first)
        ),
        format!(
            "insert into messages (id, conversation_id, user_id, run_id, role, content, created_at)
             select pg_temp.id_at(at, 'm' || role || g), conversation_id, user_id, {run}, role, 'some words that somebody has said', at
             from {}, unnest(array['user', 'assistant']) role",
            source(first)
        ),
        format!(
            "insert into steps (run_id, step, attempt, content, tool_calls, created_at)
             select {run}, 1, 1, 'some words that somebody has said', '[]', at from {}",
            source(first)
        ),
    ];
    if unpurged < last {
        statements.push(format!(
            "insert into run_events (run_id, seq, event, created_at, bytes)
             select {run}, seq, '{{\"type\": \"TEXT_MESSAGE_CONTENT\", \"messageId\": \"x\", \"delta\": \"some words\"}}', at, 80
             from {}, generate_series(1, 12) seq",
            source(unpurged)
        ));
        statements.push(format!(
            "insert into apalis.jobs (job, id, job_type, status, attempts, run_at, done_at, last_result)
             select '\\x7b7d', 'past-' || g, 'bench', 'Done', 0, at, at, '{{\"Ok\": null}}' from {}",
            source(unpurged)
        ));
        statements.push(format!(
            "insert into mcp_calls (id, user_id, tool_name, parameters, result, created_at)
             select {run}, user_id, 'list_tasks', '{{}}', '{{\"success\": true}}', at from {}",
            source(unpurged)
        ));
    }
    statements
}
