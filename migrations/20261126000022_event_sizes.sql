-- Whoever streams events reads them in pages of bounded size, and has to know how large each is without reading it.
alter table run_events
    -- Bytes of `event` as JSON text. Null if a version before this column wrote it.
    add column bytes integer;
