-- version 3
-- The model has answered runs, as many as there are at the moment. Several go together; where that fails, each by itself, as `run_step` has it.
-- See `run_accepts` for `alone` and `patient`.
create or replace function run_steps(p_rows jsonb, p_patient boolean)
returns table (place bigint, alone boolean, is_written boolean)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r      record;
    v_runs uuid[];
begin
    perform set_config('lock_timeout', case when p_patient then '4s' else '20ms' end, true);
    if not p_patient and jsonb_array_length(p_rows) > 1 and not p_rows @> '[{"is_fenced": false}]' then
        begin
            v_runs := run_step_all(p_rows);
            return query
            select i.ordinality, false, i.run_id = any (coalesce(v_runs, '{}'))
            from rows from (jsonb_to_recordset(p_rows) as (run_id uuid)) with ordinality i;
            return;
        exception when others then
            null;
        end;
    end if;
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, attempt integer, is_fenced boolean, step integer, content text, tool_calls jsonb, finish_reason text,
            input_tokens bigint, output_tokens bigint, usage_estimated boolean, model text, extra jsonb, cached_input_tokens bigint,
            reasoning_tokens bigint, first_seq bigint, events jsonb[])) with ordinality
    loop
        place := r.ordinality;
        alone := false;
        begin
            is_written := run_step(
                r.run_id, r.user_id, r.attempt, r.is_fenced, r.step, r.content, r.tool_calls, r.finish_reason,
                r.input_tokens, r.output_tokens, r.usage_estimated, r.model, r.extra, r.cached_input_tokens, coalesce(r.reasoning_tokens, 0),
                r.first_seq, r.events);
        exception when others then
            if p_patient then raise; end if;
            perform set_config('lock_timeout', '1ms', true);
            alone := true;
            is_written := null;
        end;
        return next;
    end loop;
end
$$;
