-- version 1
-- A run with its reply and its tool calls, as its owner sees it: what a client that waits is answered with. Nothing if the user has no such run,
-- or its conversation is deleted.
create or replace function run_view(p_user_id text, p_run_id uuid)
returns table (
    conversation_id uuid, status text, attempt integer, message_id uuid, response text, error_code text, error_message text,
    input_tokens bigint, cached_input_tokens bigint, reasoning_tokens bigint, output_tokens bigint, model_calls integer, usage_estimated boolean, cut_short text,
    created_at timestamptz, started_at timestamptz, finished_at timestamptz, continued_by uuid,
    tool_names text[], tool_parameters jsonb[], tool_results jsonb[], tool_times timestamptz[]
)
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    perform act_for(p_user_id);
    return query
    select r.conversation_id, r.status, r.attempt, m.id, m.content, r.error_code, r.error_message,
           r.input_tokens, r.cached_input_tokens, r.reasoning_tokens, r.output_tokens, r.model_calls, r.usage_estimated, r.cut_short,
           r.created_at, r.started_at, r.finished_at,
           (select c.id from runs c where c.parent_run_id = r.id and c.user_id = r.user_id),
           t.names, t.parameters, t.results, t.times
    from runs r
    join conversations v on v.id = r.conversation_id and v.deleted_at is null
    left join messages m on m.run_id = r.id and m.user_id = r.user_id and m.role = 'assistant'
    cross join lateral (
        select coalesce(array_agg(c.tool_name order by c.step, c.ordinal), '{}') as names,
               coalesce(array_agg(c.parameters order by c.step, c.ordinal), '{}') as parameters,
               coalesce(array_agg(c.result order by c.step, c.ordinal), '{}') as results,
               coalesce(array_agg(c.created_at order by c.step, c.ordinal), '{}') as times
        from tool_calls c where c.run_id = r.id and c.user_id = r.user_id and c.result is not null
    ) t
    where r.id = p_run_id and r.user_id = p_user_id;
end
$$;
