-- Automatic answers that somebody looked at afterwards: the measure of the rate of wrong ones.
create table answer_audits (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    turn_id text not null unique,
    question text not null,
    entry_id text not null,
    is_right boolean not null,
    right_entry_id text,
    confidence real,
    source text not null check (source in ('operator', 'desk', 'customer')),
    check (not is_right or right_entry_id = entry_id)
);
comment on column answer_audits.entry_id is 'the entry that was answered with';
comment on column answer_audits.right_entry_id is 'the one that answers the question; null: none, or not known';
create index answer_audits_age on answer_audits (created_at);
