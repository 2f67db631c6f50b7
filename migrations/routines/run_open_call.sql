-- version 1
-- A tool is called, under the key (run, step, ordinal): opens the record, and with it the transaction's right to change the owner's tasks;
-- from here on it has the tools' role, until it ends. The caller closes the record and commits.
--
-- `outcome` is `opened`; `recorded` if the call was made before, with what was recorded: its effect is committed and must not be repeated;
-- or `fenced`, and nothing is written, if another attempt owns the run or it is over.
create or replace function run_open_call(
    p_run_id uuid, p_user_id text, p_attempt integer, p_fenced boolean,
    p_step integer, p_ordinal integer, p_tool_name text, p_parameters jsonb
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
    insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters)
    values (p_run_id, p_step, p_ordinal, p_user_id, p_tool_name, p_parameters)
    on conflict on constraint tool_calls_pkey do nothing;
    if found then
        perform act_as_tool(p_run_id || '/' || p_step || '/' || p_ordinal);
        outcome := 'opened';
    else
        select c.result, c.is_error into result, is_error from tool_calls c
        where c.run_id = p_run_id and c.step = p_step and c.ordinal = p_ordinal and c.user_id = p_user_id;
        outcome := 'recorded';
    end if;
    return next;
end
$$;
