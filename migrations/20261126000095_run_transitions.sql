-- A run's status changes along the transitions that there are, and along no other, whoever writes it. The condition is evaluated without
-- a call: what is legal costs a comparison.

create function refuse_transition() returns trigger
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
begin
    raise exception 'a run that is % does not become %', old.status, new.status
        using errcode = 'check_violation', constraint = 'runs_transitions';
end
$$;

create trigger runs_transitions before update of status on runs
    for each row
    when (old.status is distinct from new.status and (old.status, new.status) not in (
        ('queued', 'running'), ('queued', 'cancelled'),
        ('running', 'queued'), ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled'), ('running', 'waiting'),
        ('waiting', 'completed'), ('waiting', 'cancelled'),
        ('failed', 'queued')))
    execute function refuse_transition();
