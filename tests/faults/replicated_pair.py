"""Two PostgreSQL servers, one of which follows the other, and the address that moves when it takes over."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from tests.faults.database_proxy import DatabaseProxy
from tests.fixtures.databases.postgres import Server, running_server

_SECONDS = 40.0


@dataclass
class ReplicatedPair:
    """A primary with a standby that streams from it.

    Attributes
    ----------
    address : Wire
        What services connect to: the primary, and after `fail_over` what was the standby.
    link : Wire
        What the standby streams through.
    """

    primary: Server
    standby: Server
    address: DatabaseProxy
    link: DatabaseProxy

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Let the standby hear no more of the primary: what it was not sent before, it misses."""
        with self.link.cut():
            _until(self.standby, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
            yield

    def caught_up(self) -> None:
        """Wait until the standby has all that the primary wrote until now."""
        with psycopg.connect(self.primary.url(), autocommit=True) as conn:
            row = conn.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        _until(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{row[0]}'::pg_lsn")

    def fail_over(self) -> None:
        """Kill the primary, as a crash does; promote the standby, and move the address to it."""
        with self.address.cut():
            self.kill_primary()
            self.promote_standby()
            self.address.target = self.standby.port

    def kill_primary(self) -> None:
        """End the primary as a crash does: without notice to clients."""
        # An immediate shutdown. After SIGKILL its shared memory would outlive the test.
        self.primary.kill(signal.SIGQUIT)

    def promote_standby(self) -> None:
        """Let the standby take over, at its own address."""
        with psycopg.connect(self.standby.url(), autocommit=True) as conn:
            assert conn.execute("SELECT pg_promote(true, 20)").fetchone() == (True,)

    @property
    def both_addresses(self) -> str:
        """The URL with both servers, of which libpq chooses the one that accepts writes."""
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        url = make_url(self.primary.url())
        return f"postgresql://{url.username}@/{url.database}?{hosts}&target_session_attrs=read-write"


@contextmanager
def running_pair(template: Path, *, synchronous: bool) -> Iterator[ReplicatedPair]:
    """Start both from the same files.

    Parameters
    ----------
    sqlite_template : Path
        The folder of a server that has ended.
    synchronous : bool
        Whether a commit on the primary waits until the standby has it.
    """
    options = ["synchronous_standby_names=*"] if synchronous else []
    with running_server(*options, "wal_keep_size=256MB", copy_of=template) as primary:
        link, address = DatabaseProxy(primary.port), DatabaseProxy(primary.port)
        try:
            with running_server("wal_retrieve_retry_interval=200ms", copy_of=template, follows=link.port) as standby:
                expected = "sync" if synchronous else "async"
                _until(primary, f"SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = '{expected}'")
                yield ReplicatedPair(primary, standby, address, link)
        finally:
            address.close()
            link.close()


def _until(server: Server, question: str) -> None:
    end = time.monotonic() + _SECONDS
    with psycopg.connect(server.url(), autocommit=True) as conn:
        while conn.execute(question).fetchone() != (True,):  # type: ignore[arg-type]
            assert time.monotonic() < end, f"not in time: {question}"
            time.sleep(0.02)
