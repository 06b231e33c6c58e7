"""The parts of the demo: folders beside each other, ports, private files, no process left behind."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aizen_hub.demo import config, processes
from aizen_hub.demo.config import Ports
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.personas import ADMIN, PEOPLE
from aizen_hub.demo.processes import Processes, StartFailed
from aizen_hub.demo.seed import seed
from aizen_hub.demo.step_counter import Missed, Tally, expect
from aizen_hub.demo.workspace import BESIDE, DemoFolder, FolderTaken, free_ports
from aizen_hub.settings import Settings


@pytest.fixture(autouse=True)
def nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo ends whatever runs below it; here that would be the servers of other tests too."""
    everybody = processes.left_over
    before = {one.pid for one in everybody()}
    monkeypatch.setattr(processes, "left_over", lambda: [one for one in everybody() if one.pid not in before])


def test_a_second_demo_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    base = tmp_path / "demo"
    first = DemoFolder.claim(base)
    second = DemoFolder.claim(base)
    assert first.path == base
    assert second.path == base / "beside-2"
    (first.path / "data").mkdir()
    second.release()
    first.empty()
    assert not (first.path / "data").exists()
    assert second.path.exists(), "another demo's data is not ours to remove"
    first.release()
    again = DemoFolder.claim(base)
    assert again.path == base
    again.release()


def test_there_is_an_end_to_demos(tmp_path: Path) -> None:
    taken = [DemoFolder.claim(tmp_path) for _ in range(BESIDE + 1)]
    with pytest.raises(FolderTaken):
        DemoFolder.claim(tmp_path)
    for one in taken:
        one.release()


def test_ports_are_free_and_different() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        taken = busy.getsockname()[1]
        ports = free_ports(5, (taken,))
        assert taken not in ports
    assert len(set(ports)) == 5


def test_the_configuration_loads_and_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = DemoFolder.claim(tmp_path)
        config.write(folder, Ports.find(None))
    finally:
        os.umask(before)
    settings = Settings.load(folder.config, {})
    assert settings.insecure_same_uid
    assert settings.core is not None
    assert folder.homes.is_relative_to(folder.path)
    for path in (folder.path, folder.config, folder.hub_config, folder.data, folder.homes, folder.core / "credential"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    folder.release()


def test_the_accounts_are_made_without_hashing_inside_a_change(
    tmp_path: Path, hashed_beside: Callable[[Path], list[bool]]
) -> None:
    settings = Settings(data_dir=tmp_path / "data", admin_user=f"local:{ADMIN.name}")
    free = hashed_beside(settings.data_dir / "aizen.sqlite")
    made = seed(settings)
    assert set(made) == {person.name for person in PEOPLE}
    assert free == [True] * len(PEOPLE)


def test_root_is_allowed_only_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = DemoFolder.claim(tmp_path)
    for uid, expected in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert ("--allow-root" in config.hub_config(folder, Ports.find(None))) is expected
    folder.release()


def test_nothing_of_another_hub_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIZEN_SERVICE__PORT", "JUPYTERHUB_API_TOKEN", "JUPYTER_PATH", "IPYTHONDIR"):
        monkeypatch.setenv(name, "x")
    found = config.environment()
    assert not [name for name in found if name.startswith(("AIZEN", "JUPYTER", "IPYTHON"))]
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_the_five_persons_cover_every_built_in_role() -> None:
    from aizen_hub.catalogs.loader import load_catalog

    assert {person.role for person in PEOPLE} == set(load_catalog("aizen").roles)


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
os._exit(0)
"""


def test_orphans_in_other_sessions_are_found_and_ended(tmp_path: Path) -> None:
    """In a process of its own, since adopting orphans changes the process that does it."""
    log = tmp_path / "log"
    log.touch()
    code = f"""
import pathlib, sys, os, time
from aizen_hub.demo.processes import Processes, adopt_orphans, left_over
adopt_orphans()
log = pathlib.Path({str(log)!r})
p = Processes(log)
p.start("a stubborn one", [sys.executable, "-c", {STUBBORN!r}], cwd=log.parent, environ=dict(os.environ))
p.started[0][1].wait(10)
pid = int(log.read_text())
assert [one.pid for one in left_over()] == [pid], left_over()
killed = p.stop()
assert len(killed) == 1 and killed[0].startswith(f"{{pid}} "), killed
import psutil
assert not psutil.Process().children(), "not even a zombie"
print("clean")
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert answer.stdout.strip() == "clean", answer.stderr


def test_a_process_that_ends_stops_the_start_and_shows_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    started = Processes(log)
    environ = dict(os.environ)
    started.start(
        "the clock", [sys.executable, "-c", "print('no spring'); raise SystemExit(3)"], cwd=tmp_path, environ=environ
    )
    begun = time.monotonic()
    with pytest.raises(StartFailed, match=r"(?s)the clock ended with 3.*no spring"):
        started.wait("the clock", lambda: False, 20)
    assert time.monotonic() - begun < 10
    started.stop()


def test_the_tally_counts_failures_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    with tally.step("first"):
        expect(True, "never")
    with tally.step("second"):
        expect(False, "it shows nothing")
    with tally.step("third"):
        raise Missed("gone")
    assert str(tally) == "1 passed, 2 failed"
    assert "it shows nothing" in capsys.readouterr().out


def test_a_port_that_somebody_else_took_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two demos that start at the same moment find the same free ports; the second takes others."""
    starts: list[Ports] = []

    def start(deployment: Deployment, say: object) -> None:
        starts.append(deployment.ports)
        if len(starts) == 1:
            deployment.folder.log.write_text(f"OSError: [Errno 98] {os.strerror(errno.EADDRINUSE)}\n")
            raise StartFailed("the hub ended with 1")

    monkeypatch.setattr(Deployment, "_start", start)
    monkeypatch.setattr("aizen_hub.demo.deployment.seed", lambda settings: {"rita": "secret"})
    folder = DemoFolder.claim(tmp_path)
    deployment = Deployment.start(folder, None, lambda text: None)
    assert len(starts) == 2
    assert deployment.ports == starts[1] != starts[0]
    assert deployment.passwords == {"rita": "secret"}, "made once, and not lost"

    def broken(deployment: Deployment, say: object) -> None:
        starts.append(deployment.ports)
        raise StartFailed("the hub ended with 1")

    monkeypatch.setattr(Deployment, "_start", broken)
    with pytest.raises(StartFailed):
        Deployment.start(folder, None, lambda text: None)
    assert len(starts) == 3, "any other failure is told at once"
    folder.release()
