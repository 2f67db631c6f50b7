-- version 4
-- What a conversation said before a place in its order: turns that are over or wait for a decision, the latest first, each with its steps and
-- the results of their calls. The caller acts for the user. Turns that a summary stands for are left out; the first of the list, the latest, says
-- so (`before`): the place up to which that is, what was said in short, and a summary beyond it that is not in force, if there is one. So a turn
-- reads as much in a conversation of 10,000 messages as in one of 50.
--
-- The steps of most turns are kept with their replies. Of the others they are put together here: a step whose calls had to wait is there twice, in
-- the run that waited, and in the one that executes them; the latter counts.
--
-- The planner takes every conversation for as short as most, and would rather read and sort all of it than go along the index for its last
-- turns. Without bitmaps, which have no order, it does not.
create or replace function run_history(p_user_id text, p_conversation_id uuid, p_position bigint, p_limit bigint) returns json
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_bitmapscan = off set enable_seqscan = off set jit = off
as $$
declare
    v_covers_to bigint;
    v_content   text;
    v_next      json;
    v_last      record;
    v_after     bigint;
begin
    select s.id, s.covers_to, s.status, s.attempt, s.content into v_last
    from summaries s
    where s.conversation_id = p_conversation_id and s.user_id = p_user_id and s.covers_to < p_position
    order by s.covers_to desc
    limit 1;
    -- Most conversations are short, and have none.
    if v_last.status in ('completed', 'skipped') then
        v_covers_to := v_last.covers_to;
        v_content := v_last.content;
    elsif v_last.id is not null then
        v_next := json_build_object('id', v_last.id, 'covers_to', v_last.covers_to, 'status', v_last.status, 'attempt', v_last.attempt);
        select s.covers_to, s.content into v_covers_to, v_content
        from summaries s
        where s.conversation_id = p_conversation_id and s.user_id = p_user_id and s.covers_to < v_last.covers_to
          and s.status in ('completed', 'skipped')
        order by s.covers_to desc
        limit 1;
    end if;
    -- Nobody is asked for summaries any more, but there is one of before.
    if v_covers_to is not null and v_content is null then
        select s.content into v_content
        from summaries s
        where s.conversation_id = p_conversation_id and s.user_id = p_user_id and s.covers_to < v_covers_to and s.status = 'completed'
        order by s.covers_to desc
        limit 1;
    end if;

    -- A condition with `coalesce` in it would not be one of the index: under row level security Postgres takes it for one that might tell of rows
    -- of others, and asks it of each row behind the policy.
    v_after := coalesce(v_covers_to, -1);
    return (
        with turns as materialized (
            select r.id, r.parent_run_id, r.position, r.created_at, r.time_zone, r.status
            from runs r
            where r.conversation_id = p_conversation_id and r.user_id = p_user_id and r.position < p_position
              and r.position > v_after
              and r.root_run_id is null and (r.finished_at is not null or r.status = 'waiting')
            order by r.position desc
            limit p_limit
        )
        select coalesce(json_agg(json_build_object(
                   'position', t.position,
                   'before', case when t.position = (select max(l.position) from turns l) then json_build_object(
                                 'covers_to', v_covers_to, 'content', v_content, 'next', v_next) end,
                   'said_at', t.created_at, 'said_in', t.time_zone, 'message', u.content,
                   'reply', case when a.turn_steps is not null then a.content else (
                             select m.content
                             from (select t.id, t.position union all
                                   select c.id, c.position from runs c where c.root_run_id = t.id) c
                             join messages m on m.run_id = c.id and m.role = 'assistant'
                             order by c.position desc
                             limit 1) end,
                   'status', case when a.turn_steps is not null then t.status else (
                              select c.status
                              from (select t.status, t.position union all
                                    select c.status, c.position from runs c where c.root_run_id = t.id) c
                              order by c.position desc
                              limit 1) end,
                   'steps', case when a.turn_steps is not null then a.turn_steps else (
                             select coalesce(json_agg(json_build_object(
                                        'run_id', s.run_id, 'told_by', s.told_by, 'step', s.step, 'content', s.content, 'calls', s.tool_calls,
                                        'model', s.model, 'extra', s.extra,
                                        'results', (select json_agg(json_build_array(k.ordinal, k.result)) from tool_calls k
                                                    where k.run_id = s.run_id and k.step = s.step and k.user_id = p_user_id
                                                      and k.result is not null)
                                    ) order by s.step), '[]')
                             from (select distinct on (s.step) s.run_id, s.step, s.content, s.tool_calls, s.model, s.extra,
                                          case when s.attempt = 0 then coalesce(c.parent_run_id, c.id) else c.id end as told_by
                                   from (select t.id, t.parent_run_id, t.position union all
                                         select c.id, c.parent_run_id, c.position from runs c where c.root_run_id = t.id) c
                                   join steps s on s.run_id = c.id
                                   order by s.step, c.position desc) s) end
               ) order by t.position desc), '[]')
        from turns t
        join messages u on u.run_id = t.id and u.role = 'user'
        -- A run that has come to its reply is the last of its turn.
        left join messages a on a.run_id = t.id and a.role = 'assistant' and t.status = 'completed'
    );
end
$$;
