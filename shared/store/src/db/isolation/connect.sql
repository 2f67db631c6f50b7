-- Only those who have something to do here may connect: what PUBLIC has, the logins of all other databases of the server have.
-- The owner may by itself. So may every login that is a member of the owner, and whoever was granted anything here by name, such
-- as a dashboard's login; all others have to be granted CONNECT.
do $$
declare
    here    pg_database;
    grantee text;
begin
    select * into here from pg_database where datname = current_database();
    if not has_database_privilege('public', here.oid, 'connect') then
        return;
    end if;
    if not pg_has_role(current_user, here.datdba, 'usage') then
        raise warning 'the logins of other databases may connect to this one: have its owner run: %', format(
            'grant connect on database %1$I to %2$I; revoke connect on database %1$I from public;', here.datname, current_user);
        return;
    end if;
    for grantee in
        select rolname from pg_roles
        where rolcanlogin and not rolsuper and (rolname = current_user or pg_has_role(oid, here.datdba, 'member'))
        union
        select r.rolname
        from pg_shdepend d join pg_roles r on r.oid = d.refobjid
        where d.dbid = here.oid and d.refclassid = 'pg_authid'::regclass and d.deptype = 'a'
          and r.rolname !~ '^errand_(user|tool)(_[0-9a-f]{8})?$'
    loop
        execute format('grant connect on database %I to %I', here.datname, grantee);
    end loop;
    execute format('revoke connect on database %I from public', here.datname);
end
$$;
