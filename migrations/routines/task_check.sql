-- version 1
-- Whether a change of a user's tasks may be made as it was planned: null if so; `moved` if the task or the user's time zone is another by now,
-- and `full_tasks` or `full_bytes` if the list has no room. Locks the list, so that the answer holds until the transaction ends. Acts for the
-- user already.
--
-- `p_change`: `zone`, the calendar by which it was planned; `more_tasks` and `more_bytes`, the room that it takes, and `max_tasks` and `max_bytes`;
-- `add`, a task; `put`, a task as it is to be, with `seen`, when it had last changed as the call saw it.
create or replace function task_check(p_user_id text, p_change jsonb) returns text
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_more_tasks integer := p_change ->> 'more_tasks';
    v_more_bytes bigint := p_change ->> 'more_bytes';
    v_zone       text;
    v_tasks      integer;
    v_bytes      bigint;
begin
    select s.time_zone into v_zone from user_settings s where s.user_id = p_user_id;
    if v_zone is distinct from p_change ->> 'zone' then
        return 'moved';
    end if;
    select l.tasks, l.bytes into v_tasks, v_bytes from lock_list() l;
    if p_change ? 'put' and not exists (
        select from tasks t
        where t.id = (p_change -> 'put' ->> 'id')::uuid and t.user_id = p_user_id
          and t.updated_at = (p_change -> 'put' ->> 'seen')::timestamptz) then
        return 'moved';
    end if;
    -- What does not grow always has a place.
    if v_more_tasks > 0 and v_tasks > (p_change ->> 'max_tasks')::integer - v_more_tasks then
        return 'full_tasks';
    elsif v_more_bytes > 0 and v_bytes > (p_change ->> 'max_bytes')::bigint - v_more_bytes then
        return 'full_bytes';
    end if;
    return null;
end
$$;
