"""Time for which decisions continue without a signed audit: bounded, and not extended by a restart."""

from __future__ import annotations

import errno
import os

import pytest

from aizen_hub.audit.checkpoints import health as health_module
from aizen_hub.audit.checkpoints.checkpoint_file import FILE_STORAGE
from aizen_hub.audit.checkpoints.checkpoint_log import CheckpointSetBackError
from aizen_hub.audit.checkpoints.health import CheckpointHealth

GRACE = 300.0
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/lib/elsewhere/checkpoints")


class FakeClock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(health_module, "_now", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


@pytest.mark.proves("R7", "R96")
@pytest.mark.parametrize("succeeded", [True, False])
@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_when_decisions_stop(clock: FakeClock, succeeded: bool, failed: bool, late: bool) -> None:
    health = CheckpointHealth(GRACE, FILE_STORAGE)
    if succeeded:
        health.succeeded(health.start())
    if failed:
        health.failed(FULL)
    clock.now += GRACE + (1 if late else 0)
    assert (health.fault is not None) == (late or (failed and not succeeded))
    if health.fault is not None:
        assert ("no space left" in health.fault) == failed
        assert ("`checkpoint_file`" in health.remedy) == failed
    health.succeeded(health.start())
    assert health.fault is None
    assert health.age == 0


def test_the_path_is_not_shown(clock: FakeClock) -> None:
    health = CheckpointHealth(GRACE, FILE_STORAGE)
    health.failed(FULL)
    assert health.fault is not None
    assert "elsewhere" not in health.fault
    health.failed(OSError("It ends with number 3"))
    assert "it ends with number 3" in (health.fault or "")
    health.failed(OSError())
    assert "oserror" in (health.fault or "")


@pytest.mark.proves("T-39")
def test_a_file_that_was_set_back_has_its_own_remedy(clock: FakeClock) -> None:
    health = CheckpointHealth(GRACE, FILE_STORAGE)
    health.failed(CheckpointSetBackError(3, 7))
    assert "was set back: it ends with the checkpoint 3, but 7 was written" in (health.fault or "")
    assert "newest copy of `checkpoint_file`" in health.remedy
    health.failed(FULL)
    assert "newest copy" not in health.remedy


def test_records_made_during_signing_are_not_signed_yet(clock: FakeClock) -> None:
    health = CheckpointHealth(GRACE, FILE_STORAGE)
    started = health.start()
    clock.now += 250
    health.succeeded(started)
    assert health.age == 250


def test_the_fault_stays_the_same(clock: FakeClock) -> None:
    health = CheckpointHealth(GRACE, FILE_STORAGE)
    faults = set()
    for _ in range(5):
        clock.now += GRACE
        faults.add(health.fault)
    assert len(faults - {None}) == 1
