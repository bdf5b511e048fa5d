#!/usr/bin/env bash
# Writes one backup of kefu's database: backup.sh FOLDER. Safe while kefu runs.
#
#   KB_DB_URL         the database
#   KEFU_BACKUP_KEEP  how many backups stay, the newest ones; default 14
#   PG_BIN            folder of pg_dump, when it is not in PATH; it must not be older than the server
#
# A backup is FOLDER/kefu-<time>.dump with its checksum beside it. Until it is whole it has another name.
# DATA_ENCRYPTION_KEY is not in it: keep a copy of the key where the backups are not.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=postgres.sh
. "$(dirname "$0")/postgres.sh"

[[ $# -eq 1 && "$1" != -* ]] || fail "usage: backup.sh FOLDER"
folder="$1"
keep="${KEFU_BACKUP_KEEP:-14}"
[[ "$keep" =~ ^[1-9][0-9]*$ ]] || fail "KEFU_BACKUP_KEEP: '$keep' is not a number above 0; example: 14"
find_database
need pg_dump pg_restore psql

umask 077
mkdir -p "$folder" || fail "$folder: cannot be made; choose another folder"
cd "$folder"

tables="$(ask "select coalesce(to_regclass('schema_migrations')::text, '')")" || fail "the database does not answer; check KB_DB_URL"
[[ -n "$tables" ]] || fail "the database has no tables of kefu; check KB_DB_URL"

name="kefu-$(date -u +%Y%m%dT%H%M%SZ).dump"
[[ ! -e "$name" ]] || fail "$name: is there already; wait a second and try again"
trap 'rm -f "$name.partial" "$name.sha256.partial"' EXIT
pg_dump --no-password --format=custom --no-owner --no-privileges --dbname "$base" --file "$name.partial" \
  || fail "pg_dump failed; no backup was made"
listed="$(pg_restore --list "$name.partial")" || fail "what pg_dump wrote cannot be read; no backup was made"
[[ "$listed" == *" TABLE DATA "*" inbox "* ]] || fail "what pg_dump wrote has no messages in it; no backup was made"

mv "$name.partial" "$name"
checksum "$name" >"$name.sha256.partial"
mv "$name.sha256.partial" "$name.sha256"

# Only what has a checksum is a backup; the names sort by time.
kept=0
for old in $(printf '%s\n' kefu-*.dump.sha256 | sort -r); do
  kept=$((kept + 1))
  if ((kept > keep)); then
    rm -f "${old%.sha256}" "$old"
  fi
done
echo "$folder/$name ($(wc -c <"$name" | tr -d ' ') bytes)"
