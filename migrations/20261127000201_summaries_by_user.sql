-- What a user's summaries took is told by day, with that of the runs.
create index summaries_by_user on summaries (user_id, finished_at) where model is not null;
