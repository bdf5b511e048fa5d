# Read by backup.sh and restore.sh: the database's address, and where PostgreSQL's programs are.
# shellcheck shell=bash

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Sets `base` to the address without its password, which goes to PGPASSWORD: a command line is seen by everybody.
find_database() {
  [[ -n "${KB_DB_URL:-}" ]] || fail "KB_DB_URL: missing; set it to the database, postgresql://user:password@host:5432/database"
  base="$KB_DB_URL"
  if [[ "$KB_DB_URL" =~ ^(postgres(ql)?://[^:/?@]*):([^@/?]*)@(.*)$ ]]; then
    base="${BASH_REMATCH[1]}@${BASH_REMATCH[4]}"
    local password="${BASH_REMATCH[3]//\\/\\\\}"
    if [[ -n "$password" ]]; then
      PGPASSWORD="$(printf '%b' "${password//%/\\x}")"
      export PGPASSWORD
    fi
  elif [[ ! "$KB_DB_URL" =~ ^postgres(ql)?:// ]]; then
    fail "KB_DB_URL: is not a PostgreSQL URL; example: postgresql://user:password@host:5432/database"
  fi
  if [[ -n "${PG_BIN:-}" ]]; then
    PATH="$PG_BIN:$PATH"
  fi
  export PGAPPNAME="kefu-backup" PGCONNECT_TIMEOUT="${PGCONNECT_TIMEOUT:-10}"
}

need() {
  local name
  for name in "$@"; do
    command -v "$name" >/dev/null || fail "$name: not found; install PostgreSQL's client programs, or set PG_BIN to their folder"
  done
}

ask() {
  psql --no-psqlrc --no-password --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --dbname "$base" --command "$1"
}

# Debian's sha256sum and macOS' shasum write and read the same lines.
checksum() {
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}
