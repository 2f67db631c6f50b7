-- version 3
-- The task lists of users, and their time zones: what those who follow a run are shown of a change. Of as many
-- users as there are at the moment.
create or replace function task_lists(p_rows jsonb)
returns table (place bigint, time_zone text, tasks jsonb)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r record;
begin
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (user_id text, most bigint)) with ordinality
    loop
        perform act_for(r.user_id);
        place := r.ordinality;
        time_zone := (select s.time_zone from user_settings s where s.user_id = r.user_id);
        tasks := task_list(r.user_id, r.most);
        return next;
    end loop;
end
$$;
