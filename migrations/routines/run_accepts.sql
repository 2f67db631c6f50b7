-- version 3
-- Messages are accepted, as many as there are at the moment: those to which nothing is special together, each of the others as `run_accept`
-- has it, or not at all. One that is refused, or would have to
-- wait for somebody's lock, is `alone`: nothing came of it, and its caller tries it alone. A set that is `patient` waits, and fails as a whole.
create or replace function run_accepts(p_rows jsonb, p_patient boolean)
returns table (
    place bigint, alone boolean, db_time timestamptz, outcome text, run_id uuid, conversation_id uuid, admitted uuid[],
    active bigint, queued bigint, undecided bigint, last_minute bigint, window_frees_in float8, tokens_today bigint, day_ends_in float8
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r      record;
    v_made bigint[] := '{}';
begin
    perform set_config('lock_timeout', case when p_patient then '4s' else '20ms' end, true);
    if not p_patient and jsonb_array_length(p_rows) > 1 then
        begin
            for place, run_id, conversation_id, active, queued, undecided, last_minute, window_frees_in, tokens_today, day_ends_in in
                select a.place, a.run_id, a.conversation_id, a.active, a.queued, a.undecided, a.last_minute, a.window_frees_in, a.tokens_today,
                       a.day_ends_in
                from run_accept_all(p_rows) a
            loop
                v_made := v_made || place;
                alone := false;
                outcome := 'accepted';
                admitted := array[run_id];
                db_time := clock_timestamp();
                return next;
            end loop;
        exception when others then
            null;
        end;
    end if;
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, conversation_id uuid, new_conversation_id uuid, thread_name text, title text, rejects_busy boolean,
            message_id uuid, content text, metadata jsonb, time_zone text, key text, request_hash bytea,
            max_active bigint, max_queued bigint, per_minute bigint, tokens_per_day bigint, max_undecided bigint, max_ready bigint,
            is_second_try boolean, deadline timestamptz, traceparent text)) with ordinality i
        where not i.ordinality = any (v_made)
    loop
        place := r.ordinality;
        alone := false;
        begin
            select a.outcome, a.run_id, a.conversation_id, a.admitted, a.active, a.queued, a.undecided, a.last_minute, a.window_frees_in,
                   a.tokens_today, a.day_ends_in
            into outcome, run_id, conversation_id, admitted, active, queued, undecided, last_minute, window_frees_in, tokens_today, day_ends_in
            from run_accept(
                r.run_id, r.user_id, r.conversation_id, r.new_conversation_id, r.thread_name, r.title, r.rejects_busy,
                r.message_id, r.content, r.metadata, r.time_zone, r.key, r.request_hash,
                r.max_active, r.max_queued, r.per_minute, r.tokens_per_day, r.max_undecided, r.max_ready, r.is_second_try, r.deadline,
                r.traceparent) a;
        exception when others then
            if p_patient then raise; end if;
            perform set_config('lock_timeout', '1ms', true);
            alone := true;
            outcome := null;
        end;
        db_time := clock_timestamp();
        return next;
    end loop;
end
$$;
