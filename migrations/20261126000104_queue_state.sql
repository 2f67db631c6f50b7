-- What the queue was like when it was last asked for: however many processes are scraped, the database counts once in a while.
create table queue_state (
    is_only     boolean primary key default true check (is_only),
    measured_at timestamptz not null,
    state       jsonb not null
);

-- It holds nothing of a user, and no role of a user has a right to it.
alter table queue_state enable row level security;
create policy nobodys on queue_state using (false);
