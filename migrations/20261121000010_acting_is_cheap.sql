-- To act for somebody is done several times a turn. As before, but without a query of its own: each of these is an expression that
-- is evaluated in place, where PERFORM, or a call of a function in SQL, is planned and executed.

create or replace function act_for(owner text) returns void
language plpgsql as $$
declare
    was_set text;
begin
    was_set := set_config('errand.user_id', owner, true);
    -- As `may_take`; null, and so no, if there is no such role.
    if pg_has_role(session_user, to_regrole('errand_user'),
                   case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end) then
        was_set := set_config('role', 'errand_user', true);
    end if;
end
$$;

create or replace function act_as_tool(call text) returns void
language plpgsql as $$
declare
    was_set text;
begin
    was_set := set_config('errand.tool_call', call, true);
    if pg_has_role(session_user, to_regrole('errand_tool'),
                   case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end) then
        was_set := set_config('role', 'errand_tool', true);
    end if;
end
$$;
