-- Some tickets cannot wait: the operator's rules say which.
alter table tickets add column priority text not null default 'normal' check (priority in ('normal', 'high'));
alter table tickets add column rule text not null default '';
comment on column tickets.rule is 'the rule that asked for a person or for haste; empty: none did';
