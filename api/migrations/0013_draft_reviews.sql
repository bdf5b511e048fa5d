-- Drafts are shown where somebody asked for them, and decided there.
alter table unknown_questions add column draft_shown_at timestamptz;
comment on column unknown_questions.draft_shown_at is 'when whoever wanted an entry was shown its draft, or told why there is none';
update unknown_questions set draft_shown_at = now() where wanted_by is not null and draft_id is not null;
create index unknown_questions_wanted on unknown_questions (ticket_id) where wanted_by is not null and draft_shown_at is null;

alter table kb_drafts
    add column revision int not null default 0,
    add column meets jsonb not null default '[]' check (jsonb_typeof(meets) = 'array'),
    add column claimed_by text,
    add column claimed_as text,
    add column claimed_at timestamptz,
    add check ((claimed_by is null) = (claimed_as is null));
comment on column kb_drafts.revision is 'goes up with every change: a button of an older one is refused';
comment on column kb_drafts.meets is 'entries that ask the same, as shown at the desk last: to be merged into or replaced';
comment on column kb_drafts.claimed_by is 'who pressed at the desk, until it is done or turned out to be impossible';
comment on column kb_drafts.claimed_as is 'what was pressed';

-- What a reply at the desk is about.
alter table desk_messages add column outbox_id bigint;
