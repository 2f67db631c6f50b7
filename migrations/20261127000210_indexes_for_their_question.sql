-- Two indexes of runs answer one question each, and say so, so that the planner takes them for no other. While a table is new it has no statistics,
-- any index that begins with the user looks as good as the one by id, and the plan that is kept reads all runs of the user to find one.
-- The predicates follow from the questions themselves: `created_at > …`, `idempotency_key = …`. A run without a key has no entry any more.

create index runs_by_user_and_creation on runs (user_id, created_at) where created_at is not null;
drop index runs_by_user_and_time;
alter index runs_by_user_and_creation rename to runs_by_user_and_time;

create unique index runs_by_idempotency_key on runs (user_id, idempotency_key) where idempotency_key is not null;
alter table runs drop constraint runs_idempotency_key_key;
alter index runs_by_idempotency_key rename to runs_idempotency_key_key;
