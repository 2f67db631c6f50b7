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
    if length(job_id) <> 26 or translate(job_id, digits, '') <> '' or strpos('01234567', left(job_id, 1)) = 0 then
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

-- By the payload, `{"run_id":"…"`, from which the run is cheap to read; any other is nobody's. OFFSET 0 keeps the planner from making a
-- hash of all runs of the user. One policy for each command, so that none asks twice: an update can change neither payload nor id (see
-- the grants).
create policy own_jobs on apalis.jobs for select using (exists (
    select 1 from public.runs r
    where r.id = case when substring(jobs.job from 1 for 11) = '\x7b2272756e5f6964223a22'
                 then encode(substring(jobs.job from 12 for 36), 'escape')::uuid end
      and r.user_id = current_setting('errand.user_id', true)
    offset 0));

create policy end_own_jobs on apalis.jobs for update using (exists (
    select 1 from public.runs r
    where r.id = case when substring(jobs.job from 1 for 11) = '\x7b2272756e5f6964223a22'
                 then encode(substring(jobs.job from 12 for 36), 'escape')::uuid end
      and r.user_id = current_setting('errand.user_id', true)
    offset 0))
    with check (true);

create policy forget_own_jobs on apalis.jobs for delete using (exists (
    select 1 from public.runs r
    where r.id = case when substring(jobs.job from 1 for 11) = '\x7b2272756e5f6964223a22'
                 then encode(substring(jobs.job from 12 for 36), 'escape')::uuid end
      and r.user_id = current_setting('errand.user_id', true)
    offset 0));

-- By its id a job could stand in the way of another user's, so that has to be the same run's.
create policy enqueue_own_runs on apalis.jobs for insert with check (
    job_type = 'errand.run' and status = 'Pending' and lock_by is null
    and exists (
    select 1 from public.runs r
    where r.id = case when substring(jobs.job from 1 for 11) = '\x7b2272756e5f6964223a22'
                 then encode(substring(jobs.job from 12 for 36), 'escape')::uuid end
      and r.user_id = current_setting('errand.user_id', true)
    offset 0)
    and public.run_of_job(id)
        = case when substring(jobs.job from 1 for 11) = '\x7b2272756e5f6964223a22'
              then encode(substring(jobs.job from 12 for 36), 'escape')::uuid end);
