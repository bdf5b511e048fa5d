"""Checks of the database, the knowledge base in it, and what recently went wrong according to it."""

from __future__ import annotations

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from api.database import Row, open_pool
from api.doctor.checks import Check, TroubleError
from api.errors import ApiError
from api.migrate import pending, shipped
from kb.embeddings import make_embedder
from kb.settings import KbSettings
from kb.vector_index import check_model

VECTORS = "vectors"
"""The check that needs to know the embedding model."""
HINT = "check that PostgreSQL runs, that this server reaches it, and KB_DB_URL"
START = "start `kefu serve` or `kefu worker`; if one runs, its log says why it does not get on"

_KNOWLEDGE = r"""
select count(*) as rows,
       count(*) filter (where embedding is null and content ~ '\S' and updated_at < now() - interval '1 minute') as late
from knowledge_chunks"""

_OUTBOX = """
select (select count(*) from outbox where state in ('failed', 'unknown') and created_at > now() - interval '1 day')
           as failed,
       (select count(*) from outbox where state in ('pending', 'sending')
           and created_at < now() - interval '5 minutes') as late"""

_INBOX = """
select count(*) as late from inbox where handled_at is null and received_at < now() - interval '5 minutes'"""

# Housekeeping (with a queueing_lock) is added anew all the time; a leftover of the last run says nothing.
_JOBS = """
select count(*) filter (where job.status = 'todo' and queueing_lock is null
           and coalesce(scheduled_at, event.first) < now() - interval '5 minutes') as late,
       count(*) filter (where job.status = 'doing' and (event.last < now() - interval '10 minutes'
           or coalesce(worker.last_heartbeat, '-infinity') < now() - interval '1 minute')) as stuck,
       (select count(*) from procrastinate_workers where last_heartbeat > now() - interval '1 minute') as workers
from procrastinate_jobs job
left join procrastinate_workers worker on worker.id = job.worker_id
left join lateral (select min(at) as first, max(at) as last from procrastinate_events where job_id = job.id) event
    on true
where job.status in ('todo', 'doing')"""

_UNVERIFIED = """
select count(*) as refused from inbox
where kind = 'msg_send_fail' and payload ->> 'fail_type' = '8' and received_at > now() - interval '7 days'"""


class StoreChecks:
    """Looks at one database, with a connection for each question; `conninfo` may be why there is none."""

    def __init__(self, conninfo: str | ApiError, kb: KbSettings) -> None:
        self._conninfo = conninfo
        self._kb = kb

    def checks(self) -> list[Check]:
        """List the checks."""
        return [
            Check(name="database", run=self.reachable, hint=HINT),
            Check(name="pgvector", run=self.has_pgvector, hint=HINT, needs="database"),
            Check(name="migrations", run=self.migrated, hint="run `kefu db init`", needs="database"),
            Check(name="knowledge base", run=self.has_knowledge, hint=HINT, needs="database"),
            Check(name=VECTORS, run=self.comparable, hint=HINT, needs="database"),
            Check(name="rows to embed", run=self.embedded, hint=HINT, needs="database"),
            Check(name="outbox", run=self.delivered, hint=HINT, needs="database"),
            Check(name="inbox", run=self.handled, hint=HINT, needs="database"),
            Check(name="jobs", run=self.jobs_move, hint=HINT, needs="database"),
            Check(name="corp verified", run=self.verified, hint=HINT, needs="database"),
        ]

    async def reachable(self) -> str:
        """Connect."""
        if isinstance(self._conninfo, ApiError):
            raise self._conninfo
        await pending(self._conninfo)
        row = await self._row("select current_setting('server_version') as version")
        return f"PostgreSQL {row['version']}"

    async def has_pgvector(self) -> str:
        """Look for the extension."""
        row = await self._row(
            "select (select extversion from pg_extension where extname = 'vector') as version,"
            " exists (select 1 from pg_available_extensions where name = 'vector') as is_installed"
        )
        if row["version"]:
            return f"pgvector {row['version']}"
        if row["is_installed"]:
            raise TroubleError(
                "pgvector is installed, not enabled",
                "run `kefu db init`, or let an administrator run CREATE EXTENSION vector in this database",
            )
        raise TroubleError(
            "pgvector is missing on this PostgreSQL server",
            "install it there (Debian: postgresql-NN-pgvector), or leave KB_DB_URL empty for the embedded server",
        )

    async def migrated(self) -> str:
        """Compare the schema with this version."""
        assert isinstance(self._conninfo, str), "the database was reached"
        waiting = await pending(self._conninfo)
        ours = [migration.name for migration in shipped()]
        if ours[0] in waiting:
            raise TroubleError("the tables are not made yet", "run `kefu db init`")
        applied = await self._rows("select name from schema_migrations order by name")
        newer = [row["name"] for row in applied if row["name"][:4].isdigit() and row["name"] not in ours]
        if newer:
            raise TroubleError(f"the database is newer than this version of kefu ({newer[-1]})", "update kefu")
        if waiting:
            raise TroubleError(f"pending: {', '.join(waiting)}", "run `kefu db init`")
        return f"up to date ({ours[-1]})"

    async def has_knowledge(self) -> str:
        """Count what there is to answer from."""
        rows = (await self._row(_KNOWLEDGE))["rows"]
        if not rows:
            raise TroubleError("it is empty: every question goes to a person", "run `kefu kb import PATH`")
        return f"{rows} rows"

    async def comparable(self) -> str:
        """Compare the model of the stored vectors with the configured one."""
        assert isinstance(self._conninfo, str), "the database was reached"
        embedder = make_embedder(self._kb)
        await self._row("select 1 from knowledge_chunks limit 1")
        async with open_pool(self._conninfo, size=2) as pool:
            await check_model(pool, embedder.model_id)
        return f"all of {embedder.model_id}"

    async def embedded(self) -> str:
        """Look for rows the worker should have embedded by now."""
        late = (await self._row(_KNOWLEDGE))["late"]
        if late:
            raise TroubleError(
                f"{late} rows of knowledge wait for their embedding for over a minute: they are not found", START
            )
        return "none waits"

    async def delivered(self) -> str:
        """Look for messages that did not go out."""
        row = await self._row(_OUTBOX)
        problems = [
            f"{row['failed']} messages failed in the last 24 hours" if row["failed"] else "",
            f"{row['late']} wait for over 5 minutes" if row["late"] else "",
        ]
        if any(problems):
            raise TroubleError(
                ", ".join(filter(None, problems)),
                "the column last_error of table outbox says why" + (f"; {START}" if row["late"] else ""),
            )
        return "nothing failed in the last 24 hours"

    async def handled(self) -> str:
        """Look for messages nobody handles."""
        late = (await self._row(_INBOX))["late"]
        if late:
            raise TroubleError(f"{late} messages wait for over 5 minutes", START)
        return "nothing waits"

    async def jobs_move(self) -> str:
        """Look for jobs nobody does."""
        row = await self._row(_JOBS)
        if row["stuck"]:
            raise TroubleError(
                f"{row['stuck']} jobs are stuck: their worker died or hangs",
                "start `kefu worker` again; a living one takes over what a dead one left",
            )
        if row["late"]:
            state = "no worker runs" if row["workers"] == 0 else f"{row['workers']} workers are behind"
            raise TroubleError(
                f"{row['late']} jobs wait for over 5 minutes, {state}",
                START if row["workers"] == 0 else "start more `kefu worker`; their log says what takes long",
            )
        return f"none is stuck, {row['workers']} workers run"

    async def verified(self) -> str:
        """Look for messages WeCom refused because the corp is not verified."""
        refused = (await self._row(_UNVERIFIED))["refused"]
        if refused:
            raise TroubleError(
                f"WeCom did not deliver {refused} messages in the last 7 days: the corp is not verified",
                "verify it in the WeCom console: 我的企业 → 企业信息 → 企业认证",
            )
        return "no message was refused for it in the last 7 days"

    async def _row(self, statement: str) -> Row:
        rows = await self._rows(statement)
        return rows[0] if rows else {}

    async def _rows(self, statement: str) -> list[Row]:
        assert isinstance(self._conninfo, str), "the database was reached"
        async with await AsyncConnection.connect(self._conninfo, autocommit=True, row_factory=dict_row) as conn:
            return await (await conn.execute(statement.encode())).fetchall()
