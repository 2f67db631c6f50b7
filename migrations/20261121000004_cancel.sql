-- Cancelling a run from any process: the API asks, the worker that has the run ends it.

alter table runs
    -- When somebody asked for the run to be cancelled; it ends as `cancelled` as soon as its worker hears of it.
    add column cancel_requested_at timestamptz;

-- Events of runs that ended long ago are purged; this finds the runs.
create index runs_by_end on runs (finished_at) where finished_at is not null;

-- A reply that was cut short by a cancel is kept and marked.
alter table messages
    add column partial boolean not null default false;
