-- A mark of the base's state: every statement that changes the chunks leaves a row, whoever runs it.
create table knowledge_changes (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now()
);
create function knowledge_chunks_changed() returns trigger language plpgsql as $$
begin
    insert into knowledge_changes default values;
    return null;
end $$;
create trigger knowledge_chunks_changed after insert or update or delete or truncate on knowledge_chunks
    for each statement execute function knowledge_chunks_changed();

-- The fitted confidence; the latest one of a model counts.
create table calibrations (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    embedding_model text not null,
    knowledge_version text not null,
    body jsonb not null
);
create index calibrations_latest on calibrations (embedding_model, id desc);
comment on column calibrations.knowledge_version is 'the state of the base it was fitted to, see knowledge_changes';
