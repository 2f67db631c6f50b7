-- The schema as lines of text, in an order that does not change.
with tables as (
    select c.oid, n.nspname || '.' || c.relname as name, c.relrowsecurity, c.reloptions
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname in ('public', 'apalis') and c.relname <> '_sqlx_migrations'
),
lines as (
    select t.name as part, 0 as kind, 0 as place, '' as name,
           'table ' || t.name || coalesce(' with (' || array_to_string(t.reloptions, ', ') || ')', '') as line
    from tables t
    union all
    select t.name, 1, a.attnum, '', '    ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || case when a.attnotnull then ' not null' else '' end
           || case when a.attidentity <> '' then ' identity' else '' end
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    from tables t
    join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
    union all
    select t.name, 2, 0, c.conname, '    constraint ' || c.conname || ' ' || pg_get_constraintdef(c.oid)
    from tables t join pg_constraint c on c.conrelid = t.oid and c.contype <> 'n'
    union all
    select t.name, 3, 0, i.relname, '    ' || regexp_replace(pg_get_indexdef(i.oid), '^CREATE ', '')
    from tables t join pg_index x on x.indrelid = t.oid join pg_class i on i.oid = x.indexrelid
    where not exists (select from pg_constraint c where c.conindid = i.oid)
    union all
    select t.name, 4, 0, g.tgname, '    trigger ' || g.tgname || ' ' || (regexp_match(pg_get_triggerdef(g.oid), '^CREATE TRIGGER \S+ ([A-Z]+)'))[1]
           || ' calls ' || g.tgfoid::regproc || case when g.tgenabled = 'D' then ' (disabled)' else '' end
    from tables t join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
    union all
    select t.name, 5, 0, p.polname, '    policy ' || p.polname || ' '
           || case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end
    from tables t join pg_policy p on p.polrelid = t.oid
    union all
    select '~', 6, 0, f.proname || pg_get_function_identity_arguments(f.oid),
           'function ' || f.proname || '(' || pg_get_function_identity_arguments(f.oid) || ') returns ' || pg_get_function_result(f.oid)
           || case when f.prosecdef then ' security definer' else '' end
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace
    where n.nspname = 'public'
      and not exists (select from pg_depend d where d.objid = f.oid and d.deptype = 'e')
)
select line from lines order by part collate "C", kind, place, name collate "C", line collate "C"
