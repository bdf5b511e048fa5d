-- What /metrics counts. Rows that are finished are counted once and added here, because retention deletes them; what
-- processes count for themselves is added by each of them. So every process tells the numbers of all of them.
create table metric_totals (
    name text not null,
    labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
    day date not null,
    value double precision not null,
    primary key (name, labels, day)
);
comment on table metric_totals is 'samples of counters and histograms, as Prometheus names them';
comment on column metric_totals.day is 'when it was counted, by the shop''s calendar; 1970-01-01: long ago, or read from rows that tell it better';

create table metric_settled (
    is_only boolean primary key default true check (is_only),
    until timestamptz not null default now()
);
insert into metric_settled default values;
comment on column metric_settled.until is 'what finished up to then is in metric_totals; what came later is counted at every look';

-- What finished since a moment.
create index inbox_handled on inbox (handled_at) where handled_at is not null;
create index outbox_sent on outbox (sent_at) where sent_at is not null;
create index tickets_opened on tickets (opened_at);
create index tickets_closed on tickets (closed_at) where closed_at is not null;
