-- What is remembered of a user: the time zone that they last wrote from. Without a row it is UTC.

create table user_settings (
    user_id    text        not null,
    -- A name of the IANA data base. Which names there are is the programs' knowledge, which grows without a migration.
    time_zone  text        not null,
    updated_at timestamptz not null default clock_timestamp(),
    constraint user_settings_pkey primary key (user_id),
    constraint user_settings_user_id_not_empty check (user_id <> ''),
    constraint user_settings_time_zone_length check (char_length(time_zone) between 1 and 64)
);

alter table user_settings enable row level security;
create policy own_rows on user_settings using (user_id = current_setting('errand.user_id', true));
