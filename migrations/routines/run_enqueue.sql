-- version 2
-- Puts runs into the job queue that were admitted in this transaction. Acts as the owner of the tables, for runs of the user who is acted for and no
-- others: what the policy on jobs would ask of each row is asked once.
create or replace function run_enqueue(p_runs uuid[]) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    -- Due by the server's clock, whatever a client's says.
    insert into apalis.jobs (id, job_type, job, run_at, metadata)
    select job_of_run(r.id), 'errand.run', convert_to('{"run_id":"' || r.id || '"}', 'utf8'), date_trunc('second', now()), ''
    from runs r
    where r.id = any (p_runs) and r.user_id = current_setting('errand.user_id', true) and r.admitted_at is not null and r.finished_at is null;
end
$$;

-- For who may act for users, and nobody else. `roles.sql` grants it to roles that a later migration makes.
revoke execute on function run_enqueue(uuid[]) from public;
do $$
declare
    user_role constant text := (select r.user_role from isolation_roles() r);
begin
    if to_regrole(user_role) is not null then
        execute format('grant execute on function run_enqueue(uuid[]) to %I', user_role);
    end if;
end
$$;
