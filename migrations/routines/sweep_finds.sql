-- version 1
-- Whether a sweep would find anything, in a queue that has nothing to do: a run at work by its own row that was admitted longer ago than this, or
-- a job that nobody could read. What was committed meanwhile may be found in vain.
create or replace function sweep_finds(p_admitted_for interval) returns boolean
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
begin
    return exists (
        select from runs r
        where r.user_id is not null and r.admitted_at is not null and is_active(r)
          and r.admitted_at < now() - p_admitted_for
    ) or exists (
        select from apalis.jobs j
        where j.job_type = 'errand.run' and (j.status = 'Pending' or (j.status = 'Failed' and j.attempts < j.max_attempts))
          and run_of_job(j.id) is null
    ) or exists (
        select from apalis.jobs j where j.lock_by is not null and j.status in ('Running', 'Queued') and run_of_job(j.id) is null
    );
end
$$;
