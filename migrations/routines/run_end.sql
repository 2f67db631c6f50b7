-- version 2
-- The end of a run in its own row, and the user's tokens of the day; the caller has locked the row. Returns what the run took, as its last
-- event tells it: `usage` by model, and `metadata` if some of it is an estimate.
--
-- The usage is that of the committed steps, whichever attempt wrote them, and of answers that were cut off, by `p_model` as far as this
-- attempt knows; a step that a decision took over (attempt 0) is another run's. A run that waits has not ended.
create or replace function run_end(
    p_run_id uuid, p_status text, p_error_code text, p_error_message text, p_cut_short text,
    p_cut_off_input bigint, p_cut_off_output bigint, p_cut_off_estimated boolean, p_model text
) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_run    record;
    v_steps  record;
    v_models jsonb;
    v_input  bigint;
    v_output bigint;
begin
    select user_id, finished_at, input_tokens + output_tokens as counted, usage_estimated or p_cut_off_estimated as estimated,
           cut_off_input_tokens + p_cut_off_input as cut_off_input, cut_off_output_tokens + p_cut_off_output as cut_off_output
    into strict v_run from runs where id = p_run_id;
    select coalesce(sum(input_tokens), 0)::bigint as input, coalesce(sum(output_tokens), 0)::bigint as output,
           coalesce(sum(cached_input_tokens), 0)::bigint as cached, coalesce(sum(reasoning_tokens), 0)::bigint as reasoning,
           (count(*) filter (where attempt > 0))::integer as calls, coalesce(bool_or(usage_estimated), false) as estimated
    into v_steps from steps where run_id = p_run_id;
    v_input := v_run.cut_off_input + v_steps.input;
    v_output := v_run.cut_off_output + v_steps.output;

    if v_run.finished_at is null then
        update runs
        set status = p_status, error_code = p_error_code, error_message = p_error_message, cut_short = p_cut_short,
            finished_at = case when p_status <> 'waiting' then clock_timestamp() end,
            input_tokens = v_input, output_tokens = v_output, cached_input_tokens = v_steps.cached, reasoning_tokens = v_steps.reasoning,
            model_calls = v_steps.calls,
            cut_off_input_tokens = v_run.cut_off_input, cut_off_output_tokens = v_run.cut_off_output,
            usage_estimated = v_run.estimated or v_steps.estimated
        where id = p_run_id;
        -- A run that was requeued, or waited, has been counted up to then.
        if v_input + v_output > v_run.counted then
            insert into usage_days (user_id, day, tokens)
            values (v_run.user_id, (now() at time zone 'utc')::date, v_input + v_output - v_run.counted)
            on conflict (user_id, day) do update set tokens = usage_days.tokens + excluded.tokens;
        end if;
    end if;

    select jsonb_agg(jsonb_build_object(
               'model', model, 'inputTokens', input, 'outputTokens', output, 'totalTokens', input + output,
               'cachedInputTokens', nullif(cached, 0), 'reasoningTokens', nullif(reasoning, 0)) order by model)
    into v_models
    from (
        select model, sum(input) as input, sum(output) as output, sum(cached) as cached, sum(reasoning) as reasoning
        from (
            select model, input_tokens as input, output_tokens as output, cached_input_tokens as cached, reasoning_tokens as reasoning
            from steps where run_id = p_run_id and attempt > 0
            union all
            values (p_model, v_run.cut_off_input, v_run.cut_off_output, 0, 0)
        ) t
        group by model
        having sum(input) + sum(output) > 0
    ) m;
    return jsonb_strip_nulls(jsonb_build_object(
        'usage', v_models,
        'metadata', case when v_run.estimated or v_steps.estimated then '{"usageEstimated": true}'::jsonb end));
end
$$;
