-- A run is gone on from once: by the decision that it waited for, or by a retry after it failed or was cancelled.
create unique index runs_continued_once on runs (parent_run_id) where parent_run_id is not null;
