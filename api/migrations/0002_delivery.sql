-- The outbox knows what happened. `sending` is written before the call; `in_doubt` says that an earlier attempt may have
-- arrived; `unknown` is an end: nobody can tell any more. `merged` rows went out as part of the row before them.
alter table outbox drop constraint outbox_state_check;
alter table outbox add constraint outbox_state_check
    check (state in ('pending', 'sending', 'sent', 'failed', 'unknown', 'merged', 'dropped'));
alter table outbox add column in_doubt boolean not null default false;
drop index outbox_pending;
create index outbox_open on outbox (thread_id, destination, id) where state in ('pending', 'sending');
create index outbox_dead on outbox (id) where state in ('failed', 'unknown');

-- What the channel allows: so many messages after each of the customer's, and none while staff have the session.
alter table conversations add column units_used int not null default 0;
comment on column conversations.units_used is 'messages sent since the customer last wrote';
alter table conversations add column session_state text
    check (session_state in ('bot', 'queued', 'staff', 'closed'));
comment on column conversations.session_state is 'who has the session in the channel, as far as known';

-- How often a turn was begun anew because the customer wrote on.
alter table inbox add column overtaken int not null default 0;
create index inbox_turn on inbox (turn_id) where turn_id is not null;

-- Forgetting a conversation looks these up by thread.
create index outbox_thread on outbox (thread_id);
create index tickets_thread on tickets (thread_id);
create index desk_messages_thread on desk_messages (thread_id);
