"""The seam by which a test stops the service between two statements: inert unless asked for in full."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from aizen_hub.store import failpoints as kill_point
from aizen_hub.store.failpoints import POINTS, VARIABLE, armed


def test_without_the_variable_nothing_happens() -> None:
    assert armed(None) is armed("") is kill_point._nothing
    for point in POINTS:
        assert kill_point.reached(point) is None


@pytest.mark.parametrize("text", ["nowhere", "begun:", "begun:x", "begun:1:sleep", "begun:1:stop:1", "begun:-1"])
def test_what_names_no_point_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        armed(text)


def test_the_nth_time_kills() -> None:
    code = (
        "from aizen_hub.store.failpoints import reached\nfor n in range(5):\n reached('begun')\n print(n, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={VARIABLE: "begun:3"}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b"0\n1\n"
