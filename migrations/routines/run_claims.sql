-- version 2
-- A worker takes up to `p_limit` jobs and begins an attempt at the run of each: from here on every earlier attempt is fenced off. Returns the
-- runs, with what their conversations said before. For all users, so it runs as the owner of the tables; what it reads of a conversation it
-- reads as its owner. A run that was never at work before tells that it begins: its first event. Nothing is taken while the queue is paused, nor by
-- a worker that drains: whoever stops it waits for the claims that have read these tables, by a lock on them.
--
-- `offset 0` keeps what is asked of a few rows from becoming a join, for which the planner may read a whole table.
create or replace function run_claims(p_worker text, p_limit integer, p_history bigint, p_protocol text)
returns table (
    id uuid, conversation_id uuid, user_id text, attempt integer, lost_attempts integer, root_run_id uuid, parent_run_id uuid,
    is_retry boolean, "position" bigint, message text, said_at timestamptz, said_in text, created_at timestamptz, time_zone text,
    cancel_requested boolean, wants_title boolean, asks_before_deleting boolean, traceparent text, history json
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_jobs text[];
    v_runs uuid[];
    v_free uuid[];
    v_run  record;
begin
    if exists (select from queue_pause p where p.is_only) or exists (select from worker_drains d where d.worker = p_worker) then
        return;
    end if;

    with due as (
        select j.id from apalis.jobs j
        where (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts)) and j.run_at < now() and j.job_type = 'errand.run'
        order by j.priority desc, j.run_at
        limit p_limit
        for update skip locked
    ),
    taken as (
        update apalis.jobs j set status = 'Running', lock_by = p_worker, lock_at = now()
        from due where j.id = due.id
        returning j.id, j.job
    )
    -- A job that names no run, or another than its id, is none of ours. (A text is made an id of a job more cheaply than the other way round.)
    select array_agg(t.id), array_agg(case when t.id = job_of_run(t.run_id) then t.run_id end)
    into v_jobs, v_runs
    from (
        select n.id, case when n.job ~ '^\{"run_id":"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"\}$'
                          then substr(n.job, 12, 36)::uuid end as run_id
        from (select taken.id, encode(taken.job, 'escape') as job from taken offset 0) n
        offset 0
    ) t;
    if v_jobs is null then
        return;
    end if;

    -- A run that somebody is writing for just now, as a worker that was frozen may, is left for later and keeps no other waiting.
    select array_agg(f.id) into v_free from (
        select r.id from runs r where r.id = any (v_runs) order by r.id for no key update skip locked
    ) f;

    for v_run in
        with begun as (
            update runs r
            set status = 'running', attempt = r.attempt + 1, started_at = coalesce(r.started_at, clock_timestamp())
            from runs root
            where r.id = any (v_free) and r.status in ('queued', 'running') and r.admitted_at is not null
              and root.id = coalesce(r.root_run_id, r.id)
            returning r.id, r.conversation_id, r.user_id, r.attempt, r.attempt - 1 - r.handbacks as lost_attempts, root.id as root_run_id,
                      r.parent_run_id, root.position, root.created_at as said_at, root.time_zone as said_in, r.created_at, r.time_zone,
                      r.cancel_requested_at is not null as cancel_requested, r.traceparent
        ),
        told as (
            insert into run_events (run_id, seq, event, bytes)
            select t.id, 1, t.event, octet_length(t.event::text)
            from (
                select b.id, jsonb_strip_nulls(jsonb_build_object(
                           'type', 'RUN_STARTED', 'threadId', b.conversation_id, 'runId', b.id, 'parentRunId', b.parent_run_id,
                           'protocolVersion', p_protocol)) as event
                from begun b
                where b.attempt = 1 and not exists (select from run_events e where e.run_id = b.id offset 0)
            ) t
        )
        select b.*, m.content as message,
               exists (select from runs p where p.id = b.parent_run_id and p.status in ('failed', 'cancelled')) as is_retry,
               coalesce(m.metadata -> 'auto_title' = 'true'::jsonb, false) as wants_title,
               coalesce(m.metadata -> 'ask_before_deleting' = 'true'::jsonb, false) as asks_before_deleting
        from begun b join messages m on m.run_id = b.root_run_id and m.role = 'user'
    loop
        id := v_run.id; conversation_id := v_run.conversation_id; user_id := v_run.user_id;
        attempt := v_run.attempt; lost_attempts := v_run.lost_attempts;
        root_run_id := v_run.root_run_id; parent_run_id := v_run.parent_run_id; is_retry := v_run.is_retry;
        "position" := v_run.position; message := v_run.message;
        said_at := v_run.said_at; said_in := v_run.said_in; created_at := v_run.created_at; time_zone := v_run.time_zone;
        cancel_requested := v_run.cancel_requested; wants_title := v_run.wants_title;
        asks_before_deleting := v_run.asks_before_deleting; traceparent := v_run.traceparent;
        history := null;
        perform act_for(v_run.user_id);
        begin
            history := run_history(v_run.user_id, v_run.conversation_id, v_run.position, p_history);
        exception when others or query_canceled then
            -- Its worker reads it alone, and says what is wrong with it.
            history := null;
        end;
        return next;
    end loop;
    perform set_config('role', 'none', true);

    -- Jobs of runs that are over leave the queue, those without a run stay there for somebody to look at, and those whose run was not free come
    -- back to it.
    delete from apalis.jobs j using unnest(v_jobs, v_runs) as t (job_id, run_id)
    where j.id = t.job_id and t.run_id is not null and not exists (
        select from runs r
        where r.id = t.run_id and r.finished_at is null and r.admitted_at is not null and r.status in ('queued', 'running'));
    update apalis.jobs j
    set status = case when t.run_id is null then 'Killed' else 'Pending' end,
        done_at = case when t.run_id is null then now() end,
        last_result = case when t.run_id is null then '{"Err": "malformed"}'::jsonb end,
        lock_by = case when t.run_id is null then j.lock_by end,
        lock_at = case when t.run_id is null then j.lock_at end,
        run_at = case when t.run_id is null then j.run_at else now() + interval '1 second' end
    from unnest(v_jobs, v_runs) as t (job_id, run_id)
    where j.id = t.job_id and (t.run_id is null or not t.run_id = any (coalesce(v_free, '{}')));
end
$$;
