-- version 4
-- Accepts, in one statement for all, those of many messages to which nothing is special: the first of its user, within the bounds, in a
-- conversation that is free or new, and with a place for its run, which so may start at once. Returns these; of the others nothing is written,
-- and `run_accept` says what they are. (`offset 0`: see `run_claims`.) For all users, so it runs as the owner of the tables, and each row names its user. Fails as a whole.
create or replace function run_accept_all(p_rows jsonb)
returns table (
    place bigint, run_id uuid, conversation_id uuid,
    active bigint, queued bigint, undecided bigint, last_minute bigint, window_frees_in float8, tokens_today bigint, day_ends_in float8
)
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    perform pg_advisory_xact_lock(u.key) from (
        select distinct hashtextextended(i.user_id, 1) as key from jsonb_to_recordset(p_rows) as i (user_id text) order by 1
    ) u;
    return query
    -- What is counted is what `run_usage` counts.
    with asked as materialized (
        select i.*, c.id as known_conversation_id, s.time_zone as known_zone, a.active, a.queued, a.ready, u.undecided, l.last_minute, l.first,
               coalesce((select d.tokens from usage_days d where d.user_id = i.user_id and d.day = (now() at time zone 'utc')::date), 0)
                   as tokens_today
        from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, conversation_id uuid, new_conversation_id uuid, thread_name text, title text,
            message_id uuid, content text, metadata jsonb, time_zone text, key text, request_hash bytea,
            max_active bigint, max_queued bigint, per_minute bigint, tokens_per_day bigint, max_undecided bigint, max_ready bigint,
            is_second_try boolean, deadline timestamptz, traceparent text)) with ordinality
            i (run_id, user_id, conversation_id, new_conversation_id, thread_name, title, message_id, content, metadata, time_zone, key,
               request_hash, max_active, max_queued, per_minute, tokens_per_day, max_undecided, max_ready, is_second_try, deadline, traceparent,
               place)
        left join lateral (
            select c.id from conversations c where c.id = i.conversation_id and c.user_id = i.user_id and c.deleted_at is null offset 0
        ) c on true
        left join lateral (select s.time_zone from user_settings s where s.user_id = i.user_id offset 0) s on true
        cross join lateral (
            select least(count(*), greatest(i.max_active, i.max_queued)) as active, count(*) as ready,
                   least(count(*) filter (where status = 'queued'), greatest(i.max_active, i.max_queued)) as queued
            from (
                select r.status from runs r
                where r.user_id = i.user_id and r.admitted_at is not null and is_active(r)
                limit greatest(i.max_active, i.max_queued, i.max_ready)) r
        ) a
        cross join lateral (
            select count(*) as undecided from (
                select from runs r where r.user_id = i.user_id and r.is_waiting limit i.max_undecided) r
        ) u
        cross join lateral (
            select count(*) as last_minute, min(r.created_at) as first from (
                select r.created_at from runs r
                where r.user_id = i.user_id and r.created_at > statement_timestamp() - interval '1 minute'
                order by r.created_at desc
                limit i.per_minute) r
        ) l
    ),
    accepted as materialized (
        select a.*, coalesce(a.known_conversation_id, a.new_conversation_id) as in_conversation
        from asked a
        where not exists (select from asked e where e.user_id = a.user_id and e.place < a.place)
          and not a.is_second_try and a.thread_name is null and coalesce(clock_timestamp() <= a.deadline, true)
          and not exists (select from runs r where r.user_id = a.user_id and r.idempotency_key = a.key offset 0)
          and a.undecided < a.max_undecided
          and (a.max_active = 0 or a.active < a.max_active) and (a.max_queued = 0 or a.queued < a.max_queued)
          and (a.per_minute = 0 or a.last_minute < a.per_minute) and (a.tokens_per_day = 0 or a.tokens_today < a.tokens_per_day)
          and (a.known_conversation_id is not null or a.new_conversation_id is not null)
          and a.ready < a.max_ready
          and not exists (select from runs r where r.user_id = a.user_id and r.finished_at is null and r.admitted_at is null offset 0)
          and not exists (
              select from runs r
              where r.conversation_id = a.known_conversation_id and is_active(r) offset 0)
    ),
    touched as (
        update conversations c set updated_at = clock_timestamp() where c.id = any (array(select known_conversation_id from accepted))
    ),
    -- An id that is another user's is refused here, and with it the set.
    opened as (
        insert into conversations (id, user_id, title)
        select a.new_conversation_id, a.user_id, a.title from accepted a where a.known_conversation_id is null
    ),
    remembered as (
        insert into user_settings as s (user_id, time_zone)
        select a.user_id, a.time_zone from accepted a where a.time_zone is not null and a.time_zone is distinct from a.known_zone
        order by a.user_id
        on conflict (user_id) do update set time_zone = excluded.time_zone, updated_at = clock_timestamp()
    ),
    begun as (
        insert into runs (id, conversation_id, user_id, idempotency_key, request_hash, time_zone, traceparent, admitted_at)
        select a.run_id, a.in_conversation, a.user_id, a.key, a.request_hash, coalesce(a.time_zone, a.known_zone), a.traceparent,
               clock_timestamp()
        from accepted a order by a.place
    ),
    said as (
        insert into messages (id, conversation_id, user_id, run_id, role, content, metadata, partial)
        select a.message_id, a.in_conversation, a.user_id, a.run_id, 'user', a.content, a.metadata, false
        from accepted a order by a.place
    ),
    enqueued as (
        insert into apalis.jobs (id, job_type, job, run_at, metadata)
        select job_of_run(a.run_id), 'errand.run', convert_to('{"run_id":"' || a.run_id || '"}', 'utf8'), date_trunc('second', now()), ''
        from accepted a
    )
    select a.place, a.run_id, a.in_conversation, a.active, a.queued, a.undecided, a.last_minute,
           coalesce(extract(epoch from a.first + interval '1 minute' - clock_timestamp()), 60)::float8, a.tokens_today,
           extract(epoch from date_trunc('day', now() at time zone 'utc') + interval '1 day' - (now() at time zone 'utc'))::float8
    from accepted a;
end
$$;
