-- What a turn asks for must be planned alike whatever the tables have become.

-- Nearly all runs are over, so to the planner an index of unfinished ones is as good as empty, and to read all of it as cheap as to
-- look something up. So it took those by conversation for what a user's runs are asked for, and those by user for a run by its id: then
-- a turn of anybody reads the unfinished runs of everybody, and what is left of theirs since the last vacuum.
--
-- A condition that is always true keeps each to queries that name what it is by: no other query implies it.
--
-- Each reads the table once while writes wait: one to two seconds for two million runs. The names stay.
create unique index runs_one_at_work on runs (conversation_id)
    where conversation_id is not null and admitted_at is not null and finished_at is null and status <> 'waiting';
drop index runs_one_at_a_time;
alter index runs_one_at_work rename to runs_one_at_a_time;

create index runs_open_by_conversation on runs (conversation_id, position)
    where conversation_id is not null and finished_at is null;
drop index runs_unfinished_by_conversation;
alter index runs_open_by_conversation rename to runs_unfinished_by_conversation;

create index runs_open_admitted on runs (user_id)
    where user_id is not null and finished_at is null and admitted_at is not null;
drop index runs_admitted_by_user;
alter index runs_open_admitted rename to runs_admitted_by_user;

create index runs_open_unadmitted on runs (user_id, position)
    where user_id is not null and finished_at is null and admitted_at is null;
drop index runs_unadmitted_by_user;
alter index runs_open_unadmitted rename to runs_unadmitted_by_user;

create index jobs_locked_by_worker on apalis.jobs (lock_by)
    where lock_by is not null and status in ('Running', 'Queued');
drop index apalis.jobs_held_by_worker;
alter index apalis.jobs_locked_by_worker rename to jobs_held_by_worker;

-- These could be planned as a hash of all runs that the user has ever had, and were, for reads and writes of many events. A sub-query
-- with an OFFSET cannot. (As a value, `(select user_id …) = …`, they could not either, but would be taken for so selective that the
-- last event of a run is looked for by reading all.)
alter policy own_rows on steps using (exists (
    select 1 from runs r where r.id = run_id and r.user_id = current_setting('errand.user_id', true) offset 0));
alter policy own_rows on run_events using (exists (
    select 1 from runs r where r.id = run_id and r.user_id = current_setting('errand.user_id', true) offset 0));
