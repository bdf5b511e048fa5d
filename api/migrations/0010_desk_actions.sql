-- Who has a ticket: nobody else may answer while they are at it.
alter table tickets add column taken_by text;
alter table tickets add column taken_name text not null default '';
alter table tickets add column taken_at timestamptz;
alter table tickets add column acted_at timestamptz;
alter table tickets add column snoozed_until timestamptz;
alter table tickets add column wants_entry boolean not null default false;
alter table tickets add column ended_by text;
comment on column tickets.taken_by is 'the desk''s id of the person who has it; taken_name is how they are called there';
comment on column tickets.acted_at is 'what that person did last: the lock ends some time after';
comment on column tickets.snoozed_until is 'somebody asked to be reminded then';
comment on column tickets.wants_entry is 'somebody wants an article made of it';
comment on column tickets.ended_by is 'done: handed back to the bot; close: the conversation ended';
create index tickets_snoozed on tickets (snoozed_until) where closed_at is null and snoozed_until is not null;

-- The bot was told to be silent.
alter table conversations add column muted_at timestamptz;
alter table conversations add column muted_by text not null default '';

-- What the place says at a glance, as far as it was told to.
alter table desk_places add column label text not null default '';

-- Who acts at the desk: a ticket can be given to them.
create table desk_agents (
    agent_id text primary key,
    name text not null,
    seen_at timestamptz not null default now()
);

-- A text can go out as part of the one before it; what became of that one became of it.
alter table outbox add column merged_into bigint;

-- Which of our rows a message at the desk is: it may be edited later.
create index inbox_desk_message on inbox ((payload ->> 'message_id')) where origin = 'desk';
