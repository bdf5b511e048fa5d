create extension if not exists vector;

-- Accounts (open_kfid) and how far each was pulled.
create table accounts (
    account_id text primary key,
    cursor text not null default '',
    caught_up_at timestamptz,
    created_at timestamptz not null default now()
);
comment on column accounts.caught_up_at is 'end of the first full pull; until then old messages are stored, not answered';

-- Callbacks as they came in, decrypted; the signature makes a repeated delivery harmless.
create table callbacks (
    id bigint generated always as identity primary key,
    signature text not null unique,
    payload jsonb not null,
    received_at timestamptz not null default now()
);

create table conversations (
    thread_id text primary key,
    channel text not null,
    account_id text not null,
    customer_id text not null,
    customer_name text not null default '',
    created_at timestamptz not null default now(),
    last_customer_at timestamptz
);

-- Everything said to the bot, by customers, by staff in WeCom, by people at the desk: one line per conversation.
create table inbox (
    id bigint generated always as identity primary key,
    thread_id text not null,
    origin text not null check (origin in ('customer', 'staff', 'system', 'desk')),
    account_id text not null,
    message_id text not null,
    kind text not null,
    payload jsonb not null,
    sent_at timestamptz not null,
    received_at timestamptz not null default now(),
    turn_id text,
    attempts int not null default 0,
    handled_at timestamptz,
    outcome text,
    unique (account_id, message_id)
);
create index inbox_unhandled on inbox (thread_id, id) where handled_at is null;
create index inbox_thread on inbox (thread_id, id);

-- Everything said by the bot, to the customer and to the desk; message_key makes a repeated write harmless.
create table outbox (
    id bigint generated always as identity primary key,
    thread_id text not null,
    destination text not null check (destination in ('customer', 'desk')),
    message_key text not null unique,
    turn_id text not null,
    part text not null,
    payload jsonb not null,
    state text not null default 'pending' check (state in ('pending', 'sent', 'failed')),
    attempts int not null default 0,
    last_error text,
    created_at timestamptz not null default now(),
    tried_at timestamptz,
    sent_at timestamptz
);
create index outbox_pending on outbox (thread_id, destination, id) where state = 'pending';

create table tickets (
    ticket_id text primary key,
    thread_id text not null,
    reason text not null,
    draft text not null default '',
    opened_at timestamptz not null default now(),
    draft_sent_at timestamptz,
    closed_at timestamptz
);
create index tickets_open on tickets (thread_id) where closed_at is null;

-- Where a conversation lives at the desk, and which desk message belongs to it.
create table desk_places (
    thread_id text primary key,
    chat_id bigint not null,
    topic_id bigint
);
create unique index desk_places_topic on desk_places (chat_id, topic_id) where topic_id is not null;

create table desk_messages (
    chat_id bigint not null,
    message_id bigint not null,
    thread_id text not null,
    primary key (chat_id, message_id)
);

create table unknown_questions (
    id bigint generated always as identity primary key,
    content text not null,
    user_id text not null,
    created_at timestamptz not null default now(),
    ticket_id text unique,
    thread_id text,
    reason text,
    confidence double precision
);

create table knowledge_chunks (
    id uuid primary key default gen_random_uuid(),
    content text not null,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    embedding vector,
    embedding_model text,
    content_hash text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index knowledge_chunks_waiting on knowledge_chunks (created_at) where embedding is null;
create index knowledge_chunks_source on knowledge_chunks ((metadata ->> 'source'));
comment on column knowledge_chunks.embedding is 'made by the service; leave it empty when inserting by hand';

-- A row edited by hand needs a new embedding.
create function knowledge_chunks_touch() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    if (new.content, new.metadata) is distinct from (old.content, old.metadata)
       and new.embedding is not distinct from old.embedding then
        new.embedding := null;
        new.embedding_model := null;
    end if;
    return new;
end $$;
create trigger knowledge_chunks_touch before update on knowledge_chunks
    for each row execute function knowledge_chunks_touch();
