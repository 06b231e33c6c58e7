"""What every engine must show: commands, limits, tokens that others do not find, and the end of a server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aizen_hub.demo.kernel import Kernel
from tests.fixtures.hub import HubHandle

PROJECT = "churn"
ALLOWED, REFUSED = f"show project {PROJECT}", f"delete project {PROJECT}"
_REFUSAL = "Not allowed"
MEMORY, CORES = 600 * 2**20, 1.5
WAIT_SECONDS = 90.0
START_SECONDS = 180.0


def seed_project(person: str, owner: str) -> Callable[[Any], None]:
    """Return the changes before the start of a hub: two projects of the owner, and their executor with limits."""

    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import lifecycle
        from aizen_hub.accounts.roles import assignments, limits
        from aizen_hub.rbac.identity import Identity

        for name in (PROJECT, "elsewhere"):
            lifecycle.create_project(tx, name, owner=Identity.user(owner))
            assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], name, Identity.user(person), reason="test")
        for kind, value in (("memory", MEMORY), ("cpu", CORES)):
            limits.set_limit(tx, Identity.user(person), PROJECT, kind, value)

    return seed


def revoke_roles(hub: HubHandle, person: str) -> None:
    """Revoke the role of a person in the project, as the operator of the service."""
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    _change(
        hub,
        lambda tx: assignments.revoke_roles(tx, ["PROJECT_EXECUTOR"], PROJECT, Identity.user(person), reason="test"),
    )


def lock_person(hub: HubHandle, person: str) -> None:
    """Lock a person, as the operator of the service."""
    from aizen_hub.accounts.sessions import locks
    from aizen_hub.rbac.assignment import LockTarget

    _change(hub, lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, f"user:{person}", reason="test"))


def _change(hub: HubHandle, change: Callable[[Any], object]) -> None:
    from aizen_hub.catalogs.loader import load_catalog
    from aizen_hub.rbac.identity import Identity
    from aizen_hub.store.actor import Actor, Channel
    from aizen_hub.store.sql_store import Store

    settings = hub.settings
    store = Store.open(settings, load_catalog(settings.catalog, settings.overlays))
    try:
        with store.write(Actor(Identity.service_account("operator"), Channel.OPERATOR)) as tx:
            change(tx)
    finally:
        store.close()


def check_commands(kernel: Kernel) -> None:
    """Run a command that the role allows, and one that it refuses."""
    check_allowed(kernel)
    check_refused(kernel)


def check_allowed(kernel: Kernel) -> None:
    """Run a command that every role in the project allows."""
    text = kernel.execute(ALLOWED, seconds=WAIT_SECONDS).text
    assert PROJECT in text, text
    assert _REFUSAL not in text, text


def check_refused(kernel: Kernel) -> None:
    """Run a command that needs another role, which the refusal names."""
    text = kernel.execute(REFUSED, seconds=WAIT_SECONDS).text
    assert _REFUSAL in text, text
    assert "PROJECT_ADMIN" in text, text


def environment_in(kernel: Kernel) -> dict[str, str]:
    """Return the environment of a kernel."""
    text = kernel.execute("import json, os; print(json.dumps(dict(os.environ)))").stream
    values: dict[str, str] = json.loads(text)
    return values


def find_secret(folders: Iterable[Path], secret: str) -> list[str]:
    """Return the files below folders that hold a secret."""
    found = []
    for folder in folders:
        # Not `rglob`, which fails where a folder is removed in between.
        for parent, _folders, names in os.walk(folder):
            for path in (Path(parent, name) for name in names):
                try:
                    if path.is_file() and secret.encode() in path.read_bytes():
                        found.append(str(path))
                except OSError:  # removed in between, or a file of the kernel that cannot be read
                    continue
    return found


def runtime_folders(secret: str) -> list[Path]:
    """Return the folders in which servers with a secret in their environment keep what they tell Jupyter's programs."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines = (process / "environ").read_bytes().split(b"\0")
            values = dict(line.decode(errors="replace").split("=", 1) for line in lines if b"=" in line)
            if secret not in values.values():
                continue
            folder = values.get("JUPYTER_RUNTIME_DIR") or f"{values['HOME']}/.local/share/jupyter/runtime"
            # As the server sees it: its mounts differ from those of this process.
            path = Path(f"{process}/root{folder}")
            status = path.stat()
        except (OSError, KeyError):  # it has ended, or is a shell without a home
            continue
        found[status.st_dev, status.st_ino] = path
    return list(found.values())


def may_others_read(path: Path) -> bool:
    """Return whether accounts beside root and the owner can open a file: its mode, and that of each folder above it."""
    is_closed = any(not folder.stat().st_mode & 0o011 for folder in path.parents)
    return bool(path.stat().st_mode & 0o044) and not is_closed


def find_in_processes(secret: str, allowed_uids: set[int]) -> list[str]:
    """Return the processes with a secret in an argument, or in the environment of another account."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            uid = process.stat().st_uid
            if secret.encode() in (process / "cmdline").read_bytes():
                found.append(f"{process}: argument")
            if uid not in allowed_uids and secret.encode() in (process / "environ").read_bytes():
                found.append(f"{process}: environment of {uid}")
        except OSError:  # it has ended
            continue
    return found


def wait_until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def check_revocation(hub: HubHandle, person: str, kernel: Kernel, is_running: Callable[[], object]) -> None:
    """Revoke a role, so that the next command is refused; lock the person, so that the engine ends the server."""
    assert is_running()
    revoke_roles(hub, person)
    refused = kernel.execute(ALLOWED, seconds=WAIT_SECONDS).text
    assert _REFUSAL in refused, refused
    lock_person(hub, person)
    wait_until(lambda: not is_running(), "the server of a locked person ends")
