-- version 4
-- Tool calls of runs are made, as many as there are at the moment: several that add tasks or change nothing together, each of the others by itself, as
-- `run_call` has it. See `run_accepts` for `alone` and `patient`.
--
-- The only call of a step may bring it along (`answer`, a row of `run_steps`): the step is written before the call, in the same transaction. If such a
-- call has changed the owner's tasks, `tasks` is the list as it left it, `p_listed` tasks at most.
create or replace function run_calls(p_rows jsonb, p_patient boolean, p_listed bigint)
returns table (place bigint, outcome text, result jsonb, is_error boolean, tasks jsonb)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r         record;
    v_answers jsonb;
    v_written uuid[] := '{}';
    -- What the set has made: places, results, and which of these are errors.
    v_places  bigint[];
    v_results jsonb[];
    v_errors  boolean[];
    v_nth     integer;
begin
    perform set_config('lock_timeout', case when p_patient then '4s' else '20ms' end, true);
    if not p_patient then
        v_answers := (select jsonb_agg(i.answer) from jsonb_to_recordset(p_rows) as i (answer jsonb) where i.answer is not null);
        if jsonb_array_length(v_answers) > 1 and not v_answers @> '[{"is_fenced": false}]' then
            begin
                v_written := coalesce(run_step_all(v_answers), '{}');
            exception when others then
                -- Each goes before its call, by itself.
                v_written := '{}';
            end;
        end if;
        if jsonb_array_length(p_rows) > 1 then
            begin
                select array_agg(a.place), array_agg(a.result), array_agg(a.is_error) into v_places, v_results, v_errors
                from run_call_all(p_rows, v_written) a;
            exception when others then
                -- Each goes by itself.
                v_places := null;
            end;
        end if;
    end if;
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, attempt integer, is_fenced boolean, step integer, ordinal integer, tool_name text, parameters jsonb,
            change jsonb, result jsonb, is_error boolean, duration_ms integer, answer jsonb)) with ordinality
    loop
        place := r.ordinality;
        v_nth := array_position(v_places, place);
        begin
            if v_nth is not null then
                outcome := 'made';
                result := v_results[v_nth];
                is_error := v_errors[v_nth];
            else
                if r.answer is not null and not r.run_id = any (v_written) then
                    -- Whose run is another attempt's is told so by its call.
                    perform run_step(
                        a.run_id, a.user_id, a.attempt, a.is_fenced, a.step, a.content, a.tool_calls, a.finish_reason,
                        a.input_tokens, a.output_tokens, a.usage_estimated, a.model, a.extra, a.cached_input_tokens,
                        coalesce(a.reasoning_tokens, 0), a.first_seq, a.events)
                    from jsonb_to_record(r.answer) as a (
                        run_id uuid, user_id text, attempt integer, is_fenced boolean, step integer, content text, tool_calls jsonb,
                        finish_reason text, input_tokens bigint, output_tokens bigint, usage_estimated boolean, model text, extra jsonb,
                        cached_input_tokens bigint, reasoning_tokens bigint, first_seq bigint, events jsonb[]);
                end if;
                select c.outcome, c.result, c.is_error into outcome, result, is_error
                from run_call(
                    r.run_id, r.user_id, r.attempt, r.is_fenced, r.step, r.ordinal, r.tool_name, r.parameters,
                    r.change, r.result, r.is_error, r.duration_ms) c;
            end if;
            tasks := null;
            if outcome = 'made' and r.change is not null and r.answer is not null then
                -- In one role whoever asks: a plan with policies in it is made anew for another.
                perform act_for(r.user_id);
                tasks := task_list(r.user_id, p_listed);
            end if;
        exception when others then
            if p_patient then raise; end if;
            perform set_config('lock_timeout', '1ms', true);
            outcome := 'alone';
            tasks := null;
        end;
        return next;
    end loop;
end
$$;
