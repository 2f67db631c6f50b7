-- no-transaction
-- When the tasks were done that were done before this was kept: the last change is the nearest thing to it. In batches, each in a
-- transaction of its own and going on where the last one stopped, so no call of a tool waits for more than one of them; and safe to run
-- again if it is cut short. Who would change a task meanwhile waits for the lock that switching the trigger off takes, so there is no
-- moment at which a task can be changed outside a tool call.
do $$
declare
    batch uuid[];
    last  uuid := '00000000-0000-0000-0000-000000000000';
begin
    loop
        select array_agg(id order by id) into batch from (
            select id from tasks where id > last and completed and completed_at is null order by id limit 5000) t;
        exit when batch is null;
        last := batch[cardinality(batch)];
        alter table tasks disable trigger tasks_change_only_in_tool_calls;
        update tasks set completed_at = updated_at where id = any (batch) and completed and completed_at is null;
        alter table tasks enable trigger tasks_change_only_in_tool_calls;
        commit;
    end loop;
end
$$;
