"""A real hub with a real directory, started once for these tests, and signed-in browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser
from tests.fixtures.hub import HubHandle, running_hub

SUFFIX = "dc=lab,dc=test"
SIGNED_IN: dict[tuple[str, str], Browser] = {}
GROUPS = f"ou=groups,{SUFFIX}"

# A hook of an operator, as written for ldapauthenticator.
HOOK = """
def _export_attributes(spawner, auth_state):
    attributes = (auth_state or {}).get('user_attributes')
    spawner.environment = {**spawner.environment, 'ATTRIBUTES': repr(attributes)}

c.Spawner.auth_state_hook = _export_attributes
"""


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.sessions import locks
    from aizen_hub.accounts.users import registration
    from aizen_hub.rbac.assignment import LockTarget
    from aizen_hub.rbac.identity import Identity

    registration.create_user(tx, "alice", provider="lab")
    registration.create_user(tx, "gustav", provider="lab")
    for name in ("churn", "fraud"):
        lifecycle.create_project(tx, name, description=f"About <{name}>", owner=Identity.user("maker"))
    for name in ("erin", "alice", "leaver", "gustav"):
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")
    for name in ("guest", "leyla"):
        assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user(name), reason="test")
    locks.lock_target(tx, LockTarget.IDENTITY, "user:stopped", reason="test")


@pytest.fixture(scope="package")
def hub(directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    folder = tmp_path_factory.mktemp("hub")
    config = directory.settings(
        allowed_groups=[f"cn=team,{GROUPS}", f"cn=outside,{GROUPS}"], auth_state_attributes=["mail", "telephoneNumber"]
    )
    settings = {
        "service": {"deadline_seconds": 6},
        "providers": [
            {"name": "local", "kind": "local", "label": "Local account"},
            {"name": "lab", "kind": "ldap", "label": "Lab directory", "config": config, "deadline_seconds": 6},
        ],
    }
    accounts = {
        "boss": "AIZEN_ADMIN",
        "maker": "PROJECT_CREATOR",
        **dict.fromkeys(("erin", "leaver", "newcomer", "stopped", "guest", "leyla"), ""),
    }
    with running_hub(
        folder,
        settings,
        accounts=accounts,
        seed=seed,
        config=HOOK,
        fake_servers=("erin", "leaver", "guest", "boss", "maker", "gustav", "leyla"),
    ) as running:
        yield running


@pytest.fixture
def browser(hub: HubHandle) -> Iterator[Callable[..., Browser]]:
    """Sign users in; they stay signed in for the next test, and their servers are stopped."""
    used: list[Browser] = []

    def login(name: str, *args: Any, **more: Any) -> Browser:
        person = SIGNED_IN.get((hub.url, name))
        if person is None or person.api("GET", "/hub/api/user").status != 200:
            person = SIGNED_IN[hub.url, name] = hub.login(name, *args, **more)
        used.append(person)
        return person

    yield login
    for person in used:
        servers = person.api("GET", f"/hub/api/users/{person.name}")
        for name in servers.json()["servers"] if servers.status == 200 else ():
            person.stop(name)
