-- version 3
-- Runs come to their replies, as many as there are at the moment. Several go together; where that fails, each by itself, as `run_finish` has it.
-- See `run_accepts` for `alone` and `patient`.
create or replace function run_finishes(p_rows jsonb, p_patient boolean)
returns table (place bigint, alone boolean, admitted uuid[])
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r record;
begin
    perform set_config('lock_timeout', case when p_patient then '4s' else '20ms' end, true);
    if not p_patient and jsonb_array_length(p_rows) > 1 and not p_rows @> '[{"is_fenced": false}]' then
        begin
            return query select a.place, false, a.admitted from run_finish_all(p_rows) a;
            return;
        exception when others then
            null;
        end;
    end if;
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, conversation_id uuid, attempt integer, is_fenced boolean, step integer, content text, tool_calls jsonb,
            finish_reason text, input_tokens bigint, output_tokens bigint, usage_estimated boolean, model text, extra jsonb,
            cached_input_tokens bigint, reasoning_tokens bigint, message_id uuid, cut_short text,
            cut_off_input bigint, cut_off_output bigint, cut_off_estimated boolean,
            first_seq bigint, events jsonb[], job_id text, max_ready bigint, turn_steps text)) with ordinality
    loop
        place := r.ordinality;
        alone := false;
        begin
            admitted := run_finish(
                r.run_id, r.user_id, r.conversation_id, r.attempt, r.is_fenced, r.step, r.content, r.tool_calls,
                r.finish_reason, r.input_tokens, r.output_tokens, r.usage_estimated, r.model, r.extra,
                r.cached_input_tokens, coalesce(r.reasoning_tokens, 0), r.message_id, r.cut_short,
                r.cut_off_input, r.cut_off_output, r.cut_off_estimated, r.first_seq, r.events, r.job_id, r.max_ready,
                r.turn_steps);
        exception when others then
            if p_patient then raise; end if;
            perform set_config('lock_timeout', '1ms', true);
            alone := true;
            admitted := null;
        end;
        return next;
    end loop;
end
$$;
