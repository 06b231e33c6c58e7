"""The service process: it ends with its parent, locks its files, and refuses a faulty configuration."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aizen_hub.service.factory import build_context
from aizen_hub.service.server import run
from aizen_hub.settings import Settings
from tests.fixtures.network.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 120


def write_settings(folder: Path, port: int, **more: object) -> Path:
    file = folder / "aizen.yaml"
    file.write_text(json.dumps({"data_dir": "data", "service": {"port": port}, **more}))
    return file


def command(file: Path) -> list[str]:
    return [sys.executable, "-m", "aizen_hub.service", str(file)]


def environment(**more: str) -> dict[str, str]:
    return {**{key: value for key, value in os.environ.items() if not key.startswith("AIZEN_")}, **more}


def ask(port: int, path: str = "/readyz") -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def wait_ready(port: int, seconds: float = START_SECONDS) -> dict[str, str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status, headers, _ = ask(port)
        except OSError:
            time.sleep(0.05)
            continue
        if status == 200:
            return headers
        time.sleep(0.05)
    raise AssertionError("the service did not become ready")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_gone(pid: int, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=60)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def start(processes: list[subprocess.Popen[str]], file: Path, **more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command(file), cwd=ROOT, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    processes.append(process)
    return process


def test_start_second_instance_and_end(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    port = free_port()
    file = write_settings(tmp_path, port)
    first = start(started, file, AIZEN_INSTANCE="number-1")
    headers = wait_ready(port)
    assert headers["X-Aizen-Instance"] == "number-1"
    for name in ("aizen.sqlite", "hub-secret", "key-encryption-key", "admin-activation-link"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o077 == 0, name
    second = start(started, file)
    assert second.wait(timeout=START_SECONDS) == 1
    assert second.stderr is not None
    assert f"process {first.pid}" in second.stderr.read()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    third = start(started, write_settings(elsewhere, port))
    assert third.wait(timeout=START_SECONDS) == 1
    assert third.stderr is not None
    assert "cannot listen on" in third.stderr.read().splitlines()[-1]
    assert ask(port)[0] == 200, "the first one still runs"
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 0
    restarted = start(started, file)
    wait_ready(port)
    restarted.send_signal(signal.SIGINT)
    assert restarted.wait(timeout=60) == 0
    log = restarted.stderr.read() if restarted.stderr else ""
    for line in log.splitlines():
        json.loads(line)


@pytest.mark.proves("R109")
def test_a_service_that_the_hub_does_not_start_drains_first(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    port = free_port()
    own = {"port": port, "managed": False, "drain_seconds": 300}
    process = start(started, write_settings(tmp_path, port, service=own))
    wait_ready(port)
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kept.request("GET", "/livez")
    answer = kept.getresponse()
    answer.read()
    assert not answer.will_close
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + START_SECONDS
    while (ready := ask(port))[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (ready[0], json.loads(ready[2])["detail"]) == (503, "draining")
    kept.request("GET", "/api/v1/me")
    answer = kept.getresponse()
    assert (answer.status, answer.will_close) == (401, True), "it is answered, and the client connects elsewhere"
    kept.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0, "a second signal ends the wait"


def run_once(file: Path) -> None:
    """Create the files of a service that ran before."""
    context = build_context(Settings.load(file, {}), instance="before", environ={})
    context.pools.close()
    context.decisions.close()
    context.store.close()


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "aizen_hub.service", sys.argv[1]], stderr=subprocess.DEVNULL)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("when", ["ready", "starting"])
def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path, started: list[subprocess.Popen[str]], when: str) -> None:
    port = free_port()
    file = write_settings(tmp_path, port)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(file)],
        cwd=ROOT,
        env=environment(AIZEN_INSTANCE="with-a-parent"),
        stdout=subprocess.PIPE,
        text=True,
    )
    started.append(parent)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        if when == "ready":
            wait_ready(port)
        else:
            # It knows its parent by then, and imports the rest for about a second. Python itself takes longer to start
            # on a busy machine than any fixed time.
            wait_for(lambda: "_ctypes" in Path(f"/proc/{child}/maps").read_text())
        parent.kill()
        assert wait_gone(child), "the service did not end with its hub"
    finally:
        if not wait_gone(child, 0):
            os.kill(child, signal.SIGKILL)


def test_without_an_instance_id_it_is_not_tied_to_its_parent(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    port = free_port()
    file = write_settings(tmp_path, port)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(file)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    started.append(parent)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        wait_ready(port)
        parent.kill()
        assert not wait_gone(child, 1)
        assert ask(port)[0] == 200
    finally:
        os.kill(child, signal.SIGKILL)
        wait_gone(child)


@pytest.mark.proves("R1", "R3", "R5")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: write_settings(folder, 1, data_dri="x"), "data_dri"),
        (lambda folder: (folder / "data" / "hub-secret").chmod(0o644), "hub-secret"),
        (
            lambda folder: (
                __import__("sqlite3")
                .connect(folder / "data" / "aizen.sqlite", isolation_level=None)
                .execute("UPDATE alembic_version SET version_num = '9999'")
            ),
            "newer than",
        ),
    ],
    ids=["unknown key", "readable secret", "schema"],
)
def test_it_refuses_to_start(
    tmp_path: Path, started: list[subprocess.Popen[str]], damage: object, message: str
) -> None:
    file = write_settings(tmp_path, free_port())
    run_once(file)
    damage(tmp_path)  # type: ignore[operator]
    bad = start(started, file)
    assert bad.wait(timeout=START_SECONDS) == 1
    assert bad.stderr is not None
    assert message in bad.stderr.read().splitlines()[-1]


@pytest.mark.proves("R1")
def test_an_invalid_log_level_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write_settings(tmp_path, 1), {"AIZEN_LOG_LEVEL": "loud"}) == 1
    assert capsys.readouterr().err == "aizen-hub serve: `AIZEN_LOG_LEVEL` must be DEBUG, INFO, WARNING or ERROR\n"


@pytest.mark.proves("R7")
def test_a_missing_key_seals_it(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    port = free_port()
    file = write_settings(tmp_path, port)
    run_once(file)
    secret = (tmp_path / "data" / "hub-secret").read_text().strip()
    (tmp_path / "data" / "key-encryption-key").rename(tmp_path / "aside")
    start(started, file)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if "starting" not in json.loads(ask(port)[2]):
                break
        except OSError:
            pass
        time.sleep(0.05)
    status, _, body = ask(port)
    assert (status, json.loads(body)["sealed"]) == (503, True)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/sessions/choices?user=admin", headers={"Authorization": f"Bearer {secret}"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 503
    refused.value.close()
    assert b"aizen_sealed 1.0" in ask(port, "/metrics")[2]
