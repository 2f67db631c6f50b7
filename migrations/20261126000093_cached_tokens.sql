-- How much of what a model read came from its provider's prompt cache. Part of the input tokens, never in addition to them.

alter table steps
    -- 0 if the provider did not say, or an earlier version wrote the step.
    add column cached_input_tokens bigint not null default 0;

alter table runs
    -- The sum over the run's steps.
    add column cached_input_tokens bigint not null default 0;
