-- Roles belong to a server, and what one database grants them the members of all others have. So each database has its own two,
-- which `errand-api migrate` makes, and it writes the functions that name them (`store/isolation/acting.sql`): a name that had to
-- be found would cost a query each time that somebody is acted for.

-- The roles that the functions name. `database` is the one that they were made for: a copy or a restored dump still names
-- the roles of its original, until it is migrated. Here nothing is chosen yet: two roles that all databases of a server shared.
create function isolation_roles(out database oid, out suffix text, out user_role text, out tool_role text)
language sql immutable set search_path = pg_catalog, public, pg_temp as $$
    select 0::oid, ''::text, 'errand_user'::text, 'errand_tool'::text
$$;

-- Nobody's search path decides what a function means. `pg_temp` would come first if it were not named last.
alter function act_for(text) set search_path = pg_catalog, public, pg_temp;
alter function act_as_tool(text) set search_path = pg_catalog, public, pg_temp;
alter function may_take(text) set search_path = pg_catalog, public, pg_temp;
alter function refuse_change_outside_tool_call() set search_path = pg_catalog, public, pg_temp;
alter function refuse_truncate_of_tasks() set search_path = pg_catalog, public, pg_temp;
