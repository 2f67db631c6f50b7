-- version 3
-- Many runs come to their replies in a few statements for all, as `run_finish` has each. `admitted` is null where another attempt owns the run
-- or it is over: nothing is written of that one. For all users, so it runs as the owner of the tables, and each row names its user. Fails as a
-- whole.
create or replace function run_finish_all(p_rows jsonb) returns table (place bigint, admitted uuid[])
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    r      record;
    v_runs uuid[];
begin
    -- Users, jobs, runs: the order of the whole house, and within each always the same.
    perform pg_advisory_xact_lock(u.key) from (
        select distinct hashtextextended(i.user_id, 1) as key from jsonb_to_recordset(p_rows) as i (user_id text) order by 1
    ) u;
    perform from jsonb_to_recordset(p_rows) as i (job_id text) join apalis.jobs j on j.id = i.job_id order by j.id for no key update of j;
    with asked as materialized (
        select i.* from jsonb_to_recordset(p_rows) as i (run_id uuid, user_id text, attempt integer)
    )
    select array_agg(o.id) into v_runs from (
        select r.id
        from runs r
        where r.id = any (array(select run_id from asked)) and r.status = 'running'
          and exists (select from asked a where a.run_id = r.id and a.user_id = r.user_id and a.attempt = r.attempt offset 0)
        order by r.id
        for no key update of r
    ) o;
    v_runs := coalesce(v_runs, '{}');

    insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens,
                       usage_estimated, model, extra, cached_input_tokens, reasoning_tokens)
    select i.run_id, i.step, i.attempt, i.content, i.tool_calls, i.finish_reason, i.input_tokens, i.output_tokens,
           i.usage_estimated, i.model, i.extra, i.cached_input_tokens, coalesce(i.reasoning_tokens, 0)
    from jsonb_to_recordset(p_rows) as i (
        run_id uuid, step integer, attempt integer, content text, tool_calls jsonb, finish_reason text, input_tokens bigint, output_tokens bigint,
        usage_estimated boolean, model text, extra jsonb, cached_input_tokens bigint, reasoning_tokens bigint)
    where i.run_id = any (v_runs) and i.step is not null;

    -- What each took is counted as `run_end` does.
    with ends as materialized (
        select i.run_id, i.user_id, i.conversation_id, i.content, i.message_id, i.cut_short, i.first_seq, i.events, i.job_id,
               i.turn_steps,
               r.input_tokens + r.output_tokens as counted,
               r.cut_off_input_tokens + i.cut_off_input as cut_off_input, r.cut_off_output_tokens + i.cut_off_output as cut_off_output,
               r.usage_estimated or i.cut_off_estimated or t.is_estimated as is_estimated,
               t.input, t.output, t.cached, t.reasoning, t.calls, t.models
        from jsonb_to_recordset(p_rows) as i (
            run_id uuid, user_id text, conversation_id uuid, content text, model text, message_id uuid, cut_short text,
            cut_off_input bigint, cut_off_output bigint, cut_off_estimated boolean, first_seq bigint, events jsonb[], job_id text, turn_steps text)
        join runs r on r.id = i.run_id
        cross join lateral (
            select sum(m.input)::bigint as input, sum(m.output)::bigint as output, sum(m.cached)::bigint as cached,
                   sum(m.reasoning)::bigint as reasoning,
                   sum(m.calls)::integer as calls, bool_or(m.is_estimated) as is_estimated,
                   jsonb_agg(jsonb_build_object(
                       'model', m.model, 'inputTokens', m.own_input, 'outputTokens', m.own_output,
                       'totalTokens', m.own_input + m.own_output, 'cachedInputTokens', nullif(m.own_cached, 0),
                       'reasoningTokens', nullif(m.own_reasoning, 0)) order by m.model)
                       filter (where m.own_input + m.own_output > 0) as models
            from (
                select s.model, sum(s.input) as input, sum(s.output) as output, sum(s.cached) as cached,
                       sum(s.reasoning) as reasoning, sum(s.reasoning) filter (where s.is_own) as own_reasoning,
                       sum(s.input) filter (where s.is_own) as own_input, sum(s.output) filter (where s.is_own) as own_output,
                       sum(s.cached) filter (where s.is_own) as own_cached, sum(s.calls) as calls, bool_or(s.is_estimated) as is_estimated
                from (
                    select k.model, k.attempt > 0 as is_own, k.input_tokens as input, k.output_tokens as output,
                           k.cached_input_tokens as cached, k.reasoning_tokens as reasoning,
                           (k.attempt > 0)::integer as calls, k.usage_estimated as is_estimated
                    from steps k where k.run_id = i.run_id
                    union all
                    values (i.model, true, r.cut_off_input_tokens + i.cut_off_input, r.cut_off_output_tokens + i.cut_off_output, 0, 0, 0, false)
                ) s
                group by s.model
            ) m
        ) t
        where i.run_id = any (v_runs)
    ),
    ended as (
        update runs r
        set status = 'completed', error_code = null, error_message = null, cut_short = e.cut_short, finished_at = clock_timestamp(),
            input_tokens = e.input, output_tokens = e.output, cached_input_tokens = e.cached, reasoning_tokens = e.reasoning,
            model_calls = e.calls,
            cut_off_input_tokens = e.cut_off_input, cut_off_output_tokens = e.cut_off_output, usage_estimated = e.is_estimated
        from ends e where r.id = e.run_id
    ),
    -- A run that was requeued, or waited, has been counted up to then.
    counted as (
        insert into usage_days as d (user_id, day, tokens)
        select e.user_id, (now() at time zone 'utc')::date, sum(e.input + e.output - e.counted)
        from ends e where e.input + e.output > e.counted
        group by e.user_id order by e.user_id
        on conflict (user_id, day) do update set tokens = d.tokens + excluded.tokens
    ),
    replied as (
        insert into messages (id, conversation_id, user_id, run_id, role, content, metadata, partial, turn_steps)
        select e.message_id, e.conversation_id, e.user_id, e.run_id, 'assistant', e.content, null, false, e.turn_steps::json from ends e
    ),
    told as (
        insert into run_events (run_id, seq, event, bytes)
        select t.run_id, t.seq, t.event, octet_length(t.event::text)
        from (
            select e.run_id, e.first_seq + n.place - 1 as seq,
                   case when n.place < cardinality(e.events) then n.event
                        else n.event || jsonb_strip_nulls(jsonb_build_object(
                            'usage', e.models, 'metadata', case when e.is_estimated then '{"usageEstimated": true}'::jsonb end)) end as event
            from ends e, unnest(e.events) with ordinality as n (event, place)
        ) t
    )
    delete from apalis.jobs j using ends e where j.id = e.job_id;

    -- Most leave nothing that waits.
    for r in
        select i.ordinality, i.user_id, i.conversation_id, i.max_ready, i.run_id = any (v_runs) as is_over,
               i.run_id = any (v_runs) and exists (
                   select from runs w where w.user_id = i.user_id and w.finished_at is null and w.admitted_at is null offset 0) as is_waited_for
        from rows from (jsonb_to_recordset(p_rows) as (run_id uuid, user_id text, conversation_id uuid, max_ready bigint)) with ordinality i
    loop
        place := r.ordinality;
        admitted := case when r.is_over then '{}'::uuid[] end;
        if r.is_waited_for then
            perform act_for(r.user_id);
            admitted := run_admit(r.user_id, r.conversation_id, r.max_ready);
        end if;
        return next;
    end loop;
    perform set_config('role', 'none', true);
end
$$;
