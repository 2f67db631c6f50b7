-- A set of tool calls adds the tasks of several users in one statement. It acts for those who have a call in it (`act_as_tools`), each by a call of
-- its own: see `run_call_all`. What acts for one user leaves the setting empty, and sees that user's rows only.

create policy tasks_of_a_set on tasks for insert
    with check (nullif(current_setting('errand.tool_calls', true), '')::jsonb ? user_id);

-- By which `refuse_change_outside_tool_call` finds the open record.
create policy calls_of_a_set on tool_calls for select
    using (nullif(current_setting('errand.tool_calls', true), '')::jsonb ? user_id);
