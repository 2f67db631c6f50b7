-- What is said, and the turns that answer it.
--
-- Every row names its owner, and the foreign keys carry the owner along:
-- a message or run of one user in the conversation of another cannot exist.

create table conversations (
    id         uuid        not null,
    -- The token's `sub`: any text, never a UUID of ours.
    user_id    text        not null,
    -- The beginning of the first message, for a list of conversations.
    title      text        not null,
    created_at timestamptz not null default clock_timestamp(),
    -- When the last message was accepted.
    updated_at timestamptz not null default clock_timestamp(),
    constraint conversations_pkey primary key (id),
    constraint conversations_id_user_id_key unique (id, user_id),
    constraint conversations_user_id_not_empty check (user_id <> '')
);

-- The list of a user's conversations, the latest first.
create index conversations_by_user on conversations (user_id, updated_at desc, id desc);

-- A run is one turn of the agent: one message in, one reply out.
create table runs (
    id              uuid        not null,
    conversation_id uuid        not null,
    user_id         text        not null,
    -- Order of acceptance. Drawn while the user's lock is held, so for one user it is also the order of commit.
    position        bigint      not null generated always as identity,
    status          text        not null default 'queued',
    -- How often a worker has claimed the run; also the fence: a worker may write only as the latest attempt.
    attempt         integer     not null default 0,
    -- Claims that a worker gave back in good order (a drain). They do not count against the cap on attempts.
    handbacks       integer     not null default 0,
    -- When the run was put into the job queue; null while it waits for its conversation or for its user's share.
    admitted_at     timestamptz,
    -- The run that this one goes on from (a decision about a tool call that needed approval).
    parent_run_id   uuid,
    -- The client's Idempotency-Key and the SHA-256 of the request it came with.
    idempotency_key text,
    request_hash    bytea,
    error_code      text,
    error_message   text,
    input_tokens    bigint      not null default 0,
    output_tokens   bigint      not null default 0,
    model_calls     integer     not null default 0,
    created_at      timestamptz not null default clock_timestamp(),
    started_at      timestamptz,
    finished_at     timestamptz,
    constraint runs_pkey primary key (id),
    constraint runs_id_user_id_key unique (id, user_id),
    constraint runs_conversation_fkey foreign key (conversation_id, user_id) references conversations (id, user_id),
    constraint runs_parent_fkey foreign key (parent_run_id, user_id) references runs (id, user_id),
    constraint runs_idempotency_key_key unique (user_id, idempotency_key),
    constraint runs_status_known check (status in ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
    constraint runs_end_has_a_time check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint runs_failure_has_a_code check (status <> 'failed' or error_code is not null),
    constraint runs_running_is_admitted check (status <> 'running' or admitted_at is not null)
);

-- One run at a time per conversation, kept by the database itself: at most one is in the queue or at work.
create unique index runs_one_at_a_time on runs (conversation_id)
    where admitted_at is not null and finished_at is null and status <> 'waiting';

-- Runs that are not over, by user: the cap on active runs, and whom to admit next.
create index runs_unfinished_by_user on runs (user_id, position) where finished_at is null;

-- Which unfinished runs of the conversation come first: admission in order, however long the conversation is.
create index runs_unfinished_by_conversation on runs (conversation_id, position) where finished_at is null;

-- The runs before this one, the latest first: the history.
create index runs_by_conversation on runs (conversation_id, position);

-- Runs of the last minute, by user: the rate limit.
create index runs_by_user_and_time on runs (user_id, created_at);

-- Messages are immutable: one from the user and at most one from the assistant for each run.
create table messages (
    id              uuid        not null,
    conversation_id uuid        not null,
    user_id         text        not null,
    run_id          uuid        not null,
    -- Order in the conversation as people saw it.
    position        bigint      not null generated always as identity,
    role            text        not null,
    content         text        not null,
    -- What the client said about a message of its own; free, never shown to the model as instructions.
    metadata        jsonb,
    created_at      timestamptz not null default clock_timestamp(),
    constraint messages_pkey primary key (id),
    constraint messages_conversation_fkey foreign key (conversation_id, user_id) references conversations (id, user_id),
    constraint messages_run_fkey foreign key (run_id, user_id) references runs (id, user_id),
    constraint messages_run_id_role_key unique (run_id, role),
    constraint messages_role_known check (role in ('user', 'assistant'))
);

create index messages_by_conversation on messages (conversation_id, position);
