-- What happened inside a run: the model's answers, the tool calls they led to, and the events that clients saw.

-- A step is one answer of the model. It is written before any of its tool calls is executed, so a worker that
-- takes the run over executes the same calls again under the same keys, and never asks the model a second time.
create table steps (
    run_id        uuid        not null,
    step          integer     not null,
    -- The attempt that wrote it.
    attempt       integer     not null,
    content       text        not null,
    -- The calls as the model made them: [{"id", "name", "arguments"}], arguments still as raw text.
    tool_calls    jsonb       not null,
    finish_reason text,
    input_tokens  bigint      not null default 0,
    output_tokens bigint      not null default 0,
    created_at    timestamptz not null default clock_timestamp(),
    constraint steps_pkey primary key (run_id, step),
    constraint steps_run_fkey foreign key (run_id) references runs (id)
);

-- The record of a tool call. It commits in the same transaction as the call's effect, so the key
-- (run, step, ordinal) makes an effect happen once however often the call is repeated.
create table tool_calls (
    run_id      uuid        not null,
    step        integer     not null,
    ordinal     integer     not null,
    user_id     text        not null,
    tool_name   text        not null,
    -- The full parameters, `user_id` included.
    parameters  jsonb       not null,
    -- The structured output. Null only inside the transaction that makes the call.
    result      jsonb,
    is_error    boolean     not null default false,
    duration_ms integer,
    created_at  timestamptz not null default clock_timestamp(),
    constraint tool_calls_pkey primary key (run_id, step, ordinal),
    constraint tool_calls_step_fkey foreign key (run_id, step) references steps (run_id, step),
    constraint tool_calls_run_fkey foreign key (run_id, user_id) references runs (id, user_id)
);

-- AG-UI events in the order of `seq`, without gaps from 1, for clients that stream or resume.
create table run_events (
    run_id     uuid        not null,
    seq        bigint      not null,
    event      jsonb       not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint run_events_pkey primary key (run_id, seq),
    constraint run_events_run_fkey foreign key (run_id) references runs (id),
    constraint run_events_have_a_type check (event ? 'type')
);
