-- What the model took for a conversation's title, which is in no run, is told by day and model with the rest.

alter table conversations
    -- Null, and 0, unless a title was asked of a model.
    add column titled_at                 timestamptz,
    add column title_model               text,
    add column title_input_tokens        bigint not null default 0,
    add column title_cached_input_tokens bigint not null default 0,
    add column title_output_tokens       bigint not null default 0,
    add column title_reasoning_tokens    bigint not null default 0;

create index conversations_titled on conversations (user_id, titled_at) where titled_at is not null;
