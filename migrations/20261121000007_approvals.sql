-- Approvals: tool calls that wait for their user's decision, and the run that goes on from there.

-- A call of a gated tool. Written by the transaction that puts its run to `waiting`; nothing of that step has been executed.
create table approvals (
    run_id          uuid        not null,
    step            integer     not null,
    ordinal         integer     not null,
    user_id         text        not null,
    tool_name       text        not null,
    -- The arguments as the model gave them, for whoever decides.
    parameters      jsonb       not null,
    requested_at    timestamptz not null default clock_timestamp(),
    -- Null while nobody has decided. All calls of a run are decided together.
    approved        boolean,
    decided_at      timestamptz,
    -- The run that goes on: it executes the calls of the step, or records them as rejected.
    decision_run_id uuid,
    constraint approvals_pkey primary key (run_id, step, ordinal),
    constraint approvals_run_fkey foreign key (run_id, user_id) references runs (id, user_id),
    constraint approvals_decision_run_fkey foreign key (decision_run_id, user_id) references runs (id, user_id),
    constraint approvals_decided_whole check (
        (approved is null) = (decided_at is null) and (approved is null) = (decision_run_id is null))
);

create index approvals_by_decision_run on approvals (decision_run_id) where decision_run_id is not null;

alter table approvals enable row level security;
create policy own_rows on approvals using (user_id = current_setting('errand.user_id', true));

-- The run whose message this one answers, if that is not its own: a decision has no message.
alter table runs
    add column root_run_id uuid,
    add constraint runs_root_fkey foreign key (root_run_id, user_id) references runs (id, user_id);
create index runs_by_root on runs (root_run_id) where root_run_id is not null;

-- Runs of a user that wait for a decision: few are allowed.
create index runs_waiting_by_user on runs (user_id) where status = 'waiting';
