-- Processes tell of new jobs behind their commits: commits that notify wait for one another, all over the cluster. A worker that is told of
-- nothing looks once a second, so a process of the version before costs its runs that second while both are there.
drop trigger if exists notify_workers on apalis.jobs;
