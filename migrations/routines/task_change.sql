-- version 2
-- Makes a change of a user's tasks that `task_check` has admitted, inside an open tool call. Returns the call's result, with the times of the task
-- that it tells of.
create or replace function task_change(p_user_id text, p_change jsonb, p_result jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_task      record;
    v_times     record;
    v_room      record;
    v_max_tasks integer := p_change ->> 'max_tasks';
    v_max_bytes bigint := p_change ->> 'max_bytes';
begin
    if p_change ? 'add' then
        select * into v_task from jsonb_to_record(p_change -> 'add') as a (
            id uuid, title text, description text, completed boolean, due_date date, due_time time, priority text, tags text[], tag_keys text[],
            repeat text, repeat_from text, repeat_start date);
        insert into tasks (id, user_id, title, description, completed, due_date, due_time, priority, tags, tag_keys, repeat, repeat_from,
                           repeat_start)
        values (v_task.id, p_user_id, v_task.title, v_task.description, v_task.completed, v_task.due_date, v_task.due_time, v_task.priority,
                v_task.tags, v_task.tag_keys, v_task.repeat, coalesce(v_task.repeat_from, 'due'), v_task.repeat_start)
        returning created_at, completed_at, updated_at into v_times;
    end if;
    if p_change ? 'put' then
        select * into v_task from jsonb_to_record(p_change -> 'put') as p (
            id uuid, title text, description text, completed boolean, due_date date, due_time time, priority text, tags text[], tag_keys text[],
            repeat text, repeat_from text, repeat_start date, is_deleted boolean, bytes bigint);
        update tasks t
        set title = v_task.title, description = v_task.description, completed = v_task.completed, due_date = v_task.due_date,
            due_time = v_task.due_time, priority = v_task.priority, tags = v_task.tags, tag_keys = v_task.tag_keys, repeat = v_task.repeat,
            repeat_from = coalesce(v_task.repeat_from, 'due'), repeat_start = v_task.repeat_start,
            deleted_at = case when v_task.is_deleted then coalesce(t.deleted_at, clock_timestamp()) end,
            updated_at = clock_timestamp()
        where t.id = v_task.id and t.user_id = p_user_id
        returning t.created_at, t.completed_at, t.updated_at into v_times;
        -- What goes into a trash that is full drives out what was deleted first. The room is that before the change.
        if v_task.is_deleted then
            select l.trash_tasks - 1 as tasks, l.trash_bytes - v_task.bytes as bytes into v_room from lock_list() l;
            if v_room.tasks >= v_max_tasks or v_room.bytes + v_task.bytes > v_max_bytes then
                with oldest as (
                    select id, row_number() over before as place,
                           sum(octet_length(title) + coalesce(octet_length(description), 0)
                               + octet_length(array_to_string(tags, ''))) over before as bytes
                    from (select * from tasks where user_id = p_user_id and deleted_at is not null and id <> v_task.id
                          order by deleted_at, id limit 1000) t
                    window before as (order by deleted_at, id rows unbounded preceding)
                )
                delete from tasks
                where id in (
                    select id from oldest
                    where place <= v_room.tasks + 1 - v_max_tasks
                       or place <= 1 + (select count(*) from oldest where bytes < v_room.bytes + v_task.bytes - v_max_bytes)
                ) and user_id = p_user_id and deleted_at is not null;
            end if;
        end if;
    end if;
    if p_result ? 'task' then
        return p_result || jsonb_build_object(
            'task', (p_result -> 'task') || task_times(v_times.created_at, v_times.completed_at, v_times.updated_at));
    end if;
    return p_result;
end
$$;
