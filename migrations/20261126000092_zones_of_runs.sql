-- Where its user was when a run was accepted: the model is told the time of a message by that clock, in every later request too.

alter table runs
    -- A name of the IANA data base; null if none was known, which means UTC.
    add column time_zone text;
