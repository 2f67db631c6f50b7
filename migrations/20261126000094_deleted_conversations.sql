-- A conversation that its user has deleted is gone for everybody at once; its rows go in batches, with the purges of the workers.

alter table conversations
    -- When its user deleted it; null for one that there is.
    add column deleted_at timestamptz;

-- What is to be purged, the longest deleted first. Empty when it is made, and small ever after.
create index conversations_deleted on conversations (deleted_at, id) where deleted_at is not null;
