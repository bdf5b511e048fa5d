-- Who did what, by hand or at the desk. Rows are only ever added; two functions are the way out, for what is old and for
-- customers who are forgotten.
create table audit_log (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    actor text not null,
    action text not null,
    ticket_id text,
    thread_id text,
    subject text,
    detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object')
);
comment on column audit_log.actor is 'cli:<user of the machine>, desk:<name>, bot';
comment on column audit_log.action is 'what was done to what kind of thing: draft.approved, outbox.retried';
comment on column audit_log.subject is 'which one: the id of a draft, of an outbox row';
create index audit_log_created on audit_log (created_at);
create index audit_log_thread on audit_log (thread_id) where thread_id is not null;
create index audit_log_ticket on audit_log (ticket_id) where ticket_id is not null;

create function audit_log_refuse() returns trigger language plpgsql as $$
begin
    if current_setting('kefu.audit_maintenance', true) = 'on' then
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    raise exception 'audit_log is only ever added to' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_log_refuse before update or delete on audit_log
    for each row execute function audit_log_refuse();
create trigger audit_log_refuse_truncate before truncate on audit_log
    for each statement execute function audit_log_refuse();

create function audit_log_expire(before timestamptz, at_most int) returns bigint
language sql set kefu.audit_maintenance = 'on' as $$
    with gone as (
        delete from audit_log where id in (
            select id from audit_log where created_at < before order by created_at limit at_most
        ) returning 1
    )
    select count(*) from gone;
$$;
comment on function audit_log_expire is 'deletes rows older than that, the oldest first; returns how many';

create function audit_log_forget(threads text[]) returns bigint
language sql set kefu.audit_maintenance = 'on' as $$
    with changed as (
        update audit_log set thread_id = null, detail = '{}' where thread_id = any(threads) returning 1
    )
    select count(*) from changed;
$$;
comment on function audit_log_forget is 'what was done stays, with whom is gone; returns how many';
