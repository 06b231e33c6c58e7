"""Programs that are started as copies of a process behave as those that are started as a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fixtures.forked_process import ForkedProcess, start_forked

pytestmark = pytest.mark.slow
Start = Callable[..., ForkedProcess]
SLEEPING = "import time\nprint('sleeps', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def run(program: str, *arguments: str) -> ForkedProcess:
        (tmp_path / "program.py").write_text(program, encoding="utf-8")
        return start_forked("program", arguments, tmp_path, os.environ, tmp_path / "log")

    return run


def wait_until_it_sleeps(folder: Path) -> None:
    end = time.monotonic() + 30
    while "sleeps" not in (folder / "log").read_text(encoding="utf-8"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_has_its_own_arguments_folder_and_output(start: Start, tmp_path: Path) -> None:
    program = "import os, sys\nprint(__name__, sys.argv[1:], os.getcwd(), sys.path[0])\nsys.exit('error')\n"
    process = start(program, "--one", "two")
    assert process.wait(30) == process.poll() == 1
    expected = f"__main__ ['--one', 'two'] {tmp_path} {tmp_path}"
    assert (tmp_path / "log").read_text(encoding="utf-8").splitlines() == [expected, "error"]


def test_it_has_no_file_of_the_server_open(start: Start, tmp_path: Path) -> None:
    process = start(SLEEPING)
    try:
        wait_until_it_sleeps(tmp_path)
        folder = Path(f"/proc/{process.pid}/fd")
        files = {file.name: str(file.readlink()) for file in folder.iterdir()}
        assert files == {"0": os.devnull, "1": str(tmp_path / "log"), "2": str(tmp_path / "log")}
        assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid
    finally:
        process.kill()
    assert process.wait(30) == -signal.SIGKILL


def test_what_it_registered_for_its_exit_runs(start: Start, tmp_path: Path) -> None:
    assert start("import atexit\natexit.register(print, 'exits')\n").wait(30) == 0
    assert (tmp_path / "log").read_text(encoding="utf-8") == "exits\n"


def test_waiting_ends_after_its_time(start: Start, tmp_path: Path) -> None:
    process = start(SLEEPING)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.poll() is None
        wait_until_it_sleeps(tmp_path)
    finally:
        process.terminate()
    assert process.wait(30) == -signal.SIGTERM
    process.kill()  # of an ended process: no error, and no other process is hit


def test_it_ends_with_the_server(start: Start, tmp_path: Path) -> None:
    process = start(SLEEPING)
    wait_until_it_sleeps(tmp_path)
    server = psutil.Process(process.pid).parent()
    assert server is not None
    assert "tests.fixtures.fork_server" in server.cmdline()
    copy = psutil.Process(process.pid)
    server.kill()
    assert copy.wait(30) is None  # no child of this process, so without its exit code
