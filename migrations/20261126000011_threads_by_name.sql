-- AG-UI lets a client call its thread whatever it likes. A name that is no UUID belongs to its user, and leads to a conversation
-- that has an id like all others: an id that followed from the name could be taken by somebody else first.

alter table conversations
    -- What an AG-UI client calls it; null for a conversation that goes by its id.
    add column thread_name text,
    add constraint conversations_thread_name_length check (char_length(thread_name) between 1 and 128);

create unique index conversations_by_thread_name on conversations (user_id, thread_name) where thread_name is not null;
