-- Which routines are applied, in which version (`routines/`).
create table routines (
    name       text primary key,
    version    integer not null,
    text       text not null,
    applied_at timestamptz not null default now()
);

-- They hold nothing of a user, and no role of a user has a right to them.
alter table routines enable row level security;
create policy nobodys on routines using (false);
