-- version 1
-- The times of a task, as a call's result tells them. Those that it has not are left out.
create or replace function task_times(p_created_at timestamptz, p_completed_at timestamptz, p_updated_at timestamptz) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return jsonb_strip_nulls(jsonb_build_object(
        'created_at', to_char(p_created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'completed_at', to_char(p_completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'updated_at', to_char(p_updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')));
end
$$;
