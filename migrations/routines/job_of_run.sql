-- version 1
-- The id of a run's job: the run's id as a ULID (https://github.com/ulid/spec), 26 digits of five bits. The other way is `run_of_job`.
create or replace function job_of_run(run_id uuid) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, public, pg_temp
as $$
    select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', substring(bits from place * 5 + 1 for 5)::bit(5)::integer + 1, 1), '' order by place)
    from (select b'00' || ('x' || replace(run_id::text, '-', ''))::bit(128) as bits) id, generate_series(0, 25) as p (place)
$$;
