#!/usr/bin/env bash
# Puts a backup into an empty database: restore.sh [--force] FILE.dump
#
#   KB_DB_URL  the database the backup goes into
#   KEFU       the program; default kefu. Empty: `kefu db init` and `kefu doctor` are left to you
#   PG_BIN     folder of pg_restore and psql, when they are not in PATH
#
# All or nothing: when anything fails the database is as it was. A database that has tables is only replaced with --force,
# and never while somebody is connected to it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=postgres.sh
. "$(dirname "$0")/postgres.sh"

force=""
if [[ "${1:-}" == "--force" ]]; then
  force=yes
  shift
fi
[[ $# -eq 1 && "$1" != -* ]] || fail "usage: restore.sh [--force] FILE.dump"
file="$1"
kefu="${KEFU-kefu}"
find_database
need pg_restore psql
[[ -z "$kefu" ]] || command -v "$kefu" >/dev/null || fail "$kefu: not found; set KEFU to the program, or KEFU= to run it yourself"

[[ -r "$file" ]] || fail "$file: cannot be read"
[[ -r "$file.sha256" ]] || fail "$file.sha256: missing; without its checksum nobody knows whether the backup is whole"
(cd "$(dirname "$file")" && checksum --check --status "$(basename "$file").sha256") \
  || fail "$file: is not what was backed up, its checksum differs; take another backup"

tables="$(ask "
  select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype = 'e')
")" || fail "the database does not answer; check KB_DB_URL"
if ((tables > 0)); then
  [[ -n "$force" ]] || fail "the database is not empty ($tables tables); restore into an empty one, or replace all of it with --force"
  others="$(ask "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")"
  ((others == 0)) || fail "the database is in use ($others connections); stop kefu first"
fi

# Nothing counts before the last line, which is only written when pg_restore came to its end.
statements() {
  echo "begin;"
  if ((tables > 0)); then
    echo "drop schema public cascade; create schema public;"
  fi
  # Comments on extensions belong to an administrator.
  pg_restore --no-owner --no-privileges --no-comments --file - "$file" || return 1
  echo "commit;"
}
statements | psql --no-psqlrc --no-password --quiet --set ON_ERROR_STOP=1 --dbname "$base" --output /dev/null \
  || fail "the restore failed, nothing was changed; the lines above say why"
ask "analyze"
echo "restored $file"

if [[ -z "$kefu" ]]; then
  echo "now run: kefu db init && kefu doctor"
  exit 0
fi
"$kefu" db init || fail "the backup is restored, but kefu db init failed"
"$kefu" doctor || fail "the backup is restored; mend what kefu doctor names before you start kefu"
