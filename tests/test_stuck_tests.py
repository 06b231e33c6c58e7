"""A test that takes very long is reported with the stacks of all threads, and ended before it holds up a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_TESTS = """
import threading

from tests.fixtures import stuck_tests

stuck_tests.REPORT_SECONDS = {report_seconds}
stuck_tests.LIMIT_SECONDS = {limit_seconds}


def wait_in_a_thread(reported):
    reported.wait(2)


def test_waits():
    reported = threading.Event()
    waiting = threading.Thread(target=wait_in_a_thread, args=(reported,), name="the waiting one")
    waiting.start()
    waiting.join()


def test_goes_on():
    pass
"""


def _run(folder: Path, report_seconds: float, limit_seconds: float = 900.0, *, expected: str = "2 passed") -> str:
    text = _TESTS.format(report_seconds=report_seconds, limit_seconds=limit_seconds)
    folder.joinpath("test_it.py").write_text(text, encoding="utf-8")
    root = Path(__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist",
        "-p",
        "tests.fixtures.stuck_tests",
        "-n",
        "1",
    ]
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", str(folder), str(folder / "test_it.py")],
        cwd=root,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # loading them takes seconds
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert expected in done.stdout, done.stdout + done.stderr
    return done.stderr


def test_a_test_that_takes_long_is_reported_with_all_threads(tmp_path: Path) -> None:
    report = _run(tmp_path, 0.2)
    assert "test_it.py::test_waits has taken 0.2 s so far" in report
    assert "thread the waiting one:" in report
    assert "in wait_in_a_thread" in report
    assert "thread MainThread:" in report
    assert "test_goes_on" not in report


def test_others_are_not_reported(tmp_path: Path) -> None:
    assert "has taken" not in _run(tmp_path, 100)


def test_a_stuck_test_fails_and_the_others_still_run(tmp_path: Path) -> None:
    report = _run(tmp_path, 0.1, 0.3, expected="1 failed, 1 passed")
    assert "test_it.py::test_waits is ended after 0.3 s" in report
