-- Who may reach what over HTTP. What lets somebody in is stored as a hash: a copy of the database opens nothing.

create table api_tokens (
    name text primary key check (name <> ''),
    token_hash bytea not null unique,
    scopes text[] not null check (scopes <> '{}'),
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz
);
comment on column api_tokens.token_hash is 'sha-256; the token is random, so nothing slower is needed';
comment on column api_tokens.expires_at is 'null: it does not expire';

create table console_users (
    name text primary key check (name <> ''),
    password_hash text not null,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);
comment on column console_users.password_hash is 'argon2id, with its parameters and salt';

create table console_sessions (
    id_hash bytea primary key,
    name text not null references console_users on delete cascade,
    created_at timestamptz not null,
    last_seen_at timestamptz not null
);
create index console_sessions_name on console_sessions (name);

create table console_lockouts (
    key text primary key,
    failures int not null,
    last_failed_at timestamptz not null,
    locked_until timestamptz
);
comment on column console_lockouts.key is 'account:<sha-256 of the name>, or address:<network>';

create table callback_addresses (
    is_only boolean primary key default true check (is_only),
    networks text[] not null,
    fetched_at timestamptz not null
);
comment on table callback_addresses is 'from where WeCom calls, as it last said; used with WECOM_CALLBACK_ALLOWED_IPS=auto';
