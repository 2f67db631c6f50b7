-- The to-do list, and the rule that only tool calls change it.

create table tasks (
    id          uuid        not null,
    user_id     text        not null,
    title       text        not null,
    description text,
    completed   boolean     not null default false,
    created_at  timestamptz not null default clock_timestamp(),
    updated_at  timestamptz not null default clock_timestamp(),
    constraint tasks_pkey primary key (id),
    constraint tasks_user_id_not_empty check (user_id <> ''),
    constraint tasks_title_length check (char_length(title) between 1 and 255)
);

-- Lists in the order of creation: ids are UUIDv7.
create index tasks_by_user on tasks (user_id, id);

-- Refuses every change of a task that is not the effect of a tool call under way in this very transaction:
-- `errand.tool_call` must name a record `run/step/ordinal` that this transaction wrote (xmin), that is still
-- without a result, and that belongs to the owner of the task. A forgotten UPDATE, a psql session, even a
-- superuser's, gets an error; a wrong owner gets one too.
create function refuse_change_outside_tool_call() returns trigger
language plpgsql as $$
declare
    key   text[] := string_to_array(current_setting('errand.tool_call', true), '/');
    owner text;
begin
    if tg_op = 'INSERT' then
        owner := new.user_id;
    else
        owner := old.user_id;
        if tg_op = 'UPDATE' and new.user_id <> old.user_id then
            raise exception 'a task never changes its owner' using errcode = 'insufficient_privilege';
        end if;
    end if;
    if coalesce(array_length(key, 1), 0) <> 3 or not exists (
        select 1
        from tool_calls c
        where c.run_id = key[1]::uuid and c.step = key[2]::integer and c.ordinal = key[3]::integer
          and c.user_id = owner
          and c.result is null
          and c.xmin = pg_current_xact_id()::xid
    ) then
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

create trigger tasks_change_only_in_tool_calls
    before insert or update or delete on tasks
    for each row execute function refuse_change_outside_tool_call();

create function refuse_truncate_of_tasks() returns trigger
language plpgsql as $$
begin
    raise exception 'tasks change only inside a tool call' using errcode = 'insufficient_privilege';
end
$$;

create trigger tasks_are_never_truncated
    before truncate on tasks
    for each statement execute function refuse_truncate_of_tasks();

-- Runs after the queue's own migrations. Finding the jobs of a worker that died must not read every job that was
-- ever done.
create index if not exists jobs_held_by_worker on apalis.jobs (lock_by) where status in ('Running', 'Queued');
-- Old jobs are purged in batches, oldest first.
create index if not exists jobs_done_at on apalis.jobs (done_at) where status in ('Done', 'Killed');
