-- What stands for the older turns of a conversation when the model is asked: a summary that a model has written, in a run of its own kind.
--
-- Such a run answers nobody and calls no tool, so it is no row of `runs`: it has none of a turn's message, events, limits and place in the
-- conversation. It has what makes a run safe: a job of the same queue (`errand.summary`), an attempt that fences its writes, an end.

create table summaries (
    id                  uuid        primary key,
    conversation_id     uuid        not null,
    user_id             text        not null,
    -- The place of the last turn that it stands for (`runs.position`); it stands for all before that one, too.
    covers_to           bigint      not null,
    -- skipped: nobody is asked to write it; the turns are left out, and the summary before stays.
    status              text        not null default 'queued',
    -- The fence of every write, as in `runs`.
    attempt             integer     not null default 0,
    content             text,
    -- The kind of trouble of one that failed.
    error_code          text,
    model               text,
    input_tokens        bigint      not null default 0,
    cached_input_tokens bigint      not null default 0,
    output_tokens       bigint      not null default 0,
    created_at          timestamptz not null default clock_timestamp(),
    started_at          timestamptz,
    finished_at         timestamptz,
    -- Also for purges by a process of the version before, which knows nothing of this table.
    constraint summaries_conversation_fkey foreign key (conversation_id, user_id) references conversations (id, user_id) on delete cascade,
    constraint summaries_status_known check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'skipped')),
    constraint summaries_end_has_a_time check ((status in ('queued', 'running')) = (finished_at is null)),
    constraint summaries_completed_has_content check ((status = 'completed') = (content is not null)),
    constraint summaries_failure_has_a_code check ((status = 'failed') = (error_code is not null)),
    -- Bytes: it is sent with each request of its conversation.
    constraint summaries_content_length check (octet_length(content) <= 32768),
    constraint summaries_one_for_a_place unique (conversation_id, covers_to)
);

-- One at a time in a conversation.
create unique index summaries_one_at_a_time on summaries (conversation_id) where status in ('queued', 'running');

-- What a turn looks up: the last one that holds.
create index summaries_in_force on summaries (conversation_id, covers_to) where status in ('completed', 'skipped');

alter table summaries enable row level security;
create policy own_rows on summaries using (user_id = current_setting('errand.user_id', true));
