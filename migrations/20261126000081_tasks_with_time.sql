-- Tasks with time: when they are due, how important they are, what they are about, how they come again, when they were done, and a
-- trash that they stay in for thirty days.
--
-- Expand: everything that is new has a default or is null, so processes of the version before go on adding, changing and deleting
-- tasks. No row is read or written here; what is checked of rows that are there already is checked by a later migration.

-- Dates are the user's own days and times are what the user's clock shows, so neither has a zone. What is undated sorts last.
alter table tasks
    add column due_date     date,
    add column due_time     time,
    -- p1 is the highest, p4 what nobody said anything about: the order of the texts is the order of the tasks.
    add column priority     text        not null default 'p4',
    -- As the user writes them; `tag_keys` has the same in the form in which they are compared.
    add column tags         text[]      not null default '{}',
    add column tag_keys     text[]      not null default '{}',
    -- An RFC 5545 RRULE without DTSTART, and which date the next one follows: the one it was due on, or the one it was done on.
    add column repeat       text,
    add column repeat_from  text        not null default 'due',
    -- The date that this occurrence has by the rule, which a task that was moved is not due on: the next date is counted from here.
    add column repeat_start date,
    add column completed_at timestamptz,
    add column deleted_at   timestamptz;

create function are_tags(tags text[]) returns boolean
language sql immutable set search_path = pg_catalog, public, pg_temp as $$
    select cardinality(tags) <= 10
       and not exists (select from unnest(tags) t where t is null or char_length(t) not between 1 and 40)
$$;

alter table tasks
    add constraint tasks_due_date_range check (due_date between '1900-01-01' and '9999-12-31') not valid,
    add constraint tasks_due_time_needs_date check (due_time is null or due_date is not null) not valid,
    add constraint tasks_due_time_minutes check (due_time < '24:00' and extract(second from due_time) = 0) not valid,
    add constraint tasks_priority check (priority in ('p1', 'p2', 'p3', 'p4')) not valid,
    -- Most tasks have none, and a call of a function costs more than all else of this line.
    add constraint tasks_tags check (tags = '{}' and tag_keys = '{}' or are_tags(tags) and cardinality(tag_keys) = cardinality(tags)) not valid,
    add constraint tasks_repeat check (repeat is null or (char_length(repeat) between 1 and 255 and due_date is not null)) not valid,
    add constraint tasks_repeat_start check ((repeat is null) = (repeat_start is null)) not valid,
    add constraint tasks_repeat_from check (repeat_from in ('due', 'completion')) not valid,
    add constraint tasks_completed_at check (completed = (completed_at is not null)) not valid;

-- When a task was done, also of one that a process of the version before completes.
create function keep_completed_at() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
    if not new.completed then
        new.completed_at := null;
    elsif new.completed_at is null then
        new.completed_at := case when tg_op = 'UPDATE' and old.completed then old.updated_at else clock_timestamp() end;
    end if;
    return new;
end
$$;
create trigger tasks_keep_completed_at before insert or update on tasks
    for each row execute function keep_completed_at();

-- Whether the purge may delete a task: the owner of the table may delete what has been in the trash for thirty days. All else is
-- a tool's business: `deleted_at` is set by a tool call alone, so nobody has a way around the thirty days.
create function may_purge_task(deleted_at timestamptz) returns boolean
language sql stable set search_path = pg_catalog, public, pg_temp as $$
    select coalesce(deleted_at < statement_timestamp() - interval '30 days', false)
       and current_user = (select pg_get_userbyid(relowner) from pg_class where oid = 'public.tasks'::regclass)
$$;
drop trigger tasks_change_only_in_tool_calls on tasks;
create trigger tasks_change_only_in_tool_calls before insert or update on tasks
    for each row execute function refuse_change_outside_tool_call();
create trigger tasks_are_deleted_only_in_tool_calls before delete on tasks
    for each row when (not may_purge_task(old.deleted_at)) execute function refuse_change_outside_tool_call();

-- What is in the trash counts for itself: it takes no place on the list, and it has a bound of its own.
alter table task_totals
    add column trash_tasks integer not null default 0,
    add column trash_bytes bigint  not null default 0;

-- All totals of a user, counted. Bytes are those of titles, descriptions and tags, each time by the same expression: a function of our own
-- would be called where this is evaluated in place.
create function counted_tasks(owner text, out tasks integer, out bytes bigint, out trash_tasks integer, out trash_bytes bigint)
language sql stable set search_path = pg_catalog, public, pg_temp as $$
    select count(*) filter (where x.deleted_at is null)::integer,
           coalesce(sum(octet_length(x.title)
                   + coalesce(octet_length(x.description), 0) + octet_length(array_to_string(x.tags, ''))) filter (where x.deleted_at is null), 0)::bigint,
           count(*) filter (where x.deleted_at is not null)::integer,
           coalesce(sum(octet_length(x.title)
                   + coalesce(octet_length(x.description), 0) + octet_length(array_to_string(x.tags, ''))) filter (where x.deleted_at is not null), 0)::bigint
    from public.tasks x where x.user_id = owner
$$;
revoke execute on function counted_tasks(text) from public;

-- As `lock_task_totals`, which processes of the version before ask, with the totals of the trash.
create function lock_list(out tasks integer, out bytes bigint, out trash_tasks integer, out trash_bytes bigint)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    owner text := current_setting('errand.user_id', true);
begin
    select t.tasks, t.bytes, t.trash_tasks, t.trash_bytes into lock_list.tasks, lock_list.bytes, lock_list.trash_tasks, lock_list.trash_bytes
    from public.task_totals t where t.user_id = owner for update;
    if not found then
        insert into public.task_totals as t (user_id, tasks, bytes, trash_tasks, trash_bytes)
            select owner, c.* from public.counted_tasks(owner) c
        on conflict (user_id) do nothing;
        -- Another transaction may have counted first, and changed a task since.
        select t.tasks, t.bytes, t.trash_tasks, t.trash_bytes into lock_list.tasks, lock_list.bytes, lock_list.trash_tasks, lock_list.trash_bytes
        from public.task_totals t where t.user_id = owner for update;
    end if;
end
$$;

create or replace function lock_task_totals(out tasks integer, out bytes bigint)
language sql security definer set search_path = pg_catalog, public, pg_temp as $$
    select l.tasks, l.bytes from public.lock_list() l
$$;

-- Adds to a user's totals, after the change. Where there are none yet, all is counted, the change included.
create function add_to_task_totals(owner text, more integer, more_bytes bigint, more_trash integer, more_trash_bytes bigint) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    update public.task_totals t
        set tasks = t.tasks + more, bytes = t.bytes + more_bytes,
            trash_tasks = t.trash_tasks + more_trash, trash_bytes = t.trash_bytes + more_trash_bytes
        where t.user_id = owner;
    if not found then
        insert into public.task_totals as t (user_id, tasks, bytes, trash_tasks, trash_bytes)
            select owner, c.* from public.counted_tasks(owner) c
        on conflict (user_id) do update
            set tasks = t.tasks + more, bytes = t.bytes + more_bytes,
                trash_tasks = t.trash_tasks + more_trash, trash_bytes = t.trash_bytes + more_trash_bytes;
    end if;
end
$$;
revoke execute on function add_to_task_totals(text, integer, bigint, integer, bigint) from public;

create or replace function count_tasks() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform public.add_to_task_totals(d.user_id, d.n, d.b, d.trash_n, d.trash_b) from (
            select c.user_id,
                   count(*) filter (where not c.gone)::integer as n, coalesce(sum(c.b) filter (where not c.gone), 0)::bigint as b,
                   count(*) filter (where c.gone)::integer as trash_n, coalesce(sum(c.b) filter (where c.gone), 0)::bigint as trash_b
            from (select n.user_id, n.deleted_at is not null as gone, octet_length(n.title)
                   + coalesce(octet_length(n.description), 0) + octet_length(array_to_string(n.tags, '')) as b
                  from new_rows n) c
            group by c.user_id) d;
    elsif tg_op = 'DELETE' then
        perform public.add_to_task_totals(d.user_id, d.n, d.b, d.trash_n, d.trash_b) from (
            select c.user_id,
                   -count(*) filter (where not c.gone)::integer as n, -coalesce(sum(c.b) filter (where not c.gone), 0)::bigint as b,
                   -count(*) filter (where c.gone)::integer as trash_n, -coalesce(sum(c.b) filter (where c.gone), 0)::bigint as trash_b
            from (select o.user_id, o.deleted_at is not null as gone, octet_length(o.title)
                   + coalesce(octet_length(o.description), 0) + octet_length(array_to_string(o.tags, '')) as b
                  from old_rows o) c
            group by c.user_id) d;
    else
        -- A task never changes its owner.
        perform public.add_to_task_totals(d.user_id, d.n, d.b, d.trash_n, d.trash_b) from (
            select c.user_id,
                   coalesce(sum(c.n) filter (where not c.gone), 0)::integer as n,
                   coalesce(sum(c.n * c.b) filter (where not c.gone), 0)::bigint as b,
                   coalesce(sum(c.n) filter (where c.gone), 0)::integer as trash_n,
                   coalesce(sum(c.n * c.b) filter (where c.gone), 0)::bigint as trash_b
            from (
                select n.user_id, n.deleted_at is not null as gone, 1 as n, octet_length(n.title)
                   + coalesce(octet_length(n.description), 0) + octet_length(array_to_string(n.tags, '')) as b
                from new_rows n
                union all
                select o.user_id, o.deleted_at is not null, -1, octet_length(o.title)
                   + coalesce(octet_length(o.description), 0) + octet_length(array_to_string(o.tags, ''))
                from old_rows o
            ) c
            group by c.user_id) d
        where (d.n, d.b, d.trash_n, d.trash_b) <> (0, 0, 0, 0);
    end if;
    return null;
end
$$;
drop function add_to_task_totals(text, integer, bigint);
