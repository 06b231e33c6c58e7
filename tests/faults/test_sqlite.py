"""One service on SQLite that is killed, locked out, out of space and out of time, under load."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from aizen_hub.store.failpoints import SERVICE_POINTS
from tests.faults.background_load import checks_since, under_load
from tests.faults.conftest import Opener
from tests.faults.installation import ADMIN, ADMINS
from tests.faults.nemesis import file_size_limited, small_disk, sqlite_locked_by_another_process
from tests.faults.recording_client import Client
from tests.faults.shifted_clock import set_clock

pytestmark = pytest.mark.faults

LONGEST = 30
NTH = 5
"""How often a service passes a point before it dies there."""


@pytest.mark.proves("R93", "R95", "R102", "I1", "I2", "I3", "I6", "I7", "I8", "I9", "I10", "T-45")
def test_killed_at_any_moment(sqlite_installation: Opener) -> None:
    here, dice = sqlite_installation(), random.Random(20_26)
    with under_load(here, 1):
        for _ in range(2):
            time.sleep(dice.uniform(0.3, 1.0))
            with here.recorder.fault("kill"):
                here.service.kill()
                here.service.start(wait=False)
            here.service.wait_ready()
        time.sleep(0.5)
    assert here.violations() == []


@pytest.mark.proves("R93", "R102", "I1", "I2", "I3", "I4", "I7", "T-45")
def test_killed_between_deciding_and_answering(sqlite_installation: Opener) -> None:
    points = sorted(SERVICE_POINTS)
    here = sqlite_installation(start=False)
    here.service.start(kill_at=f"{points[0]}:{NTH}")
    here.start_history()
    with under_load(here, 9, pause=0.005):
        for point, following in zip(points, [*points[1:], None], strict=True):
            with here.recorder.fault("kill", point=point):
                assert here.service.wait_dead(LONGEST), f"it never came to {point}"
                assert here.service.process is not None
                assert here.service.process.returncode == -signal.SIGKILL, point
                here.service.start(kill_at=following and f"{following}:{NTH}", wait=False)
        here.service.wait_ready()
        time.sleep(0.5)
    assert here.violations() == []


@pytest.mark.proves("R103", "R105", "I4", "T-45")
def test_what_is_sent_again_was_done_once(sqlite_installation: Opener) -> None:
    """The service dies after it committed a grant and before it answers; the client sends it again with its key."""
    here = sqlite_installation(kill_at="before-answer:1")
    client = Client(here, "grantor")
    thread = threading.Thread(target=client.grant, args=("u0", "p0"))
    with here.recorder.fault("kill"):
        thread.start()
        assert here.service.wait_dead(LONGEST)
        here.service.start(wait=False)
    here.service.wait_ready()
    thread.join(LONGEST)
    (granted,) = [op for op in here.recorder.ops() if op.op == "grant"]
    assert (granted.result, granted.observed["replayed"]) == ("done", True)
    assert here.violations(recovers=False) == []


@pytest.mark.proves("R79", "R107", "I8", "I10")
def test_locked_by_another_process(sqlite_installation: Opener) -> None:
    here = sqlite_installation()
    with under_load(here, 2):
        time.sleep(0.5)
        with here.recorder.fault("locked"), sqlite_locked_by_another_process(here.settings.data_dir):
            inside = checks_since(here, time.monotonic_ns())
            assert here.service.status("/livez") == http.client.OK
        time.sleep(0.5)
    assert {op.result for op in inside} == {"unavailable"}, "nothing can be decided that cannot be recorded"
    assert here.violations() == []


@pytest.mark.proves("R93", "R108", "T-37", "I2", "I7", "I8", "I10")
def test_no_room_for_the_audit(sqlite_installation: Opener) -> None:
    """The files may not grow any more, as on a full disk or a used-up quota; then they may again, without a restart."""
    here = sqlite_installation()
    with under_load(here, 3):
        time.sleep(0.5)
        with here.recorder.fault("full"), file_size_limited(here.service.pid):
            time.sleep(1)
            inside = checks_since(here, time.monotonic_ns())
            assert here.service.status("/livez") == http.client.OK
        time.sleep(0.5)
    assert {op.result for op in inside} == {"unavailable"}
    assert here.violations() == []


@pytest.mark.proves("R108", "T-37", "I8", "I10")
def test_a_small_disk_fills(sqlite_installation: Opener, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    # The log alone takes 16 MB before SQLite begins it anew: on less room it would be full without being filled.
    with small_disk(disk, 64) as turn:
        here = sqlite_installation(at=disk / "installation")
        with under_load(here, 4):
            time.sleep(0.5)
            with here.recorder.fault("full"):
                start = time.monotonic_ns()
                turn()
                # What the files have room for already goes on; then nothing does.
                checks_since(here, start, 3, "unavailable")
                assert here.service.status("/livez") == http.client.OK
                turn()
            time.sleep(0.5)
        assert here.violations() == []
        here.service.stop()


HOUR = 3600.0
TEN_YEARS = 87_600 * HOUR


@pytest.mark.proves("R101", "R135", "T-43", "I7", "I8")
def test_the_clock_jumps(sqlite_installation: Opener, tmp_path: Path) -> None:
    """Under load; tokens live by the clock, deadlines and the order of the audit do not, and nothing is minted."""
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    here = sqlite_installation(module=("tests.faults.shifted_clock", str(clock)))
    client = Client(here, "decider")
    old = client.open_session(ADMINS[0], "p0", "old")
    assert old is not None
    assert client.check(old, ADMIN).result == "allowed"
    with under_load(here, 5):
        for offset in (HOUR, -HOUR, TEN_YEARS, -TEN_YEARS):
            with here.recorder.fault("clock", offset=offset):
                set_clock(clock, offset)
                time.sleep(0.7)
                assert client.check(old, ADMIN).result == "refused", f"a token of another time counts at {offset}"
                assert client.open_session(ADMINS[0], "p0", f"new{offset}") is None, f"a token was minted at {offset}"
                assert here.service.status("/readyz") == http.client.SERVICE_UNAVAILABLE
        set_clock(clock, 0)
    assert here.service.ready()
    new = client.open_session(ADMINS[0], "p0", "new")
    assert new is not None
    assert client.check(new, ADMIN).result == "allowed"
    assert here.violations() == []


@pytest.mark.proves("R46", "R79", "I8")
def test_the_hub_is_dead(sqlite_installation: Opener, tmp_path: Path) -> None:
    """Running kernels are judged as before; a session that no hub has named for long gets no new token."""
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    session = {"hub_down_grace_seconds": 60, "heartbeat_seconds": 10}
    here = sqlite_installation(module=("tests.faults.shifted_clock", str(clock)), session=session)
    client = Client(here, "decider")
    assert client.grant("u0", "p0").result == "done"
    credential, kept = client.open_with_credential("u0", "p0")
    assert client.check(kept).result == "allowed"
    assert client.renew(credential).status == http.client.OK
    client.send("POST", "/api/v1/sessions/heartbeat", {"live": [{"user": "u0", "server": "p0"}]}, here.hub_secret)
    set_clock(clock, 120)
    assert client.check(kept).result == "allowed", "the token is good for ten minutes"
    refused = client.renew(credential)
    assert refused.status == http.client.BAD_REQUEST, refused
    client.revoke("u0", "p0")
    assert client.check(kept).result == "denied"
    assert here.violations() == []
