-- The functions that name the two roles of this database, written by every migration. As in `roles.sql`, what is executed has the
-- database's own names for `errand_user` and `errand_tool`.
--
-- To act for somebody is done several times a turn: each function is made of expressions that are evaluated in place, where a
-- query, PERFORM, or a call of a function in SQL would be planned and executed.

-- Begins to act for a user, until the transaction ends. Without the role (it could not be made, or this login may not take it) only
-- the WHERE of each query isolates; programs say so when they start.
create or replace function act_for(owner text) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
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

-- Becomes the tools' role within a user's transaction, which has just opened the record of the call that `call` names:
-- `run/step/ordinal`, or `mcp/<id>` for a call of an outside client.
create or replace function act_as_tool(call text) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
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

-- As `act_as_tool`, for a set of calls that add tasks: `calls` names the call of each user by that user. Acts for nobody else.
create or replace function act_as_tools(calls jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
    was_set text;
begin
    was_set := set_config('errand.tool_calls', calls::text, true);
    if pg_has_role(session_user, to_regrole('errand_tool'),
                   case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end) then
        was_set := set_config('role', 'errand_tool', true);
    end if;
end
$$;

-- Whether a row that can be seen was written by this transaction, perhaps in a subtransaction, whose numbers are greater than its own: what can be
-- seen and is not committed is ours.
create or replace function is_written_here(row_xmin xid) returns boolean
language plpgsql volatile set search_path = pg_catalog, public, pg_temp as $$
declare
    own   bigint := pg_current_xact_id()::text::bigint;
    -- How far behind its own; numbers of rows begin again after 2^32.
    ahead bigint := (row_xmin::text::bigint - own % 4294967296 + 4294967296) % 4294967296;
begin
    if ahead = 0 then
        return true;
    end if;
    return ahead < 2147483648 and pg_xact_status((own + ahead)::text::xid8) = 'in progress';
end
$$;

-- Refuses a change of a task outside an open call of its owner, and by anyone but the tools' role. A login that may not take that
-- role has no other way than to change tasks as itself: what it lacks is told when programs start, and no reason to stop working.
create or replace function refuse_change_outside_tool_call() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
    key   text[] := string_to_array(current_setting('errand.tool_call', true), '/');
    owner text;
    open  boolean := false;
begin
    if tg_op = 'INSERT' then
        owner := new.user_id;
        if current_setting('errand.tool_calls', true) <> '' then
            key := string_to_array(current_setting('errand.tool_calls', true)::jsonb ->> owner, '/');
        end if;
    else
        owner := old.user_id;
        if tg_op = 'UPDATE' and new.user_id <> old.user_id then
            raise exception 'a task never changes its owner' using errcode = 'insufficient_privilege';
        end if;
    end if;
    if array_length(key, 1) = 3 then
        open := exists (
            select 1 from tool_calls c
            where c.run_id = key[1]::uuid and c.step = key[2]::integer and c.ordinal = key[3]::integer
              and c.user_id = owner and c.result is null
              and is_written_here(c.xmin)
        );
    elsif array_length(key, 1) = 2 and key[1] = 'mcp' then
        open := exists (
            select 1 from mcp_calls c
            where c.id = key[2]::uuid and c.user_id = owner and c.result is null
              and is_written_here(c.xmin)
        );
    end if;
    -- The former tools' role is that of transactions which began before a migration gave this database other roles.
    if not open or (current_user not in ('errand_tool', 'former_tool')
                    and pg_has_role(session_user, to_regrole('errand_tool'),
                                    case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end)) then
        raise exception 'tasks change only inside a tool call'
            using errcode = 'insufficient_privilege',
                  hint = 'Effect and record commit together: call one of the five MCP tools.';
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    return new;
end
$$;

-- What is named above, for whoever has to know.
create or replace function isolation_roles(out database oid, out suffix text, out user_role text, out tool_role text)
language sql immutable set search_path = pg_catalog, public, pg_temp as $$
    select 'of_database'::oid, 'own_suffix'::text, 'errand_user'::text, 'errand_tool'::text
$$;

-- The queue's functions come with the queue, and name what they use in full.
do $$
declare
    of_the_queue regprocedure;
begin
    for of_the_queue in
        select oid from pg_proc
        where pronamespace = 'apalis'::regnamespace and pg_has_role(current_user, proowner, 'usage')
          and not coalesce(proconfig::text like '%search_path%', false)
    loop
        execute format('alter routine %s set search_path = pg_catalog, apalis, pg_temp', of_the_queue);
    end loop;
end
$$;
