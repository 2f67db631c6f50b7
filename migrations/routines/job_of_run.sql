-- version 1
-- The id of a run's job: the run's id as a ULID (https://github.com/ulid/spec), 26 digits of five bits. The other way is `run_of_job`.
create or replace function job_of_run(run_id uuid) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, public, pg_temp
as $$
declare
    digits constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    bits   constant bit(130) := b'00' || ('x' || replace(run_id::text, '-', ''))::bit(128);
    job_id text := '';
begin
    for place in 0..25 loop
        job_id := job_id || substr(digits, substring(bits from place * 5 + 1 for 5)::bit(5)::integer + 1, 1);
    end loop;
    return job_id;
end
$$;
