-- The steps of a turn, kept with its reply as the history has them: who reads what a conversation said reads two messages a turn, and puts nothing together
-- from steps and calls. Null of turns that did not come to a reply, and of those of before: their steps are read from where they are.
alter table messages add column turn_steps json;
-- Not valid: none of the messages of before has any, so nobody has to wait until all are read.
alter table messages add constraint messages_turn_steps_of_replies check (turn_steps is null or role = 'assistant') not valid;
