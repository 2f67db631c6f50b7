-- version 1
-- A tool call of a run is made, under the key (run, step, ordinal): its effect on the owner's tasks and its record, or a record alone where
-- nothing changes.
--
-- `outcome` is `made`, with the result as it is kept; `recorded` if the call was made before, with what was recorded: its effect is committed and must not
-- be repeated; `fenced` if another attempt owns the run or it is over; or what `task_check` says. Only `made` writes anything.
create or replace function run_call(
    p_run_id uuid, p_user_id text, p_attempt integer, p_fenced boolean,
    p_step integer, p_ordinal integer, p_tool_name text, p_parameters jsonb,
    p_change jsonb, p_result jsonb, p_is_error boolean, p_duration_ms integer
)
returns table (outcome text, result jsonb, is_error boolean)
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    perform act_for(p_user_id);
    -- Until the transaction ends, no claim takes the run away.
    perform from runs
    where id = p_run_id and user_id = p_user_id and (not p_fenced or (attempt = p_attempt and status = 'running'))
    for share;
    if not found then
        outcome := 'fenced';
        return next;
        return;
    end if;
    select 'recorded', c.result, c.is_error into outcome, result, is_error from tool_calls c
    where c.run_id = p_run_id and c.step = p_step and c.ordinal = p_ordinal and c.user_id = p_user_id;
    if found then
        return next;
        return;
    end if;
    if p_change is not null then
        outcome := task_check(p_user_id, p_change);
        if outcome is not null then
            return next;
            return;
        end if;
    end if;

    -- A record that is open is the right to change its owner's tasks. Who comes second under the same key waits here for the first.
    insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters, result, is_error, duration_ms)
    values (p_run_id, p_step, p_ordinal, p_user_id, p_tool_name, p_parameters,
            case when p_change is null then p_result end, p_is_error, p_duration_ms)
    on conflict on constraint tool_calls_pkey do nothing;
    if not found then
        select 'recorded', c.result, c.is_error into outcome, result, is_error from tool_calls c
        where c.run_id = p_run_id and c.step = p_step and c.ordinal = p_ordinal and c.user_id = p_user_id;
        return next;
        return;
    end if;
    result := p_result;
    if p_change is not null then
        perform act_as_tool(p_run_id || '/' || p_step || '/' || p_ordinal);
        result := task_change(p_user_id, p_change, p_result);
        update tool_calls c set result = run_call.result
        where c.run_id = p_run_id and c.step = p_step and c.ordinal = p_ordinal;
    end if;
    outcome := 'made';
    is_error := p_is_error;
    return next;
end
$$;
