-- What a provider said of an answer besides text and calls, and tokens that no step counts.

alter table steps
    -- The model that gave the answer. What only it understands is sent back to it alone; null for answers from before.
    add column model           text,
    -- Fields of the answer's message that are the provider's own, as they came; those of a call are in `tool_calls`.
    add column extra           jsonb,
    -- The provider did not say how many tokens it took: they were estimated from what was sent and received.
    add column usage_estimated boolean not null default false;

alter table runs
    -- Tokens of answers that never became a step: cut off by a cancel, a time-out or an error, or asked for again.
    add column cut_off_input_tokens  bigint  not null default 0,
    add column cut_off_output_tokens bigint  not null default 0,
    -- Some of the run's tokens are an estimate.
    add column usage_estimated       boolean not null default false,
    -- Why the model stopped before the end of its reply: `length` or `content_filter`.
    add column cut_short             text;
