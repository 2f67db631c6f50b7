-- A transaction that acts for a user reaches the jobs of that user's runs only. Claims, leases and purges act for nobody: they run as
-- the owner of the table, whom no policy binds.

-- The run of a job: its id is the run's own 128 bits, written as a ULID (26 digits of 5 bits, of which the first has 3). Null for any
-- other text.
create function run_of_job(job_id text) returns uuid
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, public, pg_temp
as $$
declare
    digits constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    word   bigint := 0;
    hex    text := '';
begin
    if job_id !~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$' then
        return null;
    end if;
    for place in 1..26 loop
        word := word << 5 | (strpos(digits, substr(job_id, place, 1)) - 1);
        -- Two digits are a byte, each eight more are five.
        if place = 2 then
            hex := lpad(to_hex(word), 2, '0');
            word := 0;
        elsif place in (10, 18, 26) then
            hex := hex || lpad(to_hex(word), 10, '0');
            word := 0;
        end if;
    end loop;
    return hex::uuid;
end
$$;

alter table apalis.jobs enable row level security;

create policy own_jobs on apalis.jobs using (exists (
    select 1 from public.runs r
    where r.id = public.run_of_job(jobs.id) and r.user_id = current_setting('errand.user_id', true)));

-- What a worker reads is the payload, so that has to name the same run.
create policy new_jobs on apalis.jobs as restrictive for insert with check (
    job_type = 'errand.run' and status = 'Pending' and lock_by is null
    and (convert_from(job, 'UTF8')::json ->> 'run_id')::uuid = public.run_of_job(id));
