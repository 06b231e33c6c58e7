"""A real hub with a real directory, started once for these tests, and people at browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import HubHandle, running_hub

SUFFIX = "dc=lab,dc=test"
SIGNED_IN: dict[tuple[str, str], Browser] = {}
GROUPS = f"ou=groups,{SUFFIX}"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.sessions import locks
    from aizen_hub.accounts.users import users
    from aizen_hub.rbac.assignment import LockTarget
    from aizen_hub.rbac.identity import Identity

    users.create(tx, "alice", provider="lab")
    users.create(tx, "gustav", provider="lab")
    for name in ("churn", "fraud"):
        projects.create(tx, name, description=f"About <{name}>", owner=Identity.user("maker"))
    for name in ("erin", "alice", "leaver", "gustav"):
        assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")
    for name in ("guest", "leyla"):
        assignments.grant(tx, ["PROJECT_READER"], "churn", Identity.user(name), reason="test")
    locks.lock(tx, LockTarget.IDENTITY, "user:stopped", reason="test")


@pytest.fixture(scope="package")
def hub(directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    folder = tmp_path_factory.mktemp("hub")
    config = directory.settings(allowed_groups=[f"cn=team,{GROUPS}", f"cn=outside,{GROUPS}"])
    settings = {
        "service": {"deadline_seconds": 2},
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            {"name": "lab", "kind": "ldap", "label": "Lab directory", "config": config, "deadline_seconds": 2},
        ],
    }
    accounts = {
        "boss": "AIZEN_ADMIN",
        "maker": "PROJECT_CREATOR",
        **dict.fromkeys(("erin", "leaver", "nobody", "stopped", "guest", "leyla"), ""),
    }
    with running_hub(
        folder,
        settings,
        accounts=accounts,
        seed=seed,
        tiny=("erin", "leaver", "guest", "boss", "maker", "gustav", "leyla"),
    ) as running:
        yield running


@pytest.fixture
def browser(hub: HubHandle) -> Iterator[Callable[..., Browser]]:
    """Signed-in people, who stay signed in for the next test; their servers are stopped."""
    used: list[Browser] = []

    def login(name: str, *args: Any, **more: Any) -> Browser:
        known = SIGNED_IN.get((hub.url, name))
        if known is None or known.api("GET", "/hub/api/user").status != 200:
            known = SIGNED_IN[hub.url, name] = hub.login(name, *args, **more)
        used.append(known)
        return known

    yield login
    for one in used:
        servers = one.api("GET", f"/hub/api/users/{one.name}")
        for name in servers.json()["servers"] if servers.status == 200 else ():
            one.stop(name)
