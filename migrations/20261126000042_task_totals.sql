-- How many tasks a user has, and how many bytes of text in them: a list has a bound, and adding to it must not count it.

-- Kept by triggers in the transaction of each change, so it is exact. A user of earlier versions is counted once, at the first change:
-- so this migration reads no table.
create table task_totals (
    user_id text    not null,
    tasks   integer not null,
    -- Of titles and descriptions.
    bytes   bigint  not null,
    constraint task_totals_pkey primary key (user_id)
);

alter table task_totals enable row level security;
create policy own_rows on task_totals using (user_id = current_setting('errand.user_id', true));

-- The user's totals, which nobody else changes until this transaction ends. Whoever changes titles or descriptions, adds or
-- deletes, asks here before locking a task: the same order for all.
-- It runs as its owner, because nobody has to be able to write these rows.
create function lock_task_totals(out tasks integer, out bytes bigint)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    owner text := current_setting('errand.user_id', true);
begin
    select t.tasks, t.bytes into lock_task_totals.tasks, lock_task_totals.bytes
    from public.task_totals t where t.user_id = owner for update;
    if not found then
        insert into public.task_totals as t (user_id, tasks, bytes)
            select owner, count(*), coalesce(sum(octet_length(x.title) + coalesce(octet_length(x.description), 0)), 0)
            from public.tasks x where x.user_id = owner
        on conflict (user_id) do nothing;
        -- Another transaction may have counted first, and changed a task since.
        select t.tasks, t.bytes into lock_task_totals.tasks, lock_task_totals.bytes
        from public.task_totals t where t.user_id = owner for update;
    end if;
end
$$;

-- Adds to a user's totals, after the change. Where there are none yet, all is counted, the change included.
create function add_to_task_totals(owner text, more integer, more_bytes bigint) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    update public.task_totals t set tasks = t.tasks + more, bytes = t.bytes + more_bytes where t.user_id = owner;
    if not found then
        insert into public.task_totals as t (user_id, tasks, bytes)
            select owner, count(*), coalesce(sum(octet_length(x.title) + coalesce(octet_length(x.description), 0)), 0)
            from public.tasks x where x.user_id = owner
        on conflict (user_id) do update set tasks = t.tasks + more, bytes = t.bytes + more_bytes;
    end if;
end
$$;
revoke execute on function add_to_task_totals(text, integer, bigint) from public;

create function count_tasks() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    if tg_op = 'INSERT' then
        perform public.add_to_task_totals(d.user_id, d.n, d.b) from (
            select n.user_id, count(*)::integer as n,
                   sum(octet_length(n.title) + coalesce(octet_length(n.description), 0)) as b
            from new_rows n group by n.user_id) d;
    elsif tg_op = 'DELETE' then
        perform public.add_to_task_totals(d.user_id, d.n, d.b) from (
            select o.user_id, -count(*)::integer as n,
                   -sum(octet_length(o.title) + coalesce(octet_length(o.description), 0)) as b
            from old_rows o group by o.user_id) d;
    else
        -- A task never changes its owner.
        perform public.add_to_task_totals(d.user_id, 0, d.b) from (
            select c.user_id, sum(c.b) as b from (
                select n.user_id, octet_length(n.title) + coalesce(octet_length(n.description), 0) as b from new_rows n
                union all
                select o.user_id, -octet_length(o.title) - coalesce(octet_length(o.description), 0) from old_rows o
            ) c group by c.user_id having sum(c.b) <> 0) d;
    end if;
    return null;
end
$$;

create trigger tasks_added_are_counted after insert on tasks
    referencing new table as new_rows for each statement execute function count_tasks();
create trigger tasks_changed_are_counted after update on tasks
    referencing old table as old_rows new table as new_rows for each statement execute function count_tasks();
create trigger tasks_deleted_are_counted after delete on tasks
    referencing old table as old_rows for each statement execute function count_tasks();
