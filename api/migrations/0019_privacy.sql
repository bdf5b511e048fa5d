-- Which keys of DATA_ENCRYPTION_KEY have sealed data here: a start without one of them is refused, before anybody sees
-- what cannot be read. The ids say nothing about the keys.
create table encryption_keys (
    key_id text primary key,
    first_used_at timestamptz not null default now()
);

-- One person asks to be forgotten: what was done stays, that it concerned them goes.
create function audit_log_erase(customer text, threads text[]) returns bigint
language sql set kefu.audit_maintenance = 'on' as $$
    with changed as (
        update audit_log
        set thread_id = null, detail = '{}',
            subject = case when strpos(coalesce(subject, ''), customer) > 0 then null else subject end
        where thread_id = any(threads) or strpos(coalesce(subject, ''), customer) > 0
            or strpos(detail::text, customer) > 0
        returning 1
    )
    select count(*) from changed;
$$;
comment on function audit_log_erase is 'takes a person out of the log; returns how many rows it changed';

-- Whoever is forgotten takes their words about messages along; nothing else is ever taken out of that ledger.
create or replace function outreach_consents_refuse() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('kefu.audit_maintenance', true) = 'on' then
        return old;
    end if;
    raise exception 'outreach_consents is only ever added to' using errcode = 'insufficient_privilege';
end $$;
create function outreach_consents_erase(customer text) returns bigint
language sql set kefu.audit_maintenance = 'on' as $$
    with gone as (delete from outreach_consents where customer_id = customer returning 1)
    select count(*) from gone;
$$;
