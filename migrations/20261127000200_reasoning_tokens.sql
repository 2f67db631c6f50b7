-- How much of what a model wrote was reasoning that nobody is shown. Part of the output tokens, never in addition to them.

alter table steps
    -- 0 if the provider did not say, or an earlier version wrote the step.
    add column reasoning_tokens bigint not null default 0;

alter table runs
    -- The sum over the run's steps.
    add column reasoning_tokens bigint not null default 0;

alter table summaries
    add column reasoning_tokens bigint not null default 0;
