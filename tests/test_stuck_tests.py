"""A test that takes very long is reported with the stacks of all threads, and goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_TESTS = """
import threading

from tests.fixtures import stuck_tests

stuck_tests.REPORT_SECONDS = {seconds}


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


def _run(folder: Path, seconds: float) -> str:
    folder.joinpath("test_it.py").write_text(_TESTS.format(seconds=seconds), encoding="utf-8")
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.fixtures.stuck_tests"]
    done = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", str(folder), str(folder / "test_it.py")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
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
