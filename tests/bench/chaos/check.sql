-- The checker: what must hold of the database and of what the clients saw (schema chaos), whatever happened.
-- Each row is a violation: the invariant and what was found.
with
lines as (
    select line ->> 'kind' as kind, line ->> 'key' as key, (line ->> 'client')::int as client, line ->> 'user' as user_id,
           (line ->> 'run')::uuid as run_id, (line ->> 'seq')::bigint as seq, line -> 'event' as event,
           (line ->> 'waiting')::uuid as waiting_id, (line ->> 'approve')::boolean as approve,
           line ->> 'reply' as reply, line ->> 'code' as code, line ->> 'what' as what
    from chaos.history
),
-- What the committed answers of the model asked for.
asked as (
    select s.run_id, s.step, (c.place - 1)::int as ordinal, c.call ->> 'name' as tool_name,
           (c.call ->> 'arguments')::jsonb ->> 'title' as title
    from steps s, jsonb_array_elements(s.tool_calls) with ordinality as c (call, place)
),
added as (
    select run_id, step, ordinal, user_id, (result ->> 'task_id')::uuid as task_id, parameters ->> 'title' as title
    from tool_calls where tool_name = 'add_task' and result ->> 'success' = 'true'
),
violations (invariant, found) as (
    -- I1: an accepted message is stored once, and answered.
    select 'I1 accepted and lost', l.key || ' as ' || l.run_id from lines l
    where l.kind = 'accepted'
      and not exists (select from messages m where m.run_id = l.run_id and m.role = 'user' and m.content = 'go ' || l.key)
    union all
    select 'I1 stored twice', content from messages where role = 'user' group by content having count(*) > 1
    union all
    select 'I1 one key, two runs', key from lines where kind = 'accepted' group by key having count(distinct run_id) > 1
    union all
    select 'I1 a client saw what must not be', key || ': ' || what from lines where kind = 'wrong'
    union all
    select 'I1 decided and lost', l.key || ' as ' || l.run_id from lines l
    where l.kind = 'decided'
      and not exists (select from runs r where r.id = l.run_id and r.parent_run_id = l.waiting_id)
    union all
    select 'I1 decided otherwise', l.key || ' as ' || l.run_id from lines l join approvals a on a.run_id = l.waiting_id
    where l.kind = 'decided' and (a.approved is distinct from l.approve or a.decision_run_id is distinct from l.run_id)

    -- I2: a call that a committed answer asked for has its effect once; nothing else has one.
    union all
    select 'I2 asked for and not made', a.run_id || '/' || a.step || '/' || a.ordinal from asked a
    join runs r on r.id = a.run_id and r.status = 'completed'
    -- What a run waited for is made, or refused, by the run that the decision began.
    where not exists (select from runs c join steps s on s.run_id = c.id and s.step = a.step where c.parent_run_id = r.id)
      and not exists (select from tool_calls t where (t.run_id, t.step, t.ordinal) = (a.run_id, a.step, a.ordinal))
    union all
    select 'I2 made and not asked for', t.run_id || '/' || t.step || '/' || t.ordinal from tool_calls t
    left join asked a on (t.run_id, t.step, t.ordinal) = (a.run_id, a.step, a.ordinal)
    where a.run_id is null or a.tool_name <> t.tool_name or a.title is distinct from t.parameters ->> 'title'
    union all
    select 'I2 a record without its effect', title from added a
    where not exists (select from tasks t where t.id = a.task_id and t.user_id = a.user_id and t.title = a.title)
    union all
    select 'I2 an effect without a record', title from tasks t where not exists (select from added a where a.task_id = t.id)
    union all
    select 'I2 an effect twice', title from tasks group by title having count(*) > 1
    union all
    select 'I2 a record without a result', run_id || '/' || step || '/' || ordinal from tool_calls where result is null
    union all
    select 'I2 written after the end', r.id || ' step ' || s.step from runs r join steps s on s.run_id = r.id
    where s.created_at > r.finished_at
    union all
    select 'I2 written after the end', r.id || ' call ' || t.step || '/' || t.ordinal from runs r
    join tool_calls t on t.run_id = r.id where t.created_at > r.finished_at
    union all
    select 'I2 written by an attempt that had lost the run', b.run_id || ' step ' || b.step from steps a
    join steps b on a.run_id = b.run_id and b.step > a.step and b.attempt < a.attempt

    union all
    select 'I2 made without approval', t.run_id || '/' || t.step || '/' || t.ordinal from tool_calls t
    join runs r on r.id = t.run_id
    join approvals a on (a.run_id, a.step, a.ordinal) = (r.parent_run_id, t.step, t.ordinal)
    where t.result ->> 'success' = 'true' and a.approved is not true
    union all
    select 'I2 approved and not made', a.run_id || '/' || a.step || '/' || a.ordinal from approvals a
    join runs r on r.id = a.decision_run_id and r.status = 'completed'
    where a.approved
      and not exists (select from tool_calls t where (t.run_id, t.step, t.ordinal) = (r.id, a.step, a.ordinal))

    -- I3: every run ends, once, and says so; or waits for somebody's decision.
    union all
    select 'I3 not over', id || ' is ' || status from runs where finished_at is null and status <> 'waiting'
    union all
    select 'I3 waits for nothing', r.id::text from runs r where r.status = 'waiting'
      and not exists (select from approvals a where a.run_id = r.id and a.approved is null)
    union all
    select 'I3 failed without a code', id::text from runs where status = 'failed' and error_code is null
    union all
    select 'I3 completed without one reply', r.id::text from runs r where r.status = 'completed'
      and (select count(*) from messages m where m.run_id = r.id and m.role = 'assistant')
          <> case when exists (select from runs c where c.parent_run_id = r.id) then 0 else 1 end
    union all
    select 'I3 not one end in the events, and last', r.id::text from runs r
    where (select count(*) from run_events e
           where e.run_id = r.id and e.event ->> 'type' in ('RUN_FINISHED', 'RUN_ERROR')) <> 1
       or (select event ->> 'type' from run_events e where e.run_id = r.id order by seq desc limit 1)
          is distinct from case when r.status = 'failed'
              and not exists (select from approvals a where a.run_id = r.id) then 'RUN_ERROR' else 'RUN_FINISHED' end
    union all
    select 'I3 a client was told another end', l.key from lines l join runs r on r.id = l.run_id
    left join messages m on m.run_id = r.id and m.role = 'assistant'
    where l.kind = 'ended' and ((r.status = 'failed' and r.error_code is distinct from l.code)
      -- What was said before a cancel is in the messages only.
      or (r.status = 'completed' and m.content is distinct from l.reply))

    -- I4: the runs of a conversation do not overlap and go in order.
    union all
    select 'I4 overlap', a.id || ' and ' || b.id from runs a
    join runs b on a.conversation_id = b.conversation_id and a.position < b.position and b.started_at < a.finished_at
    -- One that waited was out of the way, until its decision.
    where not exists (select from approvals p where p.run_id = a.id)

    -- I5: events have no gaps, and what clients saw is what is stored.
    union all
    select 'I5 a gap in the store', run_id::text from run_events
    group by run_id having min(seq) <> 1 or max(seq) <> count(*)
    union all
    select 'I5 seen and not stored so', l.key || ' seq ' || l.seq from lines l
    left join run_events e on e.run_id = l.run_id and e.seq = l.seq
    where l.kind = 'event' and e.event is distinct from l.event
    union all
    select 'I5 seen with a gap or twice', key from lines where kind = 'event'
    group by key, client, run_id having min(seq) <> 1 or max(seq) <> count(*) or count(distinct seq) <> count(*)
    union all
    select 'I5 the words are not the reply', r.id::text from runs r
    join messages m on m.run_id = r.id and m.role = 'assistant'
    where r.status = 'completed' and m.content is distinct from (
        select string_agg(e.event ->> 'delta', '' order by e.seq) from run_events e
        where e.run_id = r.id and e.event ->> 'type' = 'TEXT_MESSAGE_CONTENT' and e.event ->> 'messageId' = m.id::text)

    -- I6: nobody sees what is another's.
    union all
    select 'I6 of another user', l.key from lines l join runs r on r.id = l.run_id where r.user_id <> l.user_id
    union all
    select 'I6 of another user', t.title from tasks t where t.title not like t.user_id || '-%'

    -- I7: nothing is left over.
    union all
    select 'I7 a job that is not done', id || ' is ' || status from apalis.jobs where status not in ('Done', 'Killed')
    union all
    select 'I7 a connection that is left over', application_name || ', ' || state from pg_stat_activity
    where application_name like 'errand-%' and datname = current_database()
    union all
    select 'I7 a lock that is left over', objid::text from pg_locks where locktype = 'advisory'
)
select invariant, left(found, 200) as found from violations order by invariant, found
