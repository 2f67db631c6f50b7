-- version 1
-- A page of a user's tasks in one view, how many there are in all, and the user's time zone: at least one row, whose `id` is null if the page is
-- empty. Page and total are of the same moment. If the page is asked for by a calendar (`p_checks_zone`) and the zone is another by now, `is_moved` is all there is to say.
--
-- `p_literal` is searched for as a regular expression that is one literal (`***=`). What is `p_is_plain` is counted by its index alone, no further than
-- `p_most`.
--
-- `case` and not `coalesce`: behind row level security a condition is one of the index only if nothing in it can leak a row, and the planner does not know that of
-- `coalesce`.
create or replace function task_page(
    p_user_id text, p_zone text, p_checks_zone boolean, p_view text, p_literal text, p_tags text[], p_priority text, p_completed boolean,
    p_from date, p_to date, p_to_time time, p_is_plain boolean, p_most bigint,
    p_after_date date, p_after_time time, p_after_priority text, p_after_at timestamptz, p_after_id uuid, p_limit bigint
)
returns table (
    is_moved boolean, time_zone text, total bigint, id uuid, title text, description text, completed boolean, completed_at timestamptz, due_date date, due_time time,
    priority text, tags text[], repeat text, deleted_at timestamptz, created_at timestamptz, updated_at timestamptz
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_zone text;
begin
    -- A call from outside reads in a transaction that acts for the user already, in the role of a tool.
    if current_setting('errand.user_id', true) is distinct from p_user_id then
        perform act_for(p_user_id);
    end if;
    v_zone := (select s.time_zone from user_settings s where s.user_id = p_user_id);
    if p_checks_zone and v_zone is distinct from p_zone then
        is_moved := true;
        time_zone := v_zone;
        return next;
    -- A range of `tasks_open`, which is in the order in which they are shown.
    elsif p_view = 'open' then
        return query
        with matching as not materialized (
            select *, case when due_date is null then '10000-01-01'::date else due_date end as on_date,
                   case when due_time is null then '23:59:59'::time else due_time end as at_time
            from tasks
            where user_id = p_user_id and not completed and deleted_at is null
              and case when due_date is null then '10000-01-01'::date else due_date end >= p_from
              and (case when due_date is null then '10000-01-01'::date else due_date end,
                   case when due_time is null then '23:59:59'::time else due_time end) <= (p_to, p_to_time)
              and (p_literal is null or title ~* p_literal or description ~* p_literal)
              and tag_keys @> p_tags
              and (p_priority is null or priority = p_priority)
        )
        select false, v_zone, counted.total, page.id, page.title, page.description, page.completed, page.completed_at, page.due_date, page.due_time,
               page.priority, page.tags, page.repeat, page.deleted_at, page.created_at, page.updated_at
        from (select case when p_is_plain
                  then (select count(*) from (
                      select from tasks
                      where user_id = p_user_id and not completed and deleted_at is null
                        and case when due_date is null then '10000-01-01'::date else due_date end >= p_from
                        and (case when due_date is null then '10000-01-01'::date else due_date end,
                   case when due_time is null then '23:59:59'::time else due_time end) <= (p_to, p_to_time)
                      limit p_most) c)
                  else (select count(*) from matching) end as total) counted
        left join (
            select * from matching
            where (case when due_date is null then '10000-01-01'::date else due_date end,
                   case when due_time is null then '23:59:59'::time else due_time end, priority, id)
                  > (p_after_date, p_after_time, p_after_priority, p_after_id)
            order by case when due_date is null then '10000-01-01'::date else due_date end,
                     case when due_time is null then '23:59:59'::time else due_time end, priority, id
            limit p_limit
        ) page on true
        order by page.on_date, page.at_time, page.priority, page.id;
    -- The last done first.
    elsif p_view = 'completed' then
        return query
        with matching as not materialized (
            select * from tasks
            where user_id = p_user_id and completed and deleted_at is null
              and (p_literal is null or title ~* p_literal or description ~* p_literal)
              and tag_keys @> p_tags
              and (p_priority is null or priority = p_priority)
              and (p_from is null or due_date >= p_from)
              and (p_to is null or due_date <= p_to)
        )
        select false, v_zone, counted.total, page.id, page.title, page.description, page.completed, page.completed_at, page.due_date, page.due_time,
               page.priority, page.tags, page.repeat, page.deleted_at, page.created_at, page.updated_at
        from (select case when p_is_plain
                  then (select count(*) from (
                      select from tasks where user_id = p_user_id and completed and deleted_at is null limit p_most) c)
                  else (select count(*) from matching) end as total) counted
        left join (
            select * from matching where (completed_at, id) < (p_after_at, p_after_id) order by completed_at desc, id desc limit p_limit
        ) page on true
        order by page.completed_at desc, page.id desc;
    -- The trash, the last deleted first.
    elsif p_view = 'deleted' then
        return query
        with matching as not materialized (
            select * from tasks
            where user_id = p_user_id and deleted_at is not null
              and (p_literal is null or title ~* p_literal or description ~* p_literal)
              and tag_keys @> p_tags
              and (p_priority is null or priority = p_priority)
              and (p_from is null or due_date >= p_from)
              and (p_to is null or due_date <= p_to)
              and (p_completed is null or completed = p_completed)
        )
        select false, v_zone, counted.total, page.id, page.title, page.description, page.completed, page.completed_at, page.due_date, page.due_time,
               page.priority, page.tags, page.repeat, page.deleted_at, page.created_at, page.updated_at
        from (select case when p_is_plain
                  then (select count(*) from (
                      select from tasks where user_id = p_user_id and deleted_at is not null limit p_most) c)
                  else (select count(*) from matching) end as total) counted
        left join (
            select * from matching where (deleted_at, id) < (p_after_at, p_after_id) order by deleted_at desc, id desc limit p_limit
        ) page on true
        order by page.deleted_at desc, page.id desc;
    -- All that are not in the trash, in the order they were added.
    else
        return query
        with matching as not materialized (
            select * from tasks
            where user_id = p_user_id and deleted_at is null
              and (p_literal is null or title ~* p_literal or description ~* p_literal)
              and tag_keys @> p_tags
              and (p_priority is null or priority = p_priority)
              and (p_from is null or due_date >= p_from)
              and (p_to is null or due_date <= p_to)
              and (p_completed is null or completed = p_completed)
        )
        select false, v_zone, counted.total, page.id, page.title, page.description, page.completed, page.completed_at, page.due_date, page.due_time,
               page.priority, page.tags, page.repeat, page.deleted_at, page.created_at, page.updated_at
        from (select count(*) as total from matching) counted
        left join (select * from matching where id > p_after_id order by id limit p_limit) page on true
        order by page.id;
    end if;
end
$$;
