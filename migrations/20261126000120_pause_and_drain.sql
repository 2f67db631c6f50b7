-- What an operator has stopped. Every claim reads both, so they hold next to nothing.

-- A row: no worker takes any run.
create table queue_pause (
    is_only  boolean primary key default true check (is_only),
    since    timestamptz not null default clock_timestamp(),
    asked_by text not null check (length(asked_by) between 1 and 200)
);

-- Workers that take no more runs, and end when theirs are over. A row goes with its worker's.
create table worker_drains (
    worker   text primary key references apalis.workers (id) on delete cascade,
    since    timestamptz not null default clock_timestamp(),
    asked_by text not null check (length(asked_by) between 1 and 200)
);

-- They hold nothing of a user, and no role of a user has a right to them.
alter table queue_pause enable row level security;
create policy nobodys on queue_pause using (false);
alter table worker_drains enable row level security;
create policy nobodys on worker_drains using (false);
