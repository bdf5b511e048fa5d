-- What customers chose when they were asked what they meant: free labels for calibration.
create table answer_labels (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    thread_id text,
    turn_id text not null unique,
    question text not null,
    shown jsonb not null check (jsonb_typeof(shown) = 'array'),
    entry_id text,
    source text not null,
    confidence real
);
comment on column answer_labels.shown is 'the entries offered, in order';
comment on column answer_labels.entry_id is 'the right one; null: none of those shown';
comment on column answer_labels.source is 'click, typed';
create index answer_labels_thread on answer_labels (thread_id);
