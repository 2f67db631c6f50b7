-- version 3
-- Steps of many runs in one statement for all, as `run_step` has each. Returns the runs whose attempts still own them; of the others nothing is
-- written. For all users, so it runs as the owner of the tables, and each row names its user. Fails as a whole.
create or replace function run_step_all(p_rows jsonb) returns uuid[]
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_runs uuid[];
begin
    with asked as materialized (
        select i.* from jsonb_to_recordset(p_rows) as i (run_id uuid, user_id text, attempt integer)
    )
    select array_agg(o.id) into v_runs from (
        select r.id
        from runs r
        where r.id = any (array(select run_id from asked)) and r.status = 'running'
          and exists (select from asked a where a.run_id = r.id and a.user_id = r.user_id and a.attempt = r.attempt offset 0)
        order by r.id
        for share of r
    ) o;
    with answers as materialized (
        select i.* from jsonb_to_recordset(p_rows) as i (
            run_id uuid, attempt integer, step integer, content text, tool_calls jsonb, finish_reason text,
            input_tokens bigint, output_tokens bigint, usage_estimated boolean, model text, extra jsonb, cached_input_tokens bigint,
            reasoning_tokens bigint, first_seq bigint, events jsonb[])
        where i.run_id = any (v_runs)
    ),
    written as (
        insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens,
                           usage_estimated, model, extra, cached_input_tokens, reasoning_tokens)
        select run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens,
               usage_estimated, model, extra, cached_input_tokens, coalesce(reasoning_tokens, 0)
        from answers
    )
    insert into run_events (run_id, seq, event, bytes)
    select a.run_id, a.first_seq + e.place - 1, e.event, octet_length(e.event::text)
    from answers a, unnest(a.events) with ordinality as e (event, place);
    return v_runs;
end
$$;
