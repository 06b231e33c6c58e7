"""The demo as a new user runs it: its check, two demos at once, and cleanup."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.demo import PROGRAM, Demo


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return all processes of this machine that were started for a folder."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(str(folder) in part for part in process.cmdline()):
                processes.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return processes


def test_the_check_passes_and_leaves_no_process_or_file(tmp_path: Path) -> None:
    answer = subprocess.run(
        [*PROGRAM, str(tmp_path), "--check"], capture_output=True, text=True, timeout=240, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    passed = re.fullmatch(r"(\d+) passed, 0 failed", answer.stdout.splitlines()[-1])
    assert passed is not None, answer.stdout
    assert int(passed.group(1)) > 55
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_parallel_demos_are_killed_stopped_and_restarted(tmp_path: Path) -> None:
    first = Demo(tmp_path)
    second = Demo(tmp_path)
    try:
        assert first.url != second.url
        Browser(first.url).login("rita", first.password("rita"))
        Browser(second.url).login("rita", second.password("rita"))
        assert first.password("rita") != second.password("rita")
    finally:
        ended = second.end(), first.end(signal.SIGKILL)
    assert ended == (0, -signal.SIGKILL)
    # The processes of a killed demo end by themselves.
    deadline = time.monotonic() + 20
    while (left := processes_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []

    third = Demo(tmp_path)
    try:
        assert "of an earlier run" in third.text
        Browser(third.url).login("rita", first.password("rita"))
    finally:
        assert third.end(signal.SIGTERM) == 0

    # What a later run says about its passwords works when it is followed.
    command = re.search(r"aizen-hub demo --folder (\S+) --new-passwords", third.text)
    assert command is not None, third.text
    fourth = Demo(Path(command.group(1)), "--new-passwords")
    try:
        Browser(fourth.url).login("rita", fourth.password("rita"))
        with pytest.raises(LoginRejectedError):
            Browser(fourth.url).login("rita", first.password("rita"))
    finally:
        assert fourth.end() == 0
    assert processes_of(tmp_path) == []
