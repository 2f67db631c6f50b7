-- version 2
-- Admission: puts the user's runs that may start now into the job queue, the oldest first, after something has changed in a conversation.
-- Returns them. The caller acts for the user and holds the user's lock.
--
-- The cost does not grow with a backlog. What the change can have set free is the conversation's own next run; others only if they had
-- waited for a place, of which one has now become free, and of these the oldest 200 are looked at. A user without any place taken is looked
-- at in any case, so nothing gets stuck when the number of places is changed.
create or replace function run_admit(p_user_id text, p_conversation_id uuid, p_max_ready bigint) returns uuid[]
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_ready    bigint;
    v_admitted uuid[];
begin
    -- Most turns leave nothing that waits.
    if not exists (select from runs where user_id = p_user_id and finished_at is null and admitted_at is null) then
        return '{}';
    end if;
    select count(*) into v_ready from runs r
    where r.user_id = p_user_id and r.admitted_at is not null and is_active(r);

    with candidates as (
        (select id, conversation_id, position from runs
         where conversation_id = p_conversation_id and user_id = p_user_id
           and finished_at is null and admitted_at is null and status = 'queued'
         order by position
         limit 1)
        union
        (select id, conversation_id, position from runs
         where user_id = p_user_id and finished_at is null and admitted_at is null and status = 'queued'
           and (v_ready = 0 or v_ready = p_max_ready - 1)
         order by position
         limit 200)
    ),
    startable as (
        select r.id from candidates r
        -- Asked for each of these few, and not joined: a join may read the unfinished runs of everybody.
        where coalesce((
              select false from runs e
              where e.conversation_id = r.conversation_id and is_active(e) and (e.position < r.position or e.admitted_at is not null)
              limit 1
          ), true)
        order by r.position
        limit greatest(0, p_max_ready - v_ready)
    ),
    admitted as (
        update runs set admitted_at = clock_timestamp()
        from startable where runs.id = startable.id
        returning runs.id
    )
    select coalesce(array_agg(id), '{}') into v_admitted from admitted;

    if v_admitted <> '{}' then
        perform run_enqueue(v_admitted);
    end if;
    return v_admitted;
end
$$;
