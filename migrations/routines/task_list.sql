-- version 1
-- The tasks of a user in the order in which they were added, without those in the trash, `p_most` at most. The caller acts for the user.
create or replace function task_list(p_user_id text, p_most bigint) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(t) order by t.id), '[]')
        from (
            select k.id, k.title, k.description, k.completed, k.completed_at, k.due_date, k.due_time, k.priority, k.tags, k.repeat,
                   k.repeat_from, k.repeat_start, k.deleted_at, k.created_at, k.updated_at
            from tasks k
            where k.user_id = p_user_id and k.deleted_at is null
            order by k.id
            limit p_most
        ) t);
end
$$;
