-- An id may be a part of somebody else's, or of a hash: what finds one person comes as a regular expression.
drop function audit_log_erase(text, text[]);
create function audit_log_erase(named text, threads text[]) returns bigint
language sql set kefu.audit_maintenance = 'on' as $$
    with changed as (
        update audit_log
        set thread_id = null, detail = '{}', subject = case when subject ~ named then null else subject end
        where thread_id = any(threads) or subject ~ named or detail::text ~ named
        returning 1
    )
    select count(*) from changed;
$$;
comment on function audit_log_erase is 'takes a person out of the log; returns how many rows it changed';
