"""The demo as a newcomer runs it: the check that counts, two beside each other, and an end without leftovers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from aizen_hub.demo.browser import Browser

PROGRAM = [sys.executable, "-c", "from aizen_hub.cli.main import main; main()", "demo", "--folder"]


def using(folder: Path) -> list[psutil.Process]:
    """Every process of this machine that was started for a folder."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.pid != os.getpid() and any(str(folder) in part for part in one.cmdline()):
                found.append(one)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_the_check_passes_and_leaves_nothing(tmp_path: Path) -> None:
    answer = subprocess.run(
        [*PROGRAM, str(tmp_path), "--check"], capture_output=True, text=True, timeout=240, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    passed = re.fullmatch(r"(\d+) passed, 0 failed", answer.stdout.splitlines()[-1])
    assert passed is not None, answer.stdout
    assert int(passed.group(1)) > 45
    assert using(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


class Demo:
    """One `aizen-hub demo`, read until it says where it is."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, str(folder), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A test run in the background ignores interrupts, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None
        self.text = ""
        for line in self.process.stdout:
            self.text += line
            if "Ctrl-C" in line:
                break
        found = re.search(rf"Open (http://{re.escape('127.0.0.1')}:\d+),", self.text)
        assert found is not None, self.text
        self.url = found.group(1)

    def password(self, name: str) -> str:
        found = re.search(rf"^{name} +(\S+) ", self.text, re.MULTILINE)
        assert found is not None, self.text
        return found.group(1)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def test_demos_beside_each_other_killed_ended_and_taken_up_again(tmp_path: Path) -> None:
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
    # What a killed demo had started ends by itself.
    deadline = time.monotonic() + 20
    while (left := using(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []

    again = Demo(tmp_path)
    try:
        assert "of an earlier run" in again.text
        Browser(again.url).login("rita", first.password("rita"))
    finally:
        assert again.end(signal.SIGTERM) == 0
    assert using(tmp_path) == []
