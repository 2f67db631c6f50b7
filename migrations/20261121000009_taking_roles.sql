-- Whether this login may become a role. Since Postgres 16 being a member is not enough: whoever makes a role is a member with
-- the right to grant it, and without the right to take it.

create function may_take(role text) returns boolean
language sql stable as $$
    select coalesce(pg_has_role(session_user, to_regrole(role),
        case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end), false)
$$;

create or replace function act_for(owner text) returns void
language plpgsql as $$
begin
    perform set_config('errand.user_id', owner, true);
    if may_take('errand_user') then
        perform set_config('role', 'errand_user', true);
    end if;
end
$$;

create or replace function act_as_tool(call text) returns void
language plpgsql as $$
begin
    perform set_config('errand.tool_call', call, true);
    if may_take('errand_tool') then
        perform set_config('role', 'errand_tool', true);
    end if;
end
$$;
