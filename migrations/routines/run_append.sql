-- version 2
-- Appends events to a run of the user who is acted for, as the owner of the tables: what the policy on events would ask of each row is asked once.
-- The caller has proven that its attempt owns the run.
create or replace function run_append(p_run_id uuid, p_first_seq bigint, p_events jsonb[]) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    if not exists (select from runs r where r.id = p_run_id and r.user_id = current_setting('errand.user_id', true)) then
        raise exception 'the run is another user''s' using errcode = 'insufficient_privilege';
    end if;
    insert into run_events (run_id, seq, event, bytes)
    select p_run_id, p_first_seq + place - 1, event, octet_length(event::text) from unnest(p_events) with ordinality as e (event, place);
end
$$;

-- For who may act for users, and nobody else. `roles.sql` grants it to roles that a later migration makes.
revoke execute on function run_append(uuid, bigint, jsonb[]) from public;
do $$
declare
    user_role constant text := (select r.user_role from isolation_roles() r);
begin
    if to_regrole(user_role) is not null then
        execute format('grant execute on function run_append(uuid, bigint, jsonb[]) to %I', user_role);
    end if;
end
$$;
