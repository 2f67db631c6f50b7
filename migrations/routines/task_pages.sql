-- version 1
-- Pages of users' tasks, as many as are asked for at the moment: each as `task_page` has it.
create or replace function task_pages(p_rows jsonb)
returns table (
    place bigint,
    is_moved boolean, time_zone text, total bigint, id uuid, title text, description text, completed boolean, completed_at timestamptz, due_date date, due_time time,
    priority text, tags text[], repeat text, deleted_at timestamptz, created_at timestamptz, updated_at timestamptz
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r record;
begin
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (
            user_id text, zone text, checks_zone boolean, view text, literal text, tags text[], priority text, completed boolean, from_date date,
            to_date date, to_time time, is_plain boolean, most bigint, after_date date, after_time time, after_priority text, after_at timestamptz,
            after_id uuid, up_to bigint)) with ordinality
    loop
        return query
        select r.ordinality, p.*
        from task_page(r.user_id, r.zone, r.checks_zone, r.view, r.literal, r.tags, r.priority, r.completed, r.from_date, r.to_date, r.to_time,
                       r.is_plain, r.most, r.after_date, r.after_time, r.after_priority, r.after_at, r.after_id, r.up_to) p;
    end loop;
end
$$;
