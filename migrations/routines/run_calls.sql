-- version 1
-- Tool calls of runs are made, as many as there are at the moment: each as `run_call` has it. See `run_accepts` for `alone` and `patient`.
create or replace function run_calls(p_rows jsonb, p_patient boolean)
returns table (place bigint, outcome text, result jsonb, is_error boolean)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r record;
begin
    perform set_config('lock_timeout', case when p_patient then '4s' else '20ms' end, true);
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, attempt integer, is_fenced boolean, step integer, ordinal integer, tool_name text, parameters jsonb,
            change jsonb, result jsonb, is_error boolean, duration_ms integer)) with ordinality
    loop
        place := r.ordinality;
        begin
            select c.outcome, c.result, c.is_error into outcome, result, is_error
            from run_call(
                r.run_id, r.user_id, r.attempt, r.is_fenced, r.step, r.ordinal, r.tool_name, r.parameters,
                r.change, r.result, r.is_error, r.duration_ms) c;
        exception when others then
            if p_patient then raise; end if;
            perform set_config('lock_timeout', '1ms', true);
            outcome := 'alone';
        end;
        return next;
    end loop;
end
$$;
