-- A claim changes nothing that an index knows of, so it is written in place (HOT): no entry in any of ten indexes, a tenth less log a turn. Two indexes asked for
-- the status, which every transition changes; what they mean by it is whether a run waits for a decision.

-- Kept by the database, whoever writes: processes of the version before know nothing of it. Most runs never wait.
alter table runs add column is_waiting boolean not null default false;

create function keep_is_waiting() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
    new.is_waiting := new.status = 'waiting';
    return new;
end
$$;
create trigger runs_keep_is_waiting before update of status, is_waiting on runs
    for each row when (new.is_waiting <> (new.status = 'waiting')) execute function keep_is_waiting();
create trigger runs_keep_is_waiting_of_new before insert on runs
    for each row when (new.is_waiting <> (new.status = 'waiting')) execute function keep_is_waiting();
update runs set is_waiting = true where status = 'waiting';

-- Whether a worker has a run or is to have it. This is where "active" is said, and queries ask it of a row: as one expression without settings of its own it is
-- evaluated in place, and indexes are found through it.
create function is_active(run runs) returns boolean
language sql immutable parallel safe
return run.finished_at is null and not run.is_waiting;

create unique index runs_one_active on runs (conversation_id)
    where conversation_id is not null and admitted_at is not null and finished_at is null and not is_waiting;
drop index runs_one_at_a_time;
alter index runs_one_active rename to runs_one_at_a_time;
drop index runs_waiting_by_user;
create index runs_waiting_by_user on runs (user_id) where is_waiting;
