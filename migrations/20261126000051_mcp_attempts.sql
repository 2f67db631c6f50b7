-- Attempts of outside clients at tool calls, of the last minute: the limit on calls counts each when it begins. Counting the
-- records of calls let those through that were under way, and those that failed.

create table mcp_attempts (
    user_id text        not null,
    made_at timestamptz not null default clock_timestamp(),
    constraint mcp_attempts_user_id_not_empty check (user_id <> '')
);

create index mcp_attempts_by_user on mcp_attempts (user_id, made_at);
-- What is older than a minute is purged.
create index mcp_attempts_by_time on mcp_attempts (made_at);

alter table mcp_attempts enable row level security;
create policy own_rows on mcp_attempts using (user_id = current_setting('errand.user_id', true));
