-- Ways to add somebody as a friend. The row is written before WeCom is asked: whoever loses the config_id can never change
-- the way again, and the state in the row finds it.
create table contact_ways (
    id bigint generated always as identity primary key,
    state text not null unique check (char_length(state) between 1 and 30),
    config_id text unique,
    source text not null,
    staff_ids text[] not null,
    tags text[] not null default '{}',
    qr_code text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
comment on column contact_ways.state is 'comes back with everybody who uses the way';
comment on column contact_ways.config_id is 'null: WeCom was asked and did not answer, or was never asked';
comment on column contact_ways.qr_code is 'the address of the picture, as WeCom told it';

-- What WeCom told about friends, as it came.
create table friend_events (
    id bigint generated always as identity primary key,
    change_type text not null,
    staff_id text not null,
    external_userid text not null,
    state text not null default '',
    welcome_code text not null default '',
    detail text not null default '',
    happened_at timestamptz not null,
    received_at timestamptz not null default now(),
    handled_at timestamptz
);
create index friend_events_waiting on friend_events (id) where handled_at is null;
comment on column friend_events.happened_at is 'by WeCom''s clock';

create table friends (
    id bigint generated always as identity primary key,
    staff_id text not null,
    external_userid text not null,
    state text not null default '',
    source text not null default '',
    added_at timestamptz not null,
    confirmed_at timestamptz,
    left_at timestamptz,
    left_by text check (left_by in ('customer', 'staff', 'transfer')),
    welcome_code text not null default '',
    welcome_until timestamptz,
    spare_code text not null default '',
    spare_until timestamptz,
    welcome_after timestamptz not null default now(),
    welcome_attempts int not null default 0,
    in_doubt boolean not null default false,
    welcome_outcome text check (welcome_outcome in ('sent', 'already', 'expired', 'refused', 'unknown')),
    welcome_error text,
    welcomed_at timestamptz,
    tags text[] not null default '{}',
    has_remark boolean not null default false,
    tend_after timestamptz,
    tend_attempts int not null default 0,
    tended_at timestamptz,
    tend_error text,
    unique (staff_id, external_userid),
    check ((left_at is null) = (left_by is null))
);
create index friends_to_welcome on friends (welcome_after) where welcome_outcome is null and welcome_code <> '';
create index friends_to_tend on friends (tend_after) where tend_after is not null;
create index friends_spare on friends (spare_until) where spare_until is not null;
create index friends_customer on friends (external_userid);
comment on column friends.state is 'of the way they came by, as WeCom told it';
comment on column friends.source is 'where they came from, in the operator''s words';
comment on column friends.added_at is 'when the present friendship began, by WeCom''s clock';
comment on column friends.confirmed_at is 'when it became one on both sides; null: the staff member has yet to add them back';
comment on column friends.left_at is 'when it ended, and left_by who ended it: nobody writes to them any more';
comment on column friends.welcome_until is 'how long the code lives at most: 20 seconds from when it came';
comment on column friends.spare_code is 'a second code that came while the first was being tried';
comment on column friends.in_doubt is 'a try was begun whose outcome is not known';
comment on column friends.welcome_outcome is 'null: no code came, or it is still being tried';
comment on column friends.tags is 'the tags put on them';
comment on column friends.tend_after is 'when tags and remark are put on; null: nothing is left to do';

-- What a greeting offers, made beforehand: a welcome has 20 seconds.
create table greeting_questions (
    place int primary key,
    entry_id text not null,
    chunk_id uuid not null,
    question text not null,
    made_at timestamptz not null default now()
);

-- Where a customer came from: the scene of the link they last opened, and what the link was made for.
alter table conversations add column scene text not null default '';
alter table conversations add column source text not null default '';
update conversations c set scene = e.scene, source = coalesce(nullif(e.param, ''), e.scene)
from (
    select distinct on (thread_id) thread_id, coalesce(payload ->> 'scene', '') as scene, payload ->> 'scene_param' as param
    from inbox where kind = 'enter_session' and payload <> '{}' order by thread_id, id desc
) e
where e.thread_id = c.thread_id;
