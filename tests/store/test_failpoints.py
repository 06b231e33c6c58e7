"""Failpoints: without effect unless the variable names one exactly."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from aizen_hub.store import failpoints
from aizen_hub.store.failpoints import SERVICE_POINTS, VARIABLE, arm


def test_without_the_variable_nothing_happens() -> None:
    assert arm(None) is arm("") is failpoints._disarmed
    for point in SERVICE_POINTS:
        assert failpoints.failpoint(point) is None


@pytest.mark.parametrize("text", ["nowhere", "begun:", "begun:x", "begun:1:sleep", "begun:1:stop:1", "begun:-1"])
def test_an_invalid_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        arm(text)


def test_the_nth_time_kills() -> None:
    code = (
        "from aizen_hub.store.failpoints import failpoint\n"
        "for n in range(5):\n failpoint('begun')\n print(n, flush=True)"
    )
    process = subprocess.run([sys.executable, "-c", code], env={VARIABLE: "begun:3"}, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL
    assert process.stdout == b"0\n1\n"
