//! Plans: what batches and turns read, counted in blocks, where nearly everything in the tables is old.

use errand_core::events::Event;
use errand_store::{
    self as store, Transaction, events,
    lifecycle::{self, Bounds},
    mcp_calls,
    queue::{
        jobs,
        purge::{self, Purge},
    },
    read::{conversations, history, messages},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;

use super::{HOUR, calls, done_jobs, ended_runs, runs_in};
use crate::system;

mod sets;

/// Blocks of tables and indexes that this connection has read in its transaction so far, from the disk or not.
async fn blocks(db: &mut PgConnection) -> i64 {
    let fetched = "select sum(pg_stat_get_xact_blocks_fetched(c.oid))::bigint from pg_class c
                   join pg_namespace n on n.oid = c.relnamespace
                   where relkind in ('r', 'i', 't') and n.nspname in ('public', 'apalis', 'pg_toast')";
    let row = sqlx::query(fetched).fetch_one(db).await;
    row.expect("a sum").get(0)
}

/// Runs some work and checks how much it read: the number says which plan was used, on any machine.
macro_rules! reads_at_most {
    ($most:expr, $db:expr, $work:expr) => {{
        let before = blocks($db).await;
        let result = $work.await.expect(stringify!($work));
        let read = blocks($db).await - before;
        assert!(read <= $most, "{read} blocks: {}", stringify!($work));
        result
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn no_batch_and_no_turn_reads_more_because_the_tables_are_old() {
    let database = system::database().await;
    let mut db = PgConnection::connect(&database).await.unwrap();
    // 100,000 turns, of which one conversation has 20,000. Their events are long gone, but for some.
    for statement in [
        ended_runs(80_000, "300 days", "26 hours", 0),
        runs_in(1, 20_000, "300 days", "26 hours", 0),
        ended_runs(1_000, "26 hours", "25 hours", 10),
        done_jobs(20_000, "3 hours"),
        calls(20_000, "40 days"),
        "analyze".to_owned(),
    ] {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut db).await.unwrap();
    }
    let day = HOUR * 24;
    for purge in [Purge::Events, Purge::Keys] {
        // All that was due before.
        while !purge::step(&mut db, purge, day, 4096)
            .await
            .unwrap()
            .is_last
        {}
    }
    // Later than all that the planner knows of.
    let statement = sqlx::raw_sql(AssertSqlSafe(ended_runs(5_000, "23 h", "22 h", 2)));
    statement.execute(&mut db).await.unwrap();
    // A hundred conversations of ten runs each.
    let deleted = "update conversations set deleted_at = now() - interval '3 hours'
                   where id in (select id from conversations where user_id = 'user-1' limit 100)";
    sqlx::raw_sql(deleted).execute(&mut db).await.unwrap();
    let pool = store::pool(&database, "test", 1, true).unwrap();
    let mut tx = store::begin(&pool).await.unwrap();
    let db = &mut tx;
    for _ in 0..8 {
        // Often enough for the plan that is kept.
        reads_at_most!(4000, db, purge::step(db, Purge::Events, HOUR, 80));
        reads_at_most!(3000, db, purge::step(db, Purge::Keys, HOUR, 20));
        reads_at_most!(1000, db, purge::step(db, Purge::Jobs, HOUR, 20));
        reads_at_most!(1000, db, purge::step(db, Purge::Calls, HOUR, 20));
        reads_at_most!(100, db, purge::step(db, Purge::UsageDays, HOUR, 20));
        reads_at_most!(200, db, purge::step(db, Purge::Workers, HOUR, 20));
        reads_at_most!(8000, db, purge::step(db, Purge::Conversations, HOUR, 80));
    }
    let (conversation, user): (Uuid, String) = sqlx::query_as(
        "select conversation_id, user_id from runs group by 1, 2 order by count(*) desc limit 1",
    )
    .fetch_one(&mut **db)
    .await
    .unwrap();
    for _ in 0..8 {
        turn(db, &user, conversation).await;
    }
    // As the programs call them.
    let routines = "set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; set local plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(routines).execute(&mut **db).await.unwrap();
    for _ in 0..4 {
        sets::turn(db).await;
        sets::state(db).await;
    }
}

/// What acceptance, claim and streams ask for in a turn.
async fn turn(db: &mut Transaction, user: &str, conversation: Uuid) {
    let bounds = Bounds {
        active: 10,
        queued: 10,
        per_minute: 60,
    };
    reads_at_most!(100, db, lifecycle::find_by_key(db, user, "a key"));
    reads_at_most!(200, db, lifecycle::usage(db, user, bounds));
    reads_at_most!(100, db, mcp_calls::attempt(db, user, 120));
    let id = Uuid::now_v7();
    let new = lifecycle::NewRun {
        id,
        user_id: user,
        conversation_id: Some(conversation),
        new_conversation_id: None,
        thread_name: None,
        message_id: Uuid::now_v7(),
        is_second_try: false,
        text: "x",
        metadata: None,
        time_zone: Some("Europe/Berlin"),
        idempotency_key: None,
        request_hash: None,
        rejects_busy: false,
        traceparent: None,
    };
    let limits = lifecycle::Limits {
        bounds,
        tokens_per_day: 0,
        max_ready: 4,
    };
    let accepted = reads_at_most!(600, db, lifecycle::accept_within(db, &new, limits));
    assert!(matches!(accepted, lifecycle::Acceptance::Accepted { .. }));
    reads_at_most!(100, db, lifecycle::admit(db, user, conversation, 4));
    reads_at_most!(100, db, lifecycle::find(db, user, id));
    reads_at_most!(100, db, conversations::exists(db, conversation, user));
    reads_at_most!(200, db, conversations::list(db, user, None, 50));
    let newest = messages::Order::NewestFirst;
    // To the planner this conversation is as short as all others, so it may read and sort all of it; of others it reads nothing.
    reads_at_most!(
        800,
        db,
        messages::list(db, user, conversation, newest, None, 50)
    );
    reads_at_most!(100, db, lifecycle::at_work(db, user, conversation));
    reads_at_most!(
        200,
        db,
        lifecycle::to_follow(db, user, conversation, None, 100)
    );
    let span = reads_at_most!(100, db, lifecycle::span(db, conversation));
    reads_at_most!(
        200,
        db,
        lifecycle::news(db, &[conversation], &[span.last - 1], 100)
    );
    let event = [Event::run_started(conversation, id, None)];
    reads_at_most!(60, db, events::write(db, id, 1, &event));
    reads_at_most!(60, db, events::state(db, id));
    let bounds = events::Bounds {
        events: 500,
        bytes: 1 << 20,
    };
    reads_at_most!(60, db, events::after(db, &[id], &[0], bounds));
    let many = "insert into run_events (run_id, seq, event) select $1, n, '{\"type\": \"CUSTOM\"}' from generate_series(2, 2000) n";
    sqlx::query(many).bind(id).execute(&mut **db).await.unwrap();
    reads_at_most!(
        200,
        db,
        lifecycle::to_follow(db, user, conversation, None, 100)
    );
    reads_at_most!(60, db, jobs::forget(db, id));
    reads_at_most!(60, db, jobs::forget(db, id));
    reads_at_most!(100, db, jobs::enqueue(db, &[id], 0));
    // From here on as the owner.
    let owner = "reset role; insert into apalis.workers (id, worker_type, storage_name) values ('me', 'errand.run', 'errand') on conflict do nothing";
    sqlx::raw_sql(owner).execute(&mut **db).await.unwrap();
    let mut claimed = reads_at_most!(2000, db, lifecycle::claim(db, "me", 8, 40));
    let claimed = claimed.pop().expect("the run");
    assert!(claimed.history.is_some());
    let claimed = claimed.run;
    reads_at_most!(1500, db, history::before(db, &claimed, 40));
    let end = format!(
        "update runs set status = 'completed', finished_at = clock_timestamp() where id = '{id}'"
    );
    let end = sqlx::raw_sql(AssertSqlSafe(end));
    end.execute(&mut **db).await.unwrap();
}

/// A planner that knows conversations as short reads and sorts a long one as a whole, once its plan is for any conversation.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_long_conversation_costs_what_is_read_of_it() {
    let database = system::database().await;
    let mut owner = PgConnection::connect(&database).await.unwrap();
    let past = "insert into conversations (id, user_id, title) select gen_random_uuid(), 'user-' || n % 200, 't' from generate_series(1, 1000) n;
        insert into runs (id, conversation_id, user_id, status, admitted_at, finished_at)
            select gen_random_uuid(), id, user_id, 'completed', now(), now() from conversations, generate_series(1, 10);
        insert into conversations (id, user_id, title) values ('01890000-0000-7000-8000-000000000000', 'user-1', 'long');
        insert into runs (id, conversation_id, user_id, status, admitted_at, finished_at)
            select gen_random_uuid(), '01890000-0000-7000-8000-000000000000', 'user-1', 'completed', now(), now() from generate_series(1, 20000);
        insert into messages (id, conversation_id, user_id, run_id, role, content)
            select gen_random_uuid(), conversation_id, user_id, id, role, 'x' from runs, unnest(array['user', 'assistant']) role;
        analyze";
    sqlx::raw_sql(past).execute(&mut owner).await.unwrap();
    assert_eq!(turns_read(&mut owner, 2_000).await, 40);
    // A summary stands for all but the last ten turns. Those are not read, either.
    let summarised = "insert into summaries (id, conversation_id, user_id, covers_to, status, content, finished_at)
        select gen_random_uuid(), conversation_id, user_id, max(position) - 10, 'completed', 'notes', now()
        from runs where conversation_id = '01890000-0000-7000-8000-000000000000' group by 2, 3";
    sqlx::raw_sql(summarised).execute(&mut owner).await.unwrap();
    assert_eq!(turns_read(&mut owner, 700).await, 10);
}

/// How many turns the history of the long conversation has, which reads so many blocks at most.
async fn turns_read(db: &mut PgConnection, most: i64) -> i32 {
    let mut tx = db.begin().await.unwrap();
    let setup = "set local plan_cache_mode = force_generic_plan; select act_for('user-1')";
    sqlx::raw_sql(setup).execute(&mut *tx).await.unwrap();
    let before = blocks(&mut tx).await;
    let turns = sqlx::query_scalar(
        "select json_array_length(run_history('user-1', '01890000-0000-7000-8000-000000000000', 1000000, 40))",
    );
    let turns = turns.fetch_one(&mut *tx).await.unwrap();
    let read = blocks(&mut tx).await - before;
    assert!(read < most, "{read} blocks");
    turns
}
