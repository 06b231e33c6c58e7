"""Two replicas on PostgreSQL: stopped, killed, cut off from a database that restarts or stalls."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import schedules
from tests.faults.background_load import checks_since, under_load
from tests.faults.conftest import Opener
from tests.faults.database_proxy import DatabaseProxy, run_with_proxies
from tests.faults.installation import Installation, create_installation, run_installation
from tests.faults.nemesis import (
    audit_stored_in,
    backend_pids,
    end_backends,
    fill_wal_until_it_ends,
    locked_tables,
    move_wal_to,
    restarting,
    small_disk,
    stopped,
)
from tests.faults.recording_client import Client
from tests.faults.revocation_storm import run_revocation_storm
from tests.faults.rules import LONGEST_RECOVERY_SECONDS
from tests.faults.shifted_clock import set_clock
from tests.fixtures.databases.postgres import Server, running_server

pytestmark = [pytest.mark.faults, pytest.mark.needs("postgres")]

REVOCATIONS = 2_000
STORM_SECONDS = 5.0
LEAST_CUT = 0.5
FEWEST = 100
"""So many must have been possible even on a slow machine, or the test proves little."""


@pytest.mark.proves("R48", "R79", "R109", "I1", "I2", "I3", "I6", "I7", "I8", "T-07", "T-54")
def test_revoked_here_denied_there(postgres_installation: Opener, record_property: Any) -> None:
    here = postgres_installation()
    count = run_revocation_storm(here, REVOCATIONS, STORM_SECONDS, minimum=FEWEST)
    record_property("revocations", count)
    print(f"{count} revocations")
    assert count >= FEWEST
    assert here.violations() == []
    for schedule in (schedules.revoke_and_check, schedules.end_and_check, schedules.refuse_at_once):
        schedule(here)
        assert here.violations() == [], schedule.__name__


@pytest.mark.proves("R48", "R102", "R109", "I1", "I2", "I3", "I4", "I5", "I7", "I8", "I9", "I10", "T-05", "T-54")
def test_replicas_are_stopped_and_killed(postgres_installation: Opener) -> None:
    here = postgres_installation()
    first, second = here.services
    with under_load(here, 6):
        time.sleep(0.5)
        with here.recorder.fault("pause"):
            second.send_signal(signal.SIGSTOP)
            time.sleep(2.2)
            second.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        with here.recorder.fault("kill"):
            first.kill()
            time.sleep(0.5)
            first.start(wait=False)
        first.wait_ready()
        time.sleep(0.5)
    assert here.violations() == []


@pytest.mark.proves("R48", "I3", "T-07", "T-54")
def test_a_revocation_on_one_replica_while_the_other_stands_still(postgres_installation: Opener) -> None:
    """Requests that wait in the stopped replica are judged by what holds when it goes on."""
    here = postgres_installation()
    second = here.services[1]
    grantor = Client(here, "grantor")
    deciders = [Client(here, f"decider-{number}", 1) for number in range(4)]
    session = deciders[0].open_session("u0", "p0")
    assert session is not None
    grantor.grant("u0", "p0")
    for decider in deciders:
        assert decider.check(session).result == "allowed"
    with here.recorder.fault("pause"):
        second.send_signal(signal.SIGSTOP)
        threads = [threading.Thread(target=decider.check, args=(session,)) for decider in deciders]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        grantor.revoke("u0", "p0")
        time.sleep(2.2)
        second.send_signal(signal.SIGCONT)
    for thread in threads:
        thread.join(20)
    results = [op.result for op in here.recorder.ops() if op.op == "check"][len(deciders) :]
    assert set(results) <= {"denied", "unavailable"}
    assert deciders[0].check(session).result == "denied"
    assert here.violations() == []


@pytest.mark.proves("R79", "R105", "I8", "I10")
def test_the_database_stalls(postgres_installation: Opener) -> None:
    """A table is locked, then every backend stands still, then every backend is killed."""
    here = postgres_installation()
    assert here.database is not None
    with under_load(here, 7):
        time.sleep(0.5)
        with here.recorder.fault("locked"), locked_tables(here.database):
            time.sleep(0.5)
            start = time.monotonic_ns()
            time.sleep(2.2)
            assert here.service.status("/livez") == http.client.OK
            end = time.monotonic_ns()
        _nothing_allowed(here, start, end)
        time.sleep(1)
        with here.recorder.fault("backends-stopped"):
            pids = backend_pids(here.database)
            assert pids
            with stopped(*pids):
                time.sleep(2.3)
                assert here.service.status("/livez") == http.client.OK
        time.sleep(1)
        with here.recorder.fault("backends-ended"):
            end_backends(here.database)
        time.sleep(0.5)
    assert here.violations() == []


@pytest.mark.proves("R93", "R108", "T-37", "I2", "I7", "I8", "I10")
def test_the_disk_of_the_audit_fills(postgres_installation: Opener, postgres_server: Server) -> None:
    """No row, no decision; health stays, and with room again all goes on without a restart."""
    here = postgres_installation()
    assert here.database is not None
    disk, owner = postgres_server.folder / "small", postgres_server.folder.stat()
    with small_disk(disk, 4, (owner.st_uid, owner.st_gid)) as turn, audit_stored_in(here.database, disk):
        here.start_history()
        with under_load(here, 12):
            time.sleep(0.5)
            with here.recorder.fault("full"):
                start = time.monotonic_ns()
                turn()
                # Some rows fit into the pages that are there; `violations` misses each one that was answered without.
                checks_since(here, start, 3, "unavailable")
                for one in here.services:
                    assert one.status("/livez") == http.client.OK
                turn()
            time.sleep(0.5)
        assert here.violations() == []
        for one in here.services:
            one.stop()


# What is behind us is removed, and nothing made in advance: each file of the log needs room when it is begun.
LOG = ("min_wal_size=32MB", "max_wal_size=32MB", "wal_recycle=off", "restart_after_crash=off")


@pytest.mark.proves("R93", "R102", "R108", "T-37", "I1", "I2", "I7", "I8", "I10")
def test_the_disk_of_the_database_s_log_fills(tmp_path: Path) -> None:
    """PostgreSQL panics where its log cannot grow; with room again, and started again, all goes on."""
    with running_server() as first:
        secrets, owner = create_installation(tmp_path / "installation", first.url()), first.folder.stat()
        first.kill(signal.SIGINT)
        disk = first.folder / "small"
        with small_disk(disk, 128, (owner.st_uid, owner.st_gid)) as turn:
            move_wal_to(first.folder / "data", disk)
            with (
                running_server(*LOG, copy_of=first.folder) as server,
                restarting(server) as restart,
                run_installation(tmp_path / "installation", secrets, server.url(), replicas=2) as here,
            ):
                with under_load(here, 13):
                    time.sleep(0.5)
                    with here.recorder.fault("full"):
                        turn()
                        fill_wal_until_it_ends(server)
                        assert "No space left on device" in (server.folder / "log").read_text()
                        start = time.monotonic_ns()
                        checks_since(here, start, 3, "unavailable")
                        for one in here.services:
                            assert one.status("/livez") == http.client.OK
                        _nothing_allowed(here, start, time.monotonic_ns())
                        turn()
                        restart(0)  # it has ended already
                    time.sleep(0.5)
                assert here.violations() == []


@pytest.mark.proves("R102", "R105", "I1", "I2", "I7", "I8", "I10")
def test_the_database_restarts(tmp_path: Path) -> None:
    """As after a crash, from its log; then after its parent process alone was killed."""
    with running_server() as server, restarting(server) as restart:
        url = server.url()
        secrets = create_installation(tmp_path / "installation", url)
        with run_installation(tmp_path / "installation", secrets, url, replicas=2) as here:
            with under_load(here, 8):
                for number in (signal.SIGQUIT, signal.SIGKILL):
                    time.sleep(0.7)
                    with here.recorder.fault("restart", signal=number):
                        restart(number)
                    time.sleep(1)
            assert here.violations() == []
            assert any(op.result == "unavailable" for op in here.recorder.ops()), "the fault had no effect"


@pytest.fixture
def proxied_installation(
    postgres_installation: Opener, postgres_server: Server
) -> Iterator[tuple[Installation, list[DatabaseProxy]]]:
    """Two replicas, each with a proxy of its own to the database."""
    here = postgres_installation(start=False)
    with run_with_proxies(here, postgres_server.port) as laid:
        yield here, laid


@pytest.mark.proves("R48", "R79", "R102", "R105", "I1", "I2", "I3", "I4", "I7", "I8", "I10")
def test_the_wire_to_the_database(proxied_installation: tuple[Installation, list[DatabaseProxy]]) -> None:
    """One replica's wire is cut, then stands still, then loses the answers to what was sent; the other one goes on."""
    here, (_, wire) = proxied_installation
    second = here.services[1]
    with under_load(here, 10):
        time.sleep(0.5)
        for name, fault in (
            ("cut", wire.cut),
            ("stalled", wire.stalled),
            ("answers-lost", wire.losing_responses),
            ("half-open", wire.half_open),
        ):
            with here.recorder.fault(name), fault():
                time.sleep(LEAST_CUT)
                start = time.monotonic_ns()
                time.sleep(1)
                assert second.status("/livez") == http.client.OK, name
                end = time.monotonic_ns()
            _nothing_allowed(here, start, end, of=1)
            second.wait_ready(LONGEST_RECOVERY_SECONDS)
            time.sleep(0.3)
    assert here.violations() == []
    unavailable = [op for op in here.recorder.ops() if op.result == "unavailable"]
    assert unavailable, "the fault had no effect"


@pytest.mark.proves("R109", "T-43", "I8")
def test_a_replica_whose_clock_is_off_is_not_ready(postgres_installation: Opener, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    here = postgres_installation(module=("tests.faults.shifted_clock", str(clock)), replicas=1)
    assert here.service.ready()
    for seconds in (45, -45):
        set_clock(clock, seconds)
        assert here.service.status("/readyz") == http.client.SERVICE_UNAVAILABLE
    set_clock(clock, 1)
    assert here.service.ready()


def _nothing_allowed(here: Installation, start: int, end: int, *, of: int | None = None) -> None:
    """No request was answered in that time, or none of one replica."""
    ops = here.recorder.ops()
    inside = [op for op in ops if op.op == "check" and op.call_ns > start and op.ret_ns and op.ret_ns < end]
    if of is not None:
        inside = [op for op in inside if int(op.client.rpartition("-")[2]) % len(here.services) == of]
    assert not [op for op in inside if op.result in ("allowed", "denied")], "decided without a row"
