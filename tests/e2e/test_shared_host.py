"""A machine with several accounts: notebooks run under the accounts of their users; others search for tokens (T-10)."""

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from aizen_hub.demo.kernel import Kernel
from tests.fixtures.accounts import Account, free_name, free_uids, inside_process, with_accounts
from tests.fixtures.hub import HubHandle, running_hub

pytestmark = [pytest.mark.needs("accounts"), pytest.mark.slow]

SCANNER = Path(__file__).parents[1] / "fixtures" / "security" / "secret_scanner.py"
SEARCHED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/var/crash", "/var/log", "/var/lib/systemd/coredump")
OWNER, OTHER_USER = free_name("erin"), free_name("rita")
PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
PRINT_TOKEN_REPEATEDLY = """
import os, time
for _ in range(600):
    print(os.environ["AIZEN_TOKEN"], flush=True)
    time.sleep(0.1)
    if os.path.exists(os.path.expanduser("~/enough")):
        break
"""
CRASH = """
import os, subprocess, sys
from resource import RLIMIT_CORE, getrlimit
code = "import os, resource as r; h = r.getrlimit(r.RLIMIT_CORE)[1]; r.setrlimit(r.RLIMIT_CORE, (h, h)); os.abort()"
print(subprocess.run([sys.executable, "-c", code], cwd=os.path.expanduser("~")).returncode, getrlimit(RLIMIT_CORE)[1])
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(OWNER), reason="test")


@dataclass
class SharedHost:
    """A hub on a machine with several accounts.

    Attributes
    ----------
    secrets : dict
        The secrets that other accounts must not find.
    """

    hub: HubHandle
    kernel: Kernel
    accounts: dict[str, Account]
    environ: dict[str, str]
    secrets: dict[str, str]
    since: float

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the owner's account."""
        family = psutil.Process(self.hub.process.pid).children(recursive=True)
        return [process for process in family if process.uids().real == self.accounts[OWNER].uid]

    def scan(self, user: str, *folders: Path, ports: tuple[int, ...] = ()) -> dict[str, Any]:
        family = [psutil.Process(self.hub.process.pid), *psutil.Process(self.hub.process.pid).children(recursive=True)]
        listening = {
            connection.laddr.port
            for process in family
            for connection in process.net_connections()
            if connection.status == "LISTEN"
        }
        request = {
            "secrets": self.secrets,
            "since": self.since,
            "folders": [str(self.hub.folder), *map(str, folders), *SEARCHED_FOLDERS],
            "ports": sorted(listening.union(ports)),
            "listen": 2 if user == OTHER_USER else 0.2,
        }
        command = [*inside_process(self.hub.process.pid, self.accounts[user].uid), sys.executable, str(SCANNER)]
        environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        result = subprocess.run(
            command, input=json.dumps(request), env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedHost]:
    since = time.time() - 1
    # Not a folder of pytest: other accounts need access, and socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="az-", dir="/tmp"))
    folder.chmod(0o755)
    accounts = {}
    for name, uid in zip((OWNER, OTHER_USER), free_uids(2), strict=True):
        accounts[name] = Account(name, uid, folder / "homes" / name)
        # Readable by all accounts, so that only the hub and its servers can restrict access.
        accounts[name].home.mkdir(parents=True)
        os.chown(accounts[name].home, uid, uid)
    try:
        with running_hub(
            folder,
            {"insecure_same_uid": False},
            accounts={OWNER: "", "maker": "PROJECT_CREATOR"},
            seed=seed,
            config="c.JupyterHub.spawner_class = 'localprocess'",
            wrapper=with_accounts(folder, accounts.values()),
        ) as hub:
            owner = hub.login(OWNER)
            with Kernel(owner, owner.spawn("churn")) as kernel:
                environ = json.loads(kernel.execute(PRINT_ENVIRONMENT).text)
                assert "churn" in kernel.execute("show project churn").text
                secrets = _secrets(hub, accounts[OWNER], environ)
                yield SharedHost(hub, kernel, accounts, environ, secrets, since)
    finally:
        shutil.rmtree(folder)


def _secrets(hub: HubHandle, owner: Account, environ: dict[str, str]) -> dict[str, str]:
    data = hub.settings.data_dir
    names = ("hub-secret", "hub-cookie-secret", "hub-crypt-key", "service-api-token", "key-encryption-key")
    secrets = {name: (data / name).read_text(encoding="ascii").strip() for name in names}
    proxy = [
        process
        for process in psutil.Process(hub.process.pid).children()
        if "CONFIGPROXY_AUTH_TOKEN" in process.environ()
    ]
    secrets["proxy"] = proxy[0].environ()["CONFIGPROXY_AUTH_TOKEN"]
    (connection,) = (owner.home / ".local/share/jupyter/runtime").glob("kernel-*.json")
    secrets["kernel"] = json.loads(connection.read_text())["key"]
    secrets["password"] = hub.passwords[OWNER]
    secrets["role token"] = environ["AIZEN_TOKEN"].rpartition(".")[2]
    secrets["hub token"] = environ["JUPYTERHUB_API_TOKEN"]
    secrets["session credential"] = hashlib.sha256(environ["JUPYTERHUB_API_TOKEN"].encode()).hexdigest()
    assert all(len(secret) > 10 for secret in secrets.values()), secrets
    return secrets


@contextmanager
def token_printed_repeatedly(shared: SharedHost) -> Iterator[None]:
    """Print the role token repeatedly in a cell, as a user might do for debugging."""
    enough = shared.accounts[OWNER].home / "enough"
    thread = threading.Thread(target=shared.kernel.execute, args=(PRINT_TOKEN_REPEATEDLY,))
    thread.start()
    try:
        yield
    finally:
        enough.touch()
        thread.join()
        enough.unlink()


@pytest.mark.proves("T-10", "R35")
def test_another_account_finds_no_token(shared: SharedHost) -> None:
    with token_printed_repeatedly(shared):
        report = shared.scan(OTHER_USER)
    assert report["found"] == []
    # The scan tried the relevant paths and was refused.
    running = shared.processes()
    assert len(running) >= 2, "a server and its kernel"
    for process in running:
        assert {f"/proc/{process.pid}/{name}" for name in ("environ", "mem", "cwd")} <= set(report["refused"])
    runtime = str(shared.accounts[OWNER].home / ".local/share/jupyter/runtime")
    assert {runtime, str(shared.hub.settings.data_dir)} <= set(report["refused"])
    assert [path for path in report["refused"] if path.startswith(f"ipc://{runtime}/kernel-")], (
        "the kernel's own sockets"
    )
    assert report["read"] > 100


def test_the_scan_finds_unprotected_tokens(shared: SharedHost, tmp_path: Path) -> None:
    """The owner finds the own secrets, and another user finds unprotected ones."""
    own = {tuple(item) for item in shared.scan(OWNER)["found"]}
    kernel = next(process.pid for process in shared.processes() if "ipykernel_launcher" in " ".join(process.cmdline()))
    for name in ("role token", "hub token"):
        assert (name, f"/proc/{kernel}/environ") in own
    assert [location for name, location in own if name == "kernel" and location.endswith(".json")]
    assert {name for name, _ in own} == {"role token", "hub token", "kernel", "memory"}

    import zmq

    token = shared.environ["AIZEN_TOKEN"]
    file = shared.hub.folder / "left-open"
    file.write_text(f"export AIZEN_TOKEN={token}\n")
    file.chmod(0o644)
    argument = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", token], stdin=subprocess.PIPE)
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(0.1):
                publisher.send(token.encode())

        thread = threading.Thread(target=tell)
        thread.start()
        try:
            report = shared.scan(OTHER_USER, ports=(port,))
        finally:
            ended.set()
            thread.join()
            argument.communicate(timeout=10)
            file.unlink()
    locations = {location for name, location in report["found"] if name == "role token"}
    assert locations >= {str(file), f"/proc/{argument.pid}/cmdline", f"tcp://127.0.0.1:{port}"}
    assert {name for name, _ in report["found"]} == {"role token"}


@pytest.mark.proves("T-10")
def test_core_dumps_are_not_readable_by_others(shared: SharedHost) -> None:
    """A core dump contains the environment; if the system writes one, only its owner can read it."""
    home = shared.accounts[OWNER].home
    status, limit = shared.kernel.execute(CRASH).text.split()
    assert int(status) == -signal.SIGABRT
    images = list(home.glob("core*"))
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    assert images or not pattern.startswith("core") or limit == "0", "no core dump was written"
    for image in images:
        assert shared.environ["AIZEN_TOKEN"].encode() in image.read_bytes()
        assert not stat.S_IMODE(image.stat().st_mode) & 0o077
    assert shared.scan(OTHER_USER)["found"] == []


@pytest.mark.proves("T-10")
def test_notebooks_inherit_no_open_files(shared: SharedHost) -> None:
    private = (str(shared.hub.settings.data_dir), str(shared.hub.folder / "jupyterhub.sqlite"))
    for process in shared.processes():
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed between the listing and the reading
                assert not str(descriptor.readlink()).startswith(private)
