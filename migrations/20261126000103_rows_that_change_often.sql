-- Rows that change with every turn: room for their next version beside them, so that what indexes do not know of costs no index entry (HOT), and a
-- vacuum that comes before a table is a tenth dead.
alter table runs set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
alter table conversations set (fillfactor = 90);
alter table tool_calls set (fillfactor = 90);
alter table task_totals set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
alter table usage_days set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
-- A queue is small and all of it changes: by share it would be vacuumed all the time when it is empty, and too late when it is not.
alter table apalis.jobs set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
                             autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

-- The queue's library has made each of these twice: the primary key, and who holds a job.
drop index if exists apalis.unique_job_id;
drop index if exists apalis.lidx;
