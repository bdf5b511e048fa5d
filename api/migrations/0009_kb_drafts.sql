-- Entries proposed from what people answered; a person reviews them before customers are told.
create table kb_drafts (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    state text not null default 'pending' check (state in ('pending', 'approved', 'rejected')),
    question text not null,
    similar_questions jsonb not null default '[]' check (jsonb_typeof(similar_questions) = 'array'),
    answer text not null,
    other_answers jsonb not null default '[]' check (jsonb_typeof(other_answers) = 'array'),
    category text not null default '',
    ticket_id text,
    author text not null default '',
    reviewed_by text,
    reviewed_at timestamptz,
    entry_id text,
    check ((state = 'pending') = (reviewed_by is null))
);
create index kb_drafts_state on kb_drafts (state, id);
comment on column kb_drafts.similar_questions is 'other wordings, from other customers who asked the same';
comment on column kb_drafts.other_answers is 'what people told other customers who asked the same';
comment on column kb_drafts.ticket_id is 'where the answer was given';
comment on column kb_drafts.author is 'who gave it at the desk';
comment on column kb_drafts.entry_id is 'the entry it became';

-- What was found for a question that went to a person, what became of it, and what it finds now.
alter table unknown_questions
    add column hits jsonb check (jsonb_typeof(hits) = 'array'),
    add column outcome text check (outcome in ('answered', 'unanswered')),
    add column outcome_at timestamptz,
    add column wanted_by text,
    add column draft_id bigint references kb_drafts (id) on delete set null,
    add column verdict text check (verdict in ('closed', 'offered', 'other', 'open')),
    add column verdict_at timestamptz;
comment on column unknown_questions.hits is 'the best entries found: [{"entry_id", "question", "score"}], best first';
comment on column unknown_questions.outcome is 'whether a person answered before the ticket was closed; null: still open, or not known';
comment on column unknown_questions.wanted_by is 'who asked for an entry about it';
comment on column unknown_questions.draft_id is 'the draft made of the answer';
comment on column unknown_questions.verdict is 'what the bot does with it today: answers, offers the right entry, answers from another, still a miss';
create index unknown_questions_draft on unknown_questions (draft_id) where draft_id is not null;
create index unknown_questions_created on unknown_questions (created_at);
