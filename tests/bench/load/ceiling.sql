-- The least that a turn with a queue and one tool call has to write.
create table conversation (
    id         bigint      primary key,
    user_id    text        not null,
    updated_at timestamptz not null default now()
);
create table message (
    id              bigint      primary key generated always as identity,
    conversation_id bigint      not null references conversation,
    role            text        not null,
    content         text        not null,
    tool_calls      jsonb,
    created_at      timestamptz not null default clock_timestamp()
);
create index on message (conversation_id, id desc);
create table job (
    id              bigint      primary key generated always as identity,
    conversation_id bigint      not null,
    state           smallint    not null default 0,
    claimed_at      timestamptz,
    done_at         timestamptz
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index on job (id) where state = 0;
create table task (
    id         bigint      primary key generated always as identity,
    user_id    text        not null,
    title      text        not null,
    completed  boolean     not null default false,
    created_at timestamptz not null default now()
);
create index on task (user_id, id);
create table tool_call (
    id         bigint      primary key generated always as identity,
    job_id     bigint      not null,
    name       text        not null,
    args       jsonb       not null,
    result     jsonb       not null,
    created_at timestamptz not null default now()
);
create index on tool_call (job_id);
insert into conversation select n, 'user' || n from generate_series(1, 2000) n;
insert into message (conversation_id, role, content)
select n, case nth % 2 when 0 then 'user' else 'assistant' end, repeat('some earlier words ', 5)
from generate_series(1, 2000) n, generate_series(1, 20) nth;
