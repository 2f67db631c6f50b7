-- version 3
-- What the queue is like, at most `p_max_age` old: whoever finds it older counts anew, and others are given what there is meanwhile. Counts go
-- no further than `p_bound`, so the cost grows neither with a backlog nor with what is done. `seconds_old` is how old the
-- answer is; ages are those of the moment when it was counted: what was taken since has not waited on.
-- A sequential scan that cannot be avoided, as of a table with one row, counts as dear without end when they are off, and the whole would be
-- compiled to machine code each time: fifty milliseconds for a third of one.
create or replace function queue_state(p_max_age interval, p_bound bigint)
returns table (
    seconds_old float8, ready bigint, oldest_ready_seconds float8, running bigint, oldest_running_seconds float8,
    behind bigint, awaiting_approval bigint, workers bigint, slots bigint
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_state jsonb;
    v_at    timestamptz;
begin
    select s.state, s.measured_at into v_state, v_at from queue_state s;
    if (v_at is null or v_at < clock_timestamp() - p_max_age or v_at > clock_timestamp())
       and (pg_try_advisory_xact_lock(hashtextextended('queue_state', 3)) or v_at is null) then
        select jsonb_build_object(
            'ready', j.ready, 'oldest_ready', j.oldest_ready, 'running', w.running, 'oldest_running', w.oldest_running,
            'behind', b.behind, 'awaiting_approval', a.awaiting, 'workers', s.workers, 'slots', s.slots)
        into v_state
        from (select count(*) as ready, min(j.run_at) as oldest_ready
              from (select j.run_at from apalis.jobs j
                    where j.job_type = 'errand.run' and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
                      and j.run_at <= now()
                    order by j.priority desc, j.run_at
                    limit p_bound) j) j,
             (select count(*) as running, min(w.lock_at) as oldest_running
              from (select j.lock_at from apalis.jobs j
                    where j.lock_by is not null and j.status in ('Running', 'Queued') limit p_bound) w) w,
             (select count(*) as behind from (
                 select from runs r where r.user_id is not null and r.finished_at is null and r.admitted_at is null limit p_bound) r) b,
             (select count(*) as awaiting from (select from runs r where r.is_waiting limit p_bound) r) a,
             -- A worker that says nothing for half a minute is none; what it had is with others by then.
             (select count(*) as workers, coalesce(sum(substring(w.layers from '^slots=(\d{1,6})$')::bigint), 0)::bigint as slots
              from (select w.layers from apalis.workers w
                    where w.worker_type = 'errand.run' and w.last_seen > now() - interval '30 seconds' and w.layers ~ '^slots=[1-9]' limit p_bound) w) s;
        v_at := clock_timestamp();
        insert into queue_state as s (measured_at, state) values (v_at, v_state)
        on conflict (is_only) do update set measured_at = excluded.measured_at, state = excluded.state;
    end if;
    return query
    select extract(epoch from clock_timestamp() - v_at)::float8,
           (v_state ->> 'ready')::bigint, coalesce(extract(epoch from v_at - (v_state ->> 'oldest_ready')::timestamptz), 0)::float8,
           (v_state ->> 'running')::bigint, coalesce(extract(epoch from v_at - (v_state ->> 'oldest_running')::timestamptz), 0)::float8,
           (v_state ->> 'behind')::bigint, (v_state ->> 'awaiting_approval')::bigint,
           (v_state ->> 'workers')::bigint, (v_state ->> 'slots')::bigint;
end
$$;
