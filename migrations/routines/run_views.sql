-- version 1
-- Clients that wait for runs are answered, as many as there are at the moment: each as `run_view` has it. No row for a run that its user has not.
create or replace function run_views(p_rows jsonb)
returns table (
    place bigint, run_id uuid,
    conversation_id uuid, status text, attempt integer, message_id uuid, response text, error_code text, error_message text,
    input_tokens bigint, cached_input_tokens bigint, reasoning_tokens bigint, output_tokens bigint, model_calls integer, usage_estimated boolean, cut_short text,
    created_at timestamptz, started_at timestamptz, finished_at timestamptz, continued_by uuid,
    tool_names text[], tool_parameters jsonb[], tool_results jsonb[], tool_times timestamptz[]
)
language plpgsql set search_path = pg_catalog, public, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    r record;
begin
    for r in
        select * from rows from (jsonb_to_recordset(p_rows) as (user_id text, run_id uuid)) with ordinality
    loop
        return query select r.ordinality, r.run_id, a.* from run_view(r.user_id, r.run_id) a;
    end loop;
end
$$;
