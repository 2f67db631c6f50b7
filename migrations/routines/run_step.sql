-- version 2
-- The model has answered: the step and the events that tell of it. False, and nothing is written, if another attempt owns the run or it is
-- over; until this commits, no claim takes the run away. Only the attempt that owns the run can have written the same step before: then it is there.
create or replace function run_step(
    p_run_id uuid, p_user_id text, p_attempt integer, p_fenced boolean,
    p_step integer, p_content text, p_tool_calls jsonb, p_finish_reason text,
    p_input bigint, p_output bigint, p_estimated boolean, p_model text, p_extra jsonb, p_cached bigint, p_reasoning bigint,
    p_first_seq bigint, p_events jsonb[]
) returns boolean
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    perform act_for(p_user_id);
    perform from runs
    where id = p_run_id and user_id = p_user_id and (not p_fenced or (attempt = p_attempt and status = 'running'))
    for share;
    if not found then
        return false;
    end if;
    insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens,
                       usage_estimated, model, extra, cached_input_tokens, reasoning_tokens)
    values (p_run_id, p_step, p_attempt, p_content, p_tool_calls, p_finish_reason, p_input, p_output,
            p_estimated, p_model, p_extra, p_cached, p_reasoning)
    on conflict on constraint steps_pkey do nothing;
    if found then
        perform run_append(p_run_id, p_first_seq, p_events);
    end if;
    return true;
end
$$;
