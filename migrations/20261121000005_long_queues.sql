-- A user may have thousands of runs that wait. What acceptance and the end of a run ask must not grow with their number.

-- Runs of a user in the job queue or at work: a handful, counted at each admission.
create index runs_admitted_by_user on runs (user_id) where finished_at is null and admitted_at is not null;

-- Runs of a user that wait for admission, the oldest first.
create index runs_unadmitted_by_user on runs (user_id, position) where finished_at is null and admitted_at is null;

-- The two together serve what this one did.
drop index runs_unfinished_by_user;
