-- version 2
-- How much a user has asked for lately, counted no further than the bounds; of a bound of 0 nothing is counted. Exact while the caller holds the
-- user's lock. The cost grows neither with a backlog nor with the user's past.
create or replace function run_usage(p_user_id text, p_max_active bigint, p_max_queued bigint, p_per_minute bigint, p_max_undecided bigint)
returns table (
    active bigint, queued bigint, undecided bigint, last_minute bigint, window_frees_in float8, tokens_today bigint, day_ends_in float8
)
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_bound bigint := greatest(p_max_active, p_max_queued);
begin
    -- An index can be searched for a time that stays the same in a statement, and not for `clock_timestamp()`.
    return query
    select w.n + a.n, w.n + a.queued, u.n, l.n,
           coalesce(extract(epoch from l.first + interval '1 minute' - clock_timestamp()), 60)::float8,
           coalesce((select d.tokens from usage_days d where d.user_id = p_user_id and d.day = (now() at time zone 'utc')::date), 0),
           extract(epoch from date_trunc('day', now() at time zone 'utc') + interval '1 day' - (now() at time zone 'utc'))::float8
    from (select count(*) as n from (
              select from runs r where r.user_id = p_user_id and r.finished_at is null and r.admitted_at is null limit v_bound) w) w,
         (select count(*) as n, count(*) filter (where status = 'queued') as queued from (
              select r.status from runs r
              where r.user_id = p_user_id and r.admitted_at is not null and is_active(r)
              limit v_bound) a) a,
         (select count(*) as n from (
              select from runs r where r.user_id = p_user_id and r.is_waiting limit p_max_undecided) u) u,
         (select count(*) as n, min(l.created_at) as first from (
              select r.created_at from runs r
              where r.user_id = p_user_id and r.created_at > statement_timestamp() - interval '1 minute'
              order by r.created_at desc
              limit p_per_minute) l) l;
end
$$;
