-- Every search looks at how many changes there were, so that only the recent ones stay. Removed together with a new one:
-- that alone is no change of the base. Rows another transaction is removing are left to it.
create or replace function knowledge_chunks_changed() returns trigger language plpgsql as $$
begin
    insert into knowledge_changes default values;
    delete from knowledge_changes where id in (
        select id from knowledge_changes where created_at < now() - interval '1 hour'
        order by id limit 100 for update skip locked
    );
    return null;
end $$;
create index knowledge_changes_age on knowledge_changes (created_at);

-- How many rows a model has, and which; both are asked at every import.
create index knowledge_chunks_model on knowledge_chunks (embedding_model);
