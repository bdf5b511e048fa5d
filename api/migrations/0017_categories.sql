-- An account with its own categories searches among their rows alone, and looks at all of their vectors.
create index knowledge_chunks_category on knowledge_chunks ((btrim(coalesce(metadata ->> 'category', ''))));
