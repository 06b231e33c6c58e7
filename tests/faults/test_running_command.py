"""A long command that runs while the right to it ends: it is stopped at the core, under load (T-08)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store.transaction import WriteTransaction
from tests.service.conftest import Session
from tests.service.core.test_gateway import ServiceWithCore, audit, running, until, world  # noqa: F401 - a fixture

BOUND_SECONDS = 15.0
"""A running command is decided again every second; the rest is for cancelling, and for a busy machine."""
EVE = Identity.user("eve")


def children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread of the core may end between the listing and the reading.
        with suppress(FileNotFoundError, ProcessLookupError):
            found |= {int(child) for child in (task / "children").read_text(encoding="ascii").split()}
    return found


ENDS: dict[str, Callable[[WriteTransaction, Session], object]] = {
    "the person is locked": lambda tx, _: locks.lock_target(tx, LockTarget.IDENTITY, str(EVE), reason="test"),
    "the project is locked": lambda tx, _: locks.lock_target(tx, LockTarget.PROJECT, "p1", reason="test"),
    "the session is locked": lambda tx, eve: locks.lock_target(tx, LockTarget.SESSION, eve.id, reason="test"),
    "the role is taken": lambda tx, _: assignments.revoke_roles(tx, ["PROJECT_EXECUTOR"], "p1", EVE),
    "the person is deleted": lambda tx, _: registration.delete_users(tx, ["eve"]),
    "the project is deleted": lambda tx, _: lifecycle.delete_project(tx, "p1"),
}


@pytest.mark.proves("T-08", "R48", "R78")
@pytest.mark.parametrize("how", ENDS)
async def test_what_runs_is_stopped_at_the_core(world: ServiceWithCore, how: str) -> None:  # noqa: F811
    service = world.driver
    eve, rob = await service.open("eve"), await service.open("rob")
    ended = asyncio.Event()

    async def ask() -> None:
        while not ended.is_set():
            await service.call("POST", "/api/v1/decisions", {"permission": "read:model"}, auth=rob.auth)

    load: list[Awaitable[Any]] = [asyncio.create_task(ask()) for _ in range(4)]
    command = asyncio.create_task(service.command(eve, "start training slow"))
    assert world.core is not None
    pid = world.core.pid
    await until(lambda: running(service) == ["training slow"])
    await until(lambda: children(pid))
    with service.context.store.write(SERVICE_ACTOR) as tx:
        ENDS[how](tx, eve)
    acknowledged = time.monotonic()
    await until(lambda: not children(pid), BOUND_SECONDS)
    took = time.monotonic() - acknowledged
    last = (await asyncio.wait_for(command, 60)).lines[-1]
    ended.set()
    await asyncio.gather(*load)
    assert (last["event"], last["state"]) == ("end", "stopped"), last
    assert running(service) == []
    assert [row["details"]["state"] for row in audit(service, "outcome")] == ["stopped"]
    print(f"stopped after {took:.1f} s")
