-- What is done now and then for the whole installation, by one process at a time, and how far the purges have come.
--
-- No column is added to what users own: a purge goes along an index, from where the last one stopped. So a row is written as often as
-- before, nothing has to be filled in for rows that are older than this migration, and the next batch costs the same however old a
-- table is.

-- One row for each kind of such work.
create table periodic_work (
    name    text        not null,
    -- The process that does it, or did it last.
    holder  text,
    -- When anybody may do it: while it is done the end of a lease that each step renews, afterwards the time of the next turn.
    free_at timestamptz not null default '-infinity',
    constraint periodic_work_pkey primary key (name)
);

insert into periodic_work (name) values ('purge'), ('sweep');

-- How far each purge has come: everything before this place is purged. `delete from purge_cursors` makes all begin at the beginning.
create table purge_cursors (
    name text        not null,
    at   timestamptz not null,
    -- Breaks ties.
    id   uuid        not null,
    constraint purge_cursors_pkey primary key (name)
);

-- They hold nothing of a user, and no role of a user has a right to them.
alter table periodic_work enable row level security;
alter table purge_cursors enable row level security;
create policy nobodys on periodic_work using (false);
create policy nobodys on purge_cursors using (false);

-- The days that are over. One row for each user and day of use, so this is quickly built; a run's end changes `tokens` alone.
create index usage_days_by_day on usage_days (day);

-- The ends of runs, in the order in which purges go along them. With the time alone the planner, which knows nothing of the latest
-- times, would sort all that is due for each batch of it. Writes wait while it is built: a few seconds for two million runs.
create index runs_by_end_and_id on runs (finished_at, id) where finished_at is not null;
drop index runs_by_end;
alter index runs_by_end_and_id rename to runs_by_end;
