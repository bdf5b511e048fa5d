-- A conversation is shown at one desk at a time. Its chat and topic on Telegram are kept while it is shown elsewhere.
alter table desk_places add column desk text not null default 'telegram' check (desk in ('telegram', 'wecom'));
comment on column desk_places.desk is 'where it is shown now; chat_id and topic_id are its place on Telegram';

-- The desk a ticket's card was last shown at: at another one it is shown before anything else is.
alter table tickets add column card_desk text;
update tickets set card_desk = 'telegram' where closed_at is null;

-- Whoever took a ticket did nothing for so long that anybody may take it; the topic's sign follows.
alter table tickets add column lapsed_at timestamptz;

-- The customer was given to somebody in the channel's own client.
alter table tickets add column transferred_at timestamptz;
comment on column tickets.ended_by is
    'done: handed back to the bot; close: the conversation ended; resume: the bot took over; transfer: the staff finished';

-- Whose tickets a person has: where all customers share one chat, a text is for one of these.
create index tickets_taken on tickets (taken_by) where closed_at is null and taken_by is not null;

-- Groups that are told of tickets and answer nothing.
alter table outbox drop constraint outbox_destination_check;
alter table outbox add constraint outbox_destination_check check (destination in ('customer', 'desk', 'webhook'));
