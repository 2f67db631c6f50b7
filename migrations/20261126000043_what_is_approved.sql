-- What a call that waits for a decision would do, as it was when its user was asked: the same whenever and wherever it is shown.

alter table approvals
    -- The task that it is about; null for a call that is about none.
    add column task_id    uuid,
    add column task_title text,
    -- [{"field", "old", "new"}]. Null if a version before this column asked.
    add column changes    jsonb;
