"""A machine with accounts: notebooks run under those of their people, and others look for their tokens (T-10)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from aizen_hub.demo.kernel import Kernel
from tests.fixtures.accounts import Account, entering, free_uids, giving
from tests.fixtures.hub import HubHandle, running_hub

pytestmark = [pytest.mark.needs("accounts"), pytest.mark.slow]

PROWLER = Path(__file__).parents[1] / "fixtures" / "secret_scanner.py"
EVERYWHERE = ("/tmp", "/var/tmp", "/dev/shm", "/var/crash", "/var/log", "/var/lib/systemd/coredump")
OWNER, STRANGER = "erin", "rita"
SAYS = "import json, os; print(json.dumps(dict(os.environ)))"
TELLS = """
import os, time
for _ in range(600):
    print(os.environ["AIZEN_TOKEN"], flush=True)
    time.sleep(0.1)
    if os.path.exists(os.path.expanduser("~/enough")):
        break
"""
DIES = """
import os, subprocess, sys
from resource import RLIMIT_CORE, getrlimit
code = "import os, resource as r; h = r.getrlimit(r.RLIMIT_CORE)[1]; r.setrlimit(r.RLIMIT_CORE, (h, h)); os.abort()"
print(subprocess.run([sys.executable, "-c", code], cwd=os.path.expanduser("~")).returncode, getrlimit(RLIMIT_CORE)[1])
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    projects.create(tx, "churn", owner=Identity.user("maker"))
    assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(OWNER), reason="test")


@dataclass
class Shared:
    """A hub on a machine with accounts.

    Attributes
    ----------
    secrets : dict
        Everything that nobody else may find.
    """

    hub: HubHandle
    kernel: Kernel
    accounts: dict[str, Account]
    environ: dict[str, str]
    secrets: dict[str, str]
    since: float

    def processes(self) -> list[psutil.Process]:
        """What runs under the owner's account."""
        family = psutil.Process(self.hub.process.pid).children(recursive=True)
        return [one for one in family if one.uids().real == self.accounts[OWNER].uid]

    def prowl(self, who: str, *folders: Path, ports: tuple[int, ...] = ()) -> dict[str, Any]:
        family = [psutil.Process(self.hub.process.pid), *psutil.Process(self.hub.process.pid).children(recursive=True)]
        listening = {
            one.laddr.port for process in family for one in process.net_connections() if one.status == "LISTEN"
        }
        order = {
            "secrets": self.secrets,
            "since": self.since,
            "folders": [str(self.hub.folder), *map(str, folders), *EVERYWHERE],
            "ports": sorted(listening.union(ports)),
            "listen": 2 if who == STRANGER else 0.2,
        }
        command = [*entering(self.hub.process.pid, self.accounts[who].uid), sys.executable, str(PROWLER)]
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        done = subprocess.run(
            command, input=json.dumps(order), env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    since = time.time() - 1
    # Neither pytest's own folders nor long paths: others come in here, and sockets lie in it.
    folder = Path(tempfile.mkdtemp(prefix="az-", dir="/tmp"))
    folder.chmod(0o755)
    accounts = {}
    for name, uid in zip((OWNER, STRANGER), free_uids(2), strict=True):
        accounts[name] = Account(name, uid, folder / "homes" / name)
        # Open for all, as a careless system makes them: whatever is closed in them was closed by us.
        accounts[name].home.mkdir(parents=True)
        os.chown(accounts[name].home, uid, uid)
    try:
        with running_hub(
            folder,
            {"insecure_same_uid": False},
            accounts={OWNER: "", "maker": "PROJECT_CREATOR"},
            seed=seed,
            config="c.JupyterHub.spawner_class = 'localprocess'",
            before=giving(folder, accounts.values()),
        ) as hub:
            owner = hub.login(OWNER)
            with Kernel(owner, owner.spawn("churn")) as kernel:
                environ = json.loads(kernel.execute(SAYS).text)
                assert "churn" in kernel.execute("show project churn").text
                secrets = _secrets(hub, accounts[OWNER], environ)
                yield Shared(hub, kernel, accounts, environ, secrets, since)
    finally:
        shutil.rmtree(folder)


def _secrets(hub: HubHandle, owner: Account, environ: dict[str, str]) -> dict[str, str]:
    data = hub.settings.data_dir
    names = ("hub-secret", "hub-cookie-secret", "hub-crypt-key", "service-api-token", "key-encryption-key")
    secrets = {name: (data / name).read_text(encoding="ascii").strip() for name in names}
    proxy = [one for one in psutil.Process(hub.process.pid).children() if "CONFIGPROXY_AUTH_TOKEN" in one.environ()]
    secrets["proxy"] = proxy[0].environ()["CONFIGPROXY_AUTH_TOKEN"]
    (connection,) = (owner.home / ".local/share/jupyter/runtime").glob("kernel-*.json")
    secrets["kernel"] = json.loads(connection.read_text())["key"]
    secrets["password"] = hub.passwords[OWNER]
    secrets["role token"] = environ["AIZEN_TOKEN"].rpartition(".")[2]
    secrets["hub token"] = environ["JUPYTERHUB_API_TOKEN"]
    secrets["session credential"] = hashlib.sha256(environ["JUPYTERHUB_API_TOKEN"].encode()).hexdigest()
    assert all(len(one) > 10 for one in secrets.values()), secrets
    return secrets


@contextmanager
def telling(shared: Shared) -> Iterator[None]:
    """Let a cell show the role token again and again, as somebody does who looks for a mistake."""
    enough = shared.accounts[OWNER].home / "enough"
    thread = threading.Thread(target=shared.kernel.execute, args=(TELLS,))
    thread.start()
    try:
        yield
    finally:
        enough.touch()
        thread.join()
        enough.unlink()


@pytest.mark.proves("T-10", "R35")
def test_another_account_finds_no_token(shared: Shared) -> None:
    with telling(shared):
        seen = shared.prowl(STRANGER)
    assert seen["found"] == []
    # It stood before the right doors, and they were closed.
    running = shared.processes()
    assert len(running) >= 2, "a server and its kernel"
    for process in running:
        assert {f"/proc/{process.pid}/{name}" for name in ("environ", "mem", "cwd")} <= set(seen["refused"])
    runtime = str(shared.accounts[OWNER].home / ".local/share/jupyter/runtime")
    assert {runtime, str(shared.hub.settings.data_dir)} <= set(seen["refused"])
    assert [one for one in seen["refused"] if one.startswith(f"ipc://{runtime}/kernel-")], "the kernel's own sockets"
    assert seen["read"] > 100


def test_the_search_would_find_them(shared: Shared, tmp_path: Path) -> None:
    """The owner finds what is theirs, and a stranger what was left open."""
    own = {tuple(one) for one in shared.prowl(OWNER)["found"]}
    kernel = next(one.pid for one in shared.processes() if "ipykernel_launcher" in " ".join(one.cmdline()))
    for name in ("role token", "hub token"):
        assert (name, f"/proc/{kernel}/environ") in own
    assert [place for name, place in own if name == "kernel" and place.endswith(".json")]
    assert {name for name, _ in own} == {"role token", "hub token", "kernel", "memory"}

    import zmq

    token = shared.environ["AIZEN_TOKEN"]
    file = shared.hub.folder / "left-open"
    file.write_text(f"export AIZEN_TOKEN={token}\n")
    file.chmod(0o644)
    argument = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", token], stdin=subprocess.PIPE)
    with zmq.Context() as context, context.socket(zmq.PUB) as tells:
        port = tells.bind_to_random_port("tcp://127.0.0.1")
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(0.1):
                tells.send(token.encode())

        thread = threading.Thread(target=tell)
        thread.start()
        try:
            seen = shared.prowl(STRANGER, ports=(port,))
        finally:
            ended.set()
            thread.join()
            argument.communicate(timeout=10)
            file.unlink()
    found = {place for name, place in seen["found"] if name == "role token"}
    assert found >= {str(file), f"/proc/{argument.pid}/cmdline", f"tcp://127.0.0.1:{port}"}
    assert {name for name, _ in seen["found"]} == {"role token"}


@pytest.mark.proves("T-10")
def test_a_process_that_dies_leaves_nothing_to_others(shared: Shared) -> None:
    """The image of a process holds its environment; where the system writes one, its owner alone reads it."""
    home = shared.accounts[OWNER].home
    status, limit = shared.kernel.execute(DIES).text.split()
    assert int(status) == -signal.SIGABRT
    images = list(home.glob("core*"))
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    assert images or not pattern.startswith("core") or limit == "0", "there is none to look at"
    for image in images:
        assert shared.environ["AIZEN_TOKEN"].encode() in image.read_bytes()
        assert not stat.S_IMODE(image.stat().st_mode) & 0o077
    assert shared.prowl(STRANGER)["found"] == []


@pytest.mark.proves("T-10")
def test_notebooks_inherit_nothing_open(shared: Shared) -> None:
    private = (str(shared.hub.settings.data_dir), str(shared.hub.folder / "jupyterhub.sqlite"))
    for process in shared.processes():
        for one in Path(f"/proc/{process.pid}/fd").iterdir():
            assert not str(one.readlink()).startswith(private)
