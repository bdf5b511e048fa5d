-- Campaigns: what is said to whom and when. What was approved is what is sent: a hash of text, audience and window is
-- stored with the approval, and compared before every run.
create table outreach_campaigns (
    id bigint generated always as identity primary key,
    name text not null unique check (name <> ''),
    text text not null,
    audience jsonb not null check (jsonb_typeof(audience) = 'object'),
    holdout int not null check (holdout between 0 and 90),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    state text not null default 'draft' check (state in ('draft', 'approved', 'done', 'cancelled')),
    created_by text not null,
    created_at timestamptz not null default now(),
    approved_by text,
    approved_at timestamptz,
    approved_hash text,
    approved_people text,
    finished_at timestamptz,
    check (starts_at < ends_at),
    check ((approved_at is null) = (approved_hash is null))
);

-- One call of externalcontact/add_msg_template each. WeCom has no key that makes a repetition harmless: the row is
-- written before the call, and a call without an answer is looked for and never simply made again.
create table outreach_tasks (
    id bigint generated always as identity primary key,
    campaign_id bigint not null references outreach_campaigns (id),
    staff_id text not null,
    text text not null,
    state text not null default 'calling' check (state in ('calling', 'created', 'unknown', 'failed', 'finished')),
    msgid text unique,
    called_at timestamptz not null,
    look_at timestamptz,
    error text not null default '',
    resolved_by text not null default ''
);
create index outreach_tasks_open on outreach_tasks (look_at) where state in ('calling', 'created', 'unknown');
comment on column outreach_tasks.look_at is 'when WeCom is asked next what became of it; null: no more';

create table outreach_targets (
    id bigint generated always as identity primary key,
    campaign_id bigint not null references outreach_campaigns (id),
    customer_id text not null,
    is_holdout boolean not null,
    seal text not null default '',
    state text not null default 'planned' check (state in (
        'planned', 'skipped', 'holdout', 'intent', 'sent', 'unknown', 'failed', 'staff_pending', 'staff_sent'
    )),
    reason text not null default '',
    channel text check (channel in ('kf', 'template')),
    thread_id text,
    staff_id text,
    turn_id text unique,
    task_id bigint references outreach_tasks (id),
    tries int not null default 0,
    look_at timestamptz,
    tried_at timestamptz,
    sent_at timestamptz,
    unique (campaign_id, customer_id)
);
create index outreach_targets_customer on outreach_targets (customer_id);
create index outreach_targets_planned on outreach_targets (campaign_id, id) where state = 'planned';
create index outreach_targets_open on outreach_targets (campaign_id, channel) where state in ('intent', 'staff_pending');
create index outreach_targets_task on outreach_targets (task_id) where task_id is not null;
comment on column outreach_campaigns.approved_people is 'hash of the people''s ids, a part of approved_hash';
comment on column outreach_targets.seal is 'hash of the approval and the customer: nobody is added to what was approved';
comment on column outreach_targets.reason is 'why it was skipped or failed';
comment on column outreach_targets.look_at is 'not looked at before: something has to pass first';
comment on column outreach_targets.tried_at is 'when it was sent on its way, or would have been; counts for every cap';

-- Who wants no messages they did not ask for. Rows are only ever added; the latest one of a customer counts.
create table outreach_consents (
    id bigint generated always as identity primary key,
    customer_id text not null,
    direction text not null check (direction in ('out', 'in')),
    how text not null check (how in ('message', 'operator')),
    words text not null default '',
    recorded_by text not null default '',
    message_id text,
    said_at timestamptz not null default now(),
    recorded_at timestamptz not null default now()
);
create index outreach_consents_customer on outreach_consents (customer_id, id desc);
comment on column outreach_consents.words is 'the phrase of the rule that was met, or what the operator noted';

create function outreach_consents_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'outreach_consents is only ever added to' using errcode = 'insufficient_privilege';
end $$;
create trigger outreach_consents_refuse before update or delete on outreach_consents
    for each row execute function outreach_consents_refuse();
create trigger outreach_consents_refuse_truncate before truncate on outreach_consents
    for each statement execute function outreach_consents_refuse();

create index conversations_customer on conversations (customer_id);
