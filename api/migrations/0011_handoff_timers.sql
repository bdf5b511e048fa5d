-- What time has done about a ticket already; each step is recorded in the transaction of what it says.
alter table tickets add column answered_at timestamptz;
alter table tickets add column reminders int not null default 0;
alter table tickets add column reminded_at timestamptz;
alter table tickets add column told_at timestamptz;
alter table tickets add column resumed_at timestamptz;
comment on column tickets.answered_at is 'when a person last wrote to the customer';
comment on column tickets.reminders is 'desks reminded of the present wait, in their order';
comment on column tickets.reminded_at is 'the latest reminder';
comment on column tickets.told_at is 'when the customer was last told that nobody is free';
comment on column tickets.resumed_at is 'when the bot was last told to take over again';
comment on column tickets.ended_by is 'done: handed back to the bot; close: the conversation ended; resume: the bot took over';

-- The bot takes over in a turn of its own, in line with what customers and people say.
alter table inbox drop constraint inbox_origin_check;
alter table inbox add constraint inbox_origin_check
    check (origin in ('customer', 'staff', 'system', 'desk', 'timer'));
