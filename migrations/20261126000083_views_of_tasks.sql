-- What is promised of tasks holds for those that were there before, too; and each view of a list is a range of an index, which costs what
-- is in the view, whatever else the user has.

alter table tasks
    validate constraint tasks_due_date_range,
    validate constraint tasks_due_time_needs_date,
    validate constraint tasks_due_time_minutes,
    validate constraint tasks_priority,
    validate constraint tasks_tags,
    validate constraint tasks_repeat,
    validate constraint tasks_repeat_start,
    validate constraint tasks_repeat_from,
    validate constraint tasks_completed_at;

-- Open tasks in the order in which they are shown: what is undated behind all dates, and what has no time behind all times of its day.
create index tasks_open on tasks
    (user_id, (case when due_date is null then '10000-01-01'::date else due_date end),
     (case when due_time is null then '23:59:59'::time else due_time end), priority, id)
    include (due_date, due_time)
    where not completed and deleted_at is null;
create index tasks_done on tasks (user_id, completed_at, id) where completed and deleted_at is null;
create index tasks_in_trash on tasks (user_id, deleted_at, id) where deleted_at is not null;
-- For the purge, of all users.
create index tasks_to_purge on tasks (deleted_at, id) where deleted_at is not null;
