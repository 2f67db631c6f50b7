-- The two roles behind row level security and what they may do. Run at every migration, because roles belong to the server
-- and not to the database: a dump that is restored elsewhere comes without them. Running it again changes nothing.
--
-- Here they are called `errand_user` and `errand_tool`; what is executed has this database's own names instead
-- (`isolation/roles.rs`), because what a role may do is open to whoever may take it, from any database of the server.
--
-- Nobody logs in as one of them. A transaction takes `errand_user` for a user (`act_for`) and `errand_tool` inside a
-- tool call (`act_as_tool`); neither owns a table or bypasses a policy.
do $$
declare
    name     text;
    function text;
begin
    foreach name in array array['errand_user', 'errand_tool'] loop
        begin
            if to_regrole(name) is null then
                execute format('create role %I nologin', name);
            end if;
            if not may_take(name) then
                execute format('grant %I to %I', name, current_user);
            end if;
        exception
            -- Another database of this server was faster. XX000: "tuple concurrently updated".
            when duplicate_object or unique_violation or internal_error then null;
            when insufficient_privilege then
                raise warning 'this login may not make or take the role %: have an administrator run: create role %; grant % to %;',
                    name, name, name, current_user;
        end;
    end loop;
    if to_regrole('errand_user') is null or to_regrole('errand_tool') is null then
        return;
    end if;

    grant usage on schema public, apalis to errand_user, errand_tool;
    grant select, insert, update on conversations, runs, usage_days, approvals, user_settings to errand_user;
    grant select, update on summaries to errand_user;
    grant select, insert on messages, steps, run_events, tool_calls, mcp_calls, mcp_attempts to errand_user;
    grant select on tasks, task_totals to errand_user;
    -- Of its own user's jobs alone (row level security): to enqueue, to end and to forget them. Earlier versions granted all columns.
    revoke all on apalis.jobs from errand_user;
    grant select, insert, delete on apalis.jobs to errand_user;
    grant update (status, done_at, last_result) on apalis.jobs to errand_user;

    grant select, insert, update, delete on tasks to errand_tool;
    grant select on tool_calls, mcp_calls, user_settings to errand_tool;
    grant update (result, is_error, duration_ms) on tool_calls, mcp_calls to errand_tool;
    -- The first migration makes these functions behind the roles, and grants this itself.
    if to_regprocedure('run_append(uuid, bigint, jsonb[])') is not null then
        grant execute on function run_append(uuid, bigint, jsonb[]), run_enqueue(uuid[]) to errand_user;
    end if;
    -- Whoever changes a list counts and locks it. So do processes that have taken the roles of before.
    for name in
        select distinct n.name from isolation_roles() r, unnest(array['errand_user', 'errand_tool', r.user_role, r.tool_role]) n (name)
        where to_regrole(n.name) is not null
    loop
        execute format('grant execute on function lock_list(), lock_task_totals() to %I', name);
    end loop;
    -- What acts as the owner of the tables is for nobody else, also where a dump was restored without its privileges.
    for function in select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prosecdef loop
        execute format('revoke execute on function %s from public', function);
    end loop;
end
$$;
