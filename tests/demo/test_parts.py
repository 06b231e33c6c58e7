"""Parts of the demo: workspaces, ports, private files, process cleanup."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aizen_hub.demo import config, processes
from aizen_hub.demo.command import new_passwords_command
from aizen_hub.demo.config import Ports
from aizen_hub.demo.deployment import Deployment
from aizen_hub.demo.personas import ADMIN, PERSONAS
from aizen_hub.demo.processes import Processes, StartError
from aizen_hub.demo.seed import renew_passwords, seed
from aizen_hub.demo.step_counter import StepCounter, StepFailedError, expect
from aizen_hub.demo.workspace import MAX_PARALLEL_DEMOS, Workspace, WorkspaceInUseError, free_ports
from aizen_hub.settings import Settings
from tests.fixtures.timing import within


@pytest.fixture(autouse=True)
def ignore_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo kills all descendants; in a test run these would include servers of other tests."""
    list_remaining = processes.remaining_processes
    before = {process.pid for process in list_remaining()}
    monkeypatch.setattr(
        processes, "remaining_processes", lambda: [process for process in list_remaining() if process.pid not in before]
    )


def test_a_second_demo_gets_its_own_folder(tmp_path: Path) -> None:
    base = tmp_path / "demo"
    first = Workspace.claim(base)
    second = Workspace.claim(base)
    assert first.path == base
    assert second.path == base / "parallel-2"
    (first.path / "data").mkdir()
    second.release()
    first.empty()
    assert not (first.path / "data").exists()
    assert second.path.exists(), "the data of another demo is kept"
    first.release()
    third = Workspace.claim(base)
    assert third.path == base
    third.release()


def test_the_number_of_demos_is_limited(tmp_path: Path) -> None:
    taken = [Workspace.claim(tmp_path) for _ in range(MAX_PARALLEL_DEMOS + 1)]
    with pytest.raises(WorkspaceInUseError):
        Workspace.claim(tmp_path)
    for workspace in taken:
        workspace.release()


def test_ports_are_free_and_different() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        taken = busy.getsockname()[1]
        ports = free_ports(5, (taken,))
        assert taken not in ports
    assert len(set(ports)) == 5


def test_another_port_than_the_chosen_one_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployment, "_start", lambda self, report: None)
    monkeypatch.setattr("aizen_hub.demo.deployment.seed", lambda settings: {})
    folder, said = Workspace.claim(tmp_path), list[str]()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        taken = busy.getsockname()[1]
        used = Deployment.start(folder, taken, said.append).ports.public
    assert f"port {taken} is not free; the demo uses {used}" in said
    assert used != taken
    folder.release()


def test_the_configuration_loads_and_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = Workspace.claim(tmp_path)
        config.write_config(folder, Ports.find_free(None))
    finally:
        os.umask(before)
    settings = Settings.load(folder.config, {})
    assert settings.insecure_same_uid
    assert settings.insecure_same_origin
    assert settings.core is not None
    assert folder.homes.is_relative_to(folder.path)
    for path in (folder.path, folder.config, folder.hub_config, folder.data, folder.homes, folder.core / "credential"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    folder.release()


def test_passwords_are_hashed_outside_the_transaction(
    tmp_path: Path, write_lock_probe: Callable[[Path], list[bool]]
) -> None:
    settings = Settings(data_dir=tmp_path / "data", admin_user=f"local:{ADMIN.name}")
    lock_free = write_lock_probe(settings.data_dir / "aizen.sqlite")
    created = seed(settings)
    assert set(created) == {person.name for person in PERSONAS}
    assert lock_free == [True] * len(PERSONAS)


def test_root_is_allowed_only_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Workspace.claim(tmp_path)
    for uid, expected in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert ("--allow-root" in config.hub_config(folder, Ports.find_free(None))) is expected
    folder.release()


def test_variables_of_another_hub_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIZEN_SERVICE__PORT", "JUPYTERHUB_API_TOKEN", "JUPYTER_PATH", "IPYTHONDIR"):
        monkeypatch.setenv(name, "x")
    environ = config.environment()
    assert not [name for name in environ if name.startswith(("AIZEN", "JUPYTER", "IPYTHON"))]
    assert environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_the_five_personas_cover_every_built_in_role() -> None:
    from aizen_hub.catalogs.loader import load_catalog

    assert {person.role for person in PERSONAS} == set(load_catalog("aizen").roles)


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
os._exit(0)
"""


def test_orphans_in_other_sessions_are_found_and_ended(tmp_path: Path) -> None:
    """In a separate process, since becoming a subreaper cannot be undone."""
    log = tmp_path / "log"
    log.touch()
    code = f"""
import pathlib, sys, os, time
from aizen_hub.demo.processes import Processes, become_subreaper, remaining_processes
become_subreaper()
log = pathlib.Path({str(log)!r})
p = Processes(log)
p.start("stubborn", [sys.executable, "-c", {STUBBORN!r}], cwd=log.parent, environ=dict(os.environ))
p.started[0][1].wait(10)
pid = int(log.read_text())
assert [child.pid for child in remaining_processes()] == [pid], remaining_processes()
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
    with within(40), pytest.raises(StartError, match=r"(?s)the clock ended with 3.*no spring"):
        started.wait("the clock", lambda: False, 120)
    started.stop()


def test_the_step_counter_continues_after_failures(capsys: pytest.CaptureFixture[str]) -> None:
    steps = StepCounter()
    with steps.step("first"):
        expect(True, "never")
    with steps.step("second"):
        expect(False, "it shows nothing")
    with steps.step("third"):
        raise StepFailedError("gone")
    assert str(steps) == "1 passed, 2 failed"
    assert "it shows nothing" in capsys.readouterr().out


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two demos that start at the same time find the same free ports; the second retries with others."""
    starts: list[Ports] = []

    def start(deployment: Deployment, say: object) -> None:
        starts.append(deployment.ports)
        if len(starts) == 1:
            deployment.folder.log.write_text(f"OSError: [Errno 98] {os.strerror(errno.EADDRINUSE)}\n")
            raise StartError("the hub ended with 1")

    monkeypatch.setattr(Deployment, "_start", start)
    monkeypatch.setattr("aizen_hub.demo.deployment.seed", lambda settings: {"rita": "secret"})
    folder = Workspace.claim(tmp_path)
    deployment = Deployment.start(folder, None, lambda text: None)
    assert len(starts) == 2
    assert deployment.ports == starts[1] != starts[0]
    assert deployment.passwords == {"rita": "secret"}, "created once and kept"

    def broken(deployment: Deployment, say: object) -> None:
        starts.append(deployment.ports)
        raise StartError("the hub ended with 1")

    monkeypatch.setattr(Deployment, "_start", broken)
    with pytest.raises(StartError):
        Deployment.start(folder, None, lambda text: None)
    assert len(starts) == 3, "other errors are not retried"
    folder.release()


def test_new_passwords_replace_those_of_an_earlier_run(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "admin_user": f"local:{ADMIN.name}"})
    first = seed(settings)
    second = renew_passwords(settings)
    assert first.keys() == second.keys() == {person.name for person in PERSONAS}
    assert not set(first.values()) & set(second.values())


def test_a_later_run_says_how_to_get_new_passwords() -> None:
    assert "make demo ARGS=--new-passwords" in new_passwords_command(Path(".aizen-demo").absolute())
    assert new_passwords_command(Path("/srv/my demo")) == "aizen-hub demo --folder '/srv/my demo' --new-passwords"


@pytest.mark.proves("R137")
def test_the_demo_says_what_it_does_not_protect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aizen_hub.demo.command import show_accounts

    folder = Workspace.claim(tmp_path / "demo")
    show_accounts(Deployment(folder, Ports(8000, 1, 2, 3, 4), Processes(folder.log), {}))
    folder.release()
    shown = " ".join(capsys.readouterr().out.split())
    assert "insecure_same_uid" in shown
    assert "insecure_same_origin" in shown
