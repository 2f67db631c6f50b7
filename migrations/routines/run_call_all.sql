-- version 1
-- Makes, in a few statements for all, those of many tool calls that add a task or change nothing, as `run_call` has each: the first of its user, of
-- an attempt that owns its run, with room in the list, and never made before. Returns these; of the others nothing is written, and `run_call` says what
-- they are. `p_written` are the runs whose steps are there already. (`offset 0`: see `run_claims`.) For all users, so it runs as the owner of the tables
-- but for the tasks, which it adds as the tools' role; each row names its user. Fails as a whole.
create or replace function run_call_all(p_rows jsonb, p_written uuid[]) returns table (place bigint, result jsonb, is_error boolean)
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_places bigint[];
    v_open   jsonb;
begin
    -- Runs, then lists: the order of the whole house, and within each always the same.
    with asked as materialized (
        select i.* from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, attempt integer, is_fenced boolean, step integer, ordinal integer, change jsonb, answer jsonb))
            with ordinality i (run_id, user_id, attempt, is_fenced, step, ordinal, change, answer, place)
    ),
    owned as materialized (
        select r.id
        from runs r
        where r.id = any (array(select run_id from asked)) and r.status = 'running'
          and exists (select from asked a where a.run_id = r.id and a.user_id = r.user_id and a.attempt = r.attempt offset 0)
        order by r.id
        for share of r
    ),
    lists as materialized (
        select t.user_id, t.tasks, t.bytes
        from task_totals t
        where t.user_id = any (array(select a.user_id from asked a join owned o on o.id = a.run_id where a.change ? 'add'))
        order by t.user_id
        for update of t
    )
    select array_agg(a.place), jsonb_object_agg(a.user_id, concat_ws('/', a.run_id, a.step, a.ordinal)) filter (where a.change is not null)
    into v_places, v_open
    from asked a
    join owned o on o.id = a.run_id
    left join lists l on l.user_id = a.user_id
    left join lateral (select s.time_zone from user_settings s where s.user_id = a.user_id offset 0) s on true
    where a.is_fenced and (a.answer is null or a.run_id = any (p_written))
      and not exists (select from asked e where e.user_id = a.user_id and e.place < a.place)
      and not exists (
          select from tool_calls c where c.run_id = a.run_id and c.step = a.step and c.ordinal = a.ordinal offset 0)
      -- What `task_check` asks of a task that is added.
      and (a.change is null
           or (a.change ? 'add' and not a.change ? 'put'
               and s.time_zone is not distinct from a.change ->> 'zone'
               and l.tasks <= (a.change ->> 'max_tasks')::integer - (a.change ->> 'more_tasks')::integer
               and l.bytes <= (a.change ->> 'max_bytes')::bigint - (a.change ->> 'more_bytes')::bigint));
    if v_places is null then
        return;
    end if;

    -- A record that is open is the right to change its owner's tasks.
    insert into tool_calls (run_id, step, ordinal, user_id, tool_name, parameters, result, is_error, duration_ms)
    select i.run_id, i.step, i.ordinal, i.user_id, i.tool_name, i.parameters, case when i.change is null then i.result end, i.is_error, i.duration_ms
    from rows from (jsonb_to_recordset(p_rows) as (
        run_id uuid, step integer, ordinal integer, user_id text, tool_name text, parameters jsonb, result jsonb, change jsonb, is_error boolean,
        duration_ms integer)) with ordinality
        i (run_id, step, ordinal, user_id, tool_name, parameters, result, change, is_error, duration_ms, place)
    where i.place = any (v_places);

    if v_open is not null then
        perform act_as_tools(v_open);
        insert into tasks (id, user_id, title, description, completed, due_date, due_time, priority, tags, tag_keys, repeat, repeat_from,
                           repeat_start)
        select t.id, i.user_id, t.title, t.description, t.completed, t.due_date, t.due_time, t.priority, t.tags, t.tag_keys, t.repeat,
               coalesce(t.repeat_from, 'due'), t.repeat_start
        from rows from (jsonb_to_recordset(p_rows) as (user_id text, change jsonb)) with ordinality i (user_id, change, place),
             jsonb_to_record(i.change -> 'add') as t (
                 id uuid, title text, description text, completed boolean, due_date date, due_time time, priority text, tags text[], tag_keys text[],
                 repeat text, repeat_from text, repeat_start date)
        where i.place = any (v_places) and i.change is not null;
        perform set_config('errand.tool_calls', '', true);
        perform set_config('role', 'none', true);
    end if;

    return query
    with made as materialized (
        select i.place, i.run_id, i.step, i.ordinal, i.is_error, i.change is not null as is_open,
               case when i.change is not null and i.result ? 'task'
                    then i.result || jsonb_build_object('task', (i.result -> 'task') || task_times(t.created_at, t.completed_at, t.updated_at))
                    else i.result end as result
        from rows from (jsonb_to_recordset(p_rows) as (
            run_id uuid, user_id text, step integer, ordinal integer, result jsonb, change jsonb, is_error boolean)) with ordinality
            i (run_id, user_id, step, ordinal, result, change, is_error, place)
        left join lateral (
            select t.created_at, t.completed_at, t.updated_at from tasks t
            where t.id = (i.change -> 'add' ->> 'id')::uuid and t.user_id = i.user_id offset 0
        ) t on true
        where i.place = any (v_places)
    ),
    closed as (
        update tool_calls c set result = m.result from made m
        where m.is_open and c.run_id = m.run_id and c.step = m.step and c.ordinal = m.ordinal
    )
    select m.place, m.result, m.is_error from made m;
end
$$;
