"""What is done to a service and to what it stands on."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.databases.postgres import Server, wait_until_ready

_STARTS = 20
_FILES = 20
_END_SECONDS = 20.0
_HOLD = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
conn.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def sqlite_locked_by_another_process(data_dir: Path) -> Iterator[None]:
    """Let another process hold the write lock of the SQLite database."""
    path = data_dir / "aizen.sqlite"
    other = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
    finally:
        other.communicate(timeout=20)


@contextmanager
def file_size_limited(pid: int) -> Iterator[None]:
    """Let no file of a process grow any more, as on a full disk or a used-up quota."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(mount_point: Path, megabytes: int, owner: tuple[int, int] | None = None) -> Iterator[Callable[[], None]]:
    """Make a small file system; the function fills it to its last byte and empties it again when called once more.

    Parameters
    ----------
    owner : tuple of int, optional
        User and group, where they are others than ours.
    """
    owner_options = "" if owner is None else f",uid={owner[0]},gid={owner[1]}"
    options = f"size={megabytes}m,mode=0700{owner_options}"
    mount_point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount_point)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no file system may be mounted here")
    filler = mount_point / "filler"

    def toggle_full() -> None:
        if filler.exists():
            filler.unlink()
            return
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 512):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    try:
        yield toggle_full
    finally:
        subprocess.run(["umount", "-l", str(mount_point)], check=True)


def move_wal_to(data: Path, folder: Path) -> None:
    """Let PostgreSQL, which does not run, keep its write-ahead log in a folder of its own."""
    subprocess.run(["mv", str(data / "pg_wal"), str(folder)], check=True)
    (data / "pg_wal").symlink_to(folder / "pg_wal")


def fill_wal_until_it_ends(server: Server) -> None:
    """Let PostgreSQL begin one file of its log after the other, until there is room for no more and it ends itself."""
    import psycopg

    for _ in range(_FILES):
        try:
            with psycopg.connect(server.url(), autocommit=True, connect_timeout=2) as conn:
                conn.execute("SELECT pg_logical_emit_message(false, 'test', 'to have something in it')")
                conn.execute("SELECT pg_switch_wal()")
        except psycopg.OperationalError:
            break
    deadline = time.monotonic() + _END_SECONDS
    while os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        assert time.monotonic() < deadline, f"it runs on: {(server.folder / 'log').read_text()[-2000:]}"
        time.sleep(0.05)


@contextmanager
def audit_stored_in(url: str, folder: Path) -> Iterator[None]:
    """Let PostgreSQL keep the audit and all that belongs to it in a folder of its own, as long as the block."""
    import psycopg

    def move(to: str) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            for (index,) in conn.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'audit'").fetchall():
                conn.execute(f"ALTER INDEX {index} SET TABLESPACE {to}")
            conn.execute(f"ALTER TABLE audit SET TABLESPACE {to}")

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
    move("small")
    try:
        yield
    finally:
        move("pg_default")
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("DROP TABLESPACE small")


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Let processes stand still, as a long pause of a machine does."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def locked_tables(url: str) -> Iterator[None]:
    import psycopg

    with psycopg.connect(url) as conn:
        conn.execute("LOCK TABLE revision, audit IN ACCESS EXCLUSIVE MODE")
        yield
        conn.rollback()


def backend_pids(url: str) -> list[int]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return [row[0] for row in rows]


def end_backends(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@contextmanager
def restarting(server: Server) -> Iterator[Callable[[int], None]]:
    """Yield a function that ends the server with a signal and starts it anew, with the same command line."""
    line = Path(f"/proc/{server.pid}/cmdline").read_bytes().split(b"\0")[:-1]
    command = [part.decode() for part in line]
    owner = (server.folder / "data").stat()
    running: list[subprocess.Popen[bytes]] = []

    def end(number: int) -> None:
        if running:
            running[-1].send_signal(number)
            running[-1].wait(30)
        else:
            os.kill(server.pid, number)
            os.waitpid(server.pid, 0)

    def start() -> subprocess.Popen[bytes]:
        owner_arguments: dict[str, Any] = {} if os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid}
        with (server.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=server.folder, start_new_session=True, **owner_arguments
            )

    def restart(number: int) -> None:
        end(number)
        for attempts_left in reversed(range(_STARTS)):
            running.append(start())
            try:
                wait_until_ready(server, running[-1])
                return
            except RuntimeError:
                # The backends of a postmaster that was killed keep its shared memory until they notice.
                if not attempts_left or running[-1].poll() is None:
                    raise
                time.sleep(0.3)

    try:
        yield restart
    finally:
        if running:
            running[-1].send_signal(signal.SIGINT)
            running[-1].wait(30)
