-- version 2
-- A run comes to its reply: the last step, the reply, the last events with what the run took, its status, its job and the admission of the
-- next run. Returns the runs that were admitted; null, and nothing is written, if another attempt owns the run or it is
-- over. The caller says for how long locks are waited for.
create or replace function run_finish(
    p_run_id uuid, p_user_id text, p_conversation_id uuid, p_attempt integer, p_fenced boolean,
    p_step integer, p_content text, p_tool_calls jsonb, p_finish_reason text,
    p_input bigint, p_output bigint, p_estimated boolean, p_model text, p_extra jsonb, p_cached bigint, p_reasoning bigint,
    p_message_id uuid, p_cut_short text,
    p_cut_off_input bigint, p_cut_off_output bigint, p_cut_off_estimated boolean,
    p_first_seq bigint, p_events jsonb[], p_job_id text, p_max_ready bigint, p_turn_steps text
) returns uuid[]
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_took jsonb;
    v_last integer := cardinality(p_events);
begin
    perform act_for(p_user_id);
    perform pg_advisory_xact_lock(hashtextextended(p_user_id, 1));
    -- The job before the run, as a claim locks them. The run's lock waits for whatever is still being written for it, so that nothing is
    -- dated, counted or committed behind the end.
    perform from apalis.jobs where id = p_job_id for no key update;
    perform from runs where id = p_run_id and (not p_fenced or (attempt = p_attempt and status = 'running')) for no key update;
    if not found then
        return null;
    end if;

    if p_step is not null then
        insert into steps (run_id, step, attempt, content, tool_calls, finish_reason, input_tokens, output_tokens,
                           usage_estimated, model, extra, cached_input_tokens, reasoning_tokens)
        values (p_run_id, p_step, p_attempt, p_content, p_tool_calls, p_finish_reason, p_input, p_output,
                p_estimated, p_model, p_extra, p_cached, p_reasoning);
    end if;
    v_took := run_end(p_run_id, 'completed', null, null, p_cut_short,
                      p_cut_off_input, p_cut_off_output, p_cut_off_estimated, p_model);
    insert into messages (id, conversation_id, user_id, run_id, role, content, metadata, partial, turn_steps)
    values (p_message_id, p_conversation_id, p_user_id, p_run_id, 'assistant', p_content, null, false, p_turn_steps::json);
    p_events[v_last] := p_events[v_last] || v_took;
    perform run_append(p_run_id, p_first_seq, p_events);
    delete from apalis.jobs where id = p_job_id;
    return run_admit(p_user_id, p_conversation_id, p_max_ready);
end
$$;
