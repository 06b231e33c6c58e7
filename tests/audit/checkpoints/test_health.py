"""How long decisions go on without a signed audit: bounded, and not stretched by starting anew."""

from __future__ import annotations

import errno
import os

import pytest

from aizen_hub.audit.checkpoints import health as module
from aizen_hub.audit.checkpoints.health import Sink

GRACE = 300.0
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/lib/elsewhere/checkpoints")


class Watch:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(module, "_now", lambda: self.now)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.mark.proves("R7", "R96")
@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_when_nothing_more_is_decided(watch: Watch, reached: bool, failed: bool, late: bool) -> None:
    sink = Sink(GRACE)
    if reached:
        sink.reached(sink.begin())
    if failed:
        sink.failed(FULL)
    watch.now += GRACE + (1 if late else 0)
    assert (sink.fault is not None) == (late or (failed and not reached))
    if sink.fault is not None:
        assert ("no space left" in sink.fault) == failed
        assert ("`checkpoint_file`" in sink.remedy) == failed
    sink.reached(sink.begin())
    assert sink.fault is None
    assert sink.age == 0


def test_a_path_is_not_told(watch: Watch) -> None:
    sink = Sink(GRACE)
    sink.failed(FULL)
    assert sink.fault is not None
    assert "elsewhere" not in sink.fault
    sink.failed(OSError("It ends with number 3"))
    assert "it ends with number 3" in (sink.fault or "")
    sink.failed(OSError())
    assert "oserror" in (sink.fault or "")


def test_what_was_recorded_while_it_was_written_is_not_signed_yet(watch: Watch) -> None:
    sink = Sink(GRACE)
    begun = sink.begin()
    watch.now += 250
    sink.reached(begun)
    assert sink.age == 250


def test_it_says_the_same_while_nothing_changes(watch: Watch) -> None:
    sink = Sink(GRACE)
    said = set()
    for _ in range(5):
        watch.now += GRACE
        said.add(sink.fault)
    assert len(said - {None}) == 1
