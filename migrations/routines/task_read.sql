-- version 2
-- A user's time zone, and one of their tasks if an id is given, also one in the trash: what a call is planned with. One row; without a task its `id` is null.
create or replace function task_read(p_user_id text, p_task_id uuid)
returns table (
    time_zone text, id uuid, title text, description text, completed boolean, completed_at timestamptz, due_date date, due_time time,
    priority text, tags text[], repeat text, repeat_from text, repeat_start date, deleted_at timestamptz,
    created_at timestamptz, updated_at timestamptz
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    perform act_for(p_user_id);
    return query
    select s.time_zone, t.id, t.title, t.description, t.completed, t.completed_at, t.due_date, t.due_time, t.priority, t.tags, t.repeat,
           t.repeat_from, t.repeat_start, t.deleted_at, t.created_at, t.updated_at
    from (select) one
    left join user_settings s on s.user_id = p_user_id
    left join tasks t on t.id = p_task_id and t.user_id = p_user_id;
end
$$;
