-- Isolation by the database itself, behind the WHERE of every query: a transaction that was begun for a user sees and writes
-- that user's rows only, and writes tasks only as the tools' role.
--
-- The two roles are made by `errand-api migrate` at each run, not here: roles belong to the server and not to the
-- database, so a dump that is restored elsewhere has this schema and lacks them.

-- Begins to act for a user, until the transaction ends. Without the role (it could not be made, or this login may not take it)
-- only the WHERE of each query isolates; programs say so when they start.
create function act_for(owner text) returns void
language plpgsql as $$
begin
    perform set_config('errand.user_id', owner, true);
    if to_regrole('errand_user') is not null and pg_has_role(session_user, 'errand_user', 'member') then
        perform set_config('role', 'errand_user', true);
    end if;
end
$$;

-- Becomes the tools' role within a user's transaction, which has just opened the record of the call that `call` names:
-- `run/step/ordinal`, or `mcp/<id>` for a call of an outside client.
create function act_as_tool(call text) returns void
language plpgsql as $$
begin
    perform set_config('errand.tool_call', call, true);
    if to_regrole('errand_tool') is not null and pg_has_role(session_user, 'errand_tool', 'member') then
        perform set_config('role', 'errand_tool', true);
    end if;
end
$$;

-- Tokens that a user's runs have used, by day (UTC): the daily cap asks one row, however many runs there were.
create table usage_days (
    user_id text   not null,
    day     date   not null,
    tokens  bigint not null,
    constraint usage_days_pkey primary key (user_id, day)
);

-- Tool calls of outside MCP clients, which belong to no run. As with `tool_calls`, effect and record commit together.
create table mcp_calls (
    id          uuid        not null,
    user_id     text        not null,
    -- What the client says it is; free text.
    client      text,
    tool_name   text        not null,
    -- The full parameters, `user_id` included.
    parameters  jsonb       not null,
    -- The structured output. Null only inside the transaction that makes the call.
    result      jsonb,
    is_error    boolean     not null default false,
    duration_ms integer,
    created_at  timestamptz not null default clock_timestamp(),
    constraint mcp_calls_pkey primary key (id),
    constraint mcp_calls_user_id_not_empty check (user_id <> '')
);

-- The latest calls of a user: the log, and the limit on calls a minute.
create index mcp_calls_by_user on mcp_calls (user_id, created_at);

alter table conversations enable row level security;
alter table messages      enable row level security;
alter table runs          enable row level security;
alter table steps         enable row level security;
alter table tool_calls    enable row level security;
alter table run_events    enable row level security;
alter table tasks         enable row level security;
alter table usage_days    enable row level security;
alter table mcp_calls     enable row level security;

-- The setting reads as null or '' outside a user's transaction, and no row has such an owner.
create policy own_rows on conversations using (user_id = current_setting('errand.user_id', true));
create policy own_rows on messages      using (user_id = current_setting('errand.user_id', true));
create policy own_rows on runs          using (user_id = current_setting('errand.user_id', true));
create policy own_rows on tool_calls    using (user_id = current_setting('errand.user_id', true));
create policy own_rows on tasks         using (user_id = current_setting('errand.user_id', true));
create policy own_rows on usage_days    using (user_id = current_setting('errand.user_id', true));
create policy own_rows on mcp_calls     using (user_id = current_setting('errand.user_id', true));
create policy own_rows on steps         using (exists (
    select 1 from runs r where r.id = run_id and r.user_id = current_setting('errand.user_id', true)));
create policy own_rows on run_events    using (exists (
    select 1 from runs r where r.id = run_id and r.user_id = current_setting('errand.user_id', true)));

-- As before, and now also for calls of outside clients (`errand.tool_call` = `mcp/<id>`), and only for the tools' role.
create or replace function refuse_change_outside_tool_call() returns trigger
language plpgsql as $$
declare
    key   text[] := string_to_array(current_setting('errand.tool_call', true), '/');
    owner text;
    open  boolean := false;
begin
    if tg_op = 'INSERT' then
        owner := new.user_id;
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
              and c.xmin = pg_current_xact_id()::xid
        );
    elsif array_length(key, 1) = 2 and key[1] = 'mcp' then
        open := exists (
            select 1 from mcp_calls c
            where c.id = key[2]::uuid and c.user_id = owner and c.result is null
              and c.xmin = pg_current_xact_id()::xid
        );
    end if;
    if not open or (current_user <> 'errand_tool' and to_regrole('errand_tool') is not null) then
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
