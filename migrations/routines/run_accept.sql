-- version 3
-- A message is accepted: its run, `queued` behind those of its conversation, the message, and the job if the run may start. Says what came of
-- it, and how much the user has asked for lately, counted no further than the bounds; a bound of 0 is none.
--
-- `outcome` is `accepted`; `repeated` if the key has begun this run before, or the message is there already, and `key_reused` if with another request; `limited` by one of the
-- bounds; `unknown_conversation`; `busy`, if the client will not wait in line; or `late`, if it is past the deadline. Only `accepted` writes
-- anything. The caller says for how long locks are waited for.
create or replace function run_accept(
    p_run_id uuid, p_user_id text, p_conversation_id uuid, p_new_conversation_id uuid, p_thread_name text, p_title text, p_reject_busy boolean,
    p_message_id uuid, p_content text, p_metadata jsonb, p_time_zone text, p_key text, p_request_hash bytea,
    p_max_active bigint, p_max_queued bigint, p_per_minute bigint, p_tokens_per_day bigint, p_max_undecided bigint, p_max_ready bigint,
    p_again boolean, p_deadline timestamptz, p_traceparent text
)
returns table (
    outcome text, run_id uuid, conversation_id uuid, admitted uuid[],
    active bigint, queued bigint, undecided bigint, last_minute bigint, window_frees_in float8, tokens_today bigint, day_ends_in float8
)
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_key_hash bytea;
    v_known    text;
    v_starts   boolean;
begin
    perform act_for(p_user_id);
    perform pg_advisory_xact_lock(hashtextextended(p_user_id, 1));
    -- Whoever asked has been told by now that the message is not accepted.
    if clock_timestamp() > p_deadline then
        outcome := 'late';
        return next;
        return;
    end if;

    -- The second try of a caller that has lost the answer to the first, which may still be on its way here: whichever comes first accepts.
    if p_again then
        select m.run_id, m.conversation_id into run_id, conversation_id from messages m where m.id = p_message_id and m.user_id = p_user_id;
        if found then
            outcome := 'repeated';
            return next;
            return;
        end if;
    end if;
    if p_key is not null then
        select r.id, r.conversation_id, r.request_hash into run_id, conversation_id, v_key_hash
        from runs r where r.user_id = p_user_id and r.idempotency_key = p_key;
        if found then
            outcome := case when v_key_hash = p_request_hash then 'repeated' else 'key_reused' end;
            return next;
            return;
        end if;
    end if;

    select u.active, u.queued, u.undecided, u.last_minute, u.window_frees_in, u.tokens_today, u.day_ends_in
    into active, queued, undecided, last_minute, window_frees_in, tokens_today, day_ends_in
    from run_usage(p_user_id, p_max_active, p_max_queued, p_per_minute, p_max_undecided) u;
    if undecided >= p_max_undecided
       or (p_max_active > 0 and active >= p_max_active) or (p_max_queued > 0 and queued >= p_max_queued)
       or (p_per_minute > 0 and last_minute >= p_per_minute) or (p_tokens_per_day > 0 and tokens_today >= p_tokens_per_day) then
        outcome := 'limited';
        return next;
        return;
    end if;

    -- The conversation: proven to be the user's, or opened.
    if p_thread_name is not null then
        select c.id into conversation_id from conversations c
        where c.user_id = p_user_id and c.thread_name = p_thread_name and c.deleted_at is null;
    else
        conversation_id := p_conversation_id;
    end if;
    if conversation_id is not null then
        update conversations c set updated_at = clock_timestamp()
        where c.id = conversation_id and c.user_id = p_user_id and c.deleted_at is null;
        if not found then
            conversation_id := null;
        elsif p_reject_busy and exists (
            select from runs r where r.conversation_id = run_accept.conversation_id and r.user_id = p_user_id and is_active(r)) then
            outcome := 'busy';
            return next;
            return;
        end if;
    end if;
    if conversation_id is null then
        if p_new_conversation_id is not null then
            insert into conversations (id, user_id, title, thread_name)
            values (p_new_conversation_id, p_user_id, p_title, p_thread_name)
            on conflict on constraint conversations_pkey do nothing;
        end if;
        -- The id is another user's, or of one that was deleted: for this user there is none.
        if p_new_conversation_id is null or not found then
            outcome := 'unknown_conversation';
            return next;
            return;
        end if;
        conversation_id := p_new_conversation_id;
    end if;

    -- The zone is remembered for the user; without one the run has the one that is remembered.
    select s.time_zone into v_known from user_settings s where s.user_id = p_user_id;
    if p_time_zone is not null and p_time_zone is distinct from v_known then
        insert into user_settings as s (user_id, time_zone) values (p_user_id, p_time_zone)
        on conflict (user_id) do update set time_zone = excluded.time_zone, updated_at = clock_timestamp();
    end if;

    -- Most runs may start at once: the conversation is free, nothing of the user waits, and there is a place.
    v_starts := not exists (
            select from runs r
            where r.conversation_id = run_accept.conversation_id and is_active(r))
        and not exists (
            select from runs r where r.user_id = p_user_id and r.finished_at is null and r.admitted_at is null)
        and (select count(*) from (
                 select from runs r
                 where r.user_id = p_user_id and r.admitted_at is not null and is_active(r)
                 limit p_max_ready) ready) < p_max_ready;
    insert into runs (id, conversation_id, user_id, idempotency_key, request_hash, time_zone, traceparent, admitted_at)
    values (p_run_id, conversation_id, p_user_id, p_key, p_request_hash, coalesce(p_time_zone, v_known), p_traceparent,
            case when v_starts then clock_timestamp() end);
    insert into messages (id, conversation_id, user_id, run_id, role, content, metadata, partial)
    values (p_message_id, conversation_id, p_user_id, p_run_id, 'user', p_content, p_metadata, false);
    if v_starts then
        admitted := array[p_run_id];
        perform run_enqueue(admitted);
    else
        admitted := run_admit(p_user_id, conversation_id, p_max_ready);
    end if;
    run_id := p_run_id;
    outcome := 'accepted';
    return next;
end
$$;
