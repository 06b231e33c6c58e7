"""A directory that stops answering while people work: they keep what the stated grace allows, and no more (T-22)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRefused
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.roads import api_token, holds, may, project_of_session, renewed, runs, wait_for, with_token

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]

SUFFIX = "dc=lab,dc=test"
GRACE = 60
DEADLINE = 2.0
LIFETIME = 30


def seed(tx: Any) -> None:
    from aizen_hub.accounts.groups import mapping_rules as mappings
    from aizen_hub.accounts.projects import projects
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import users
    from aizen_hub.rbac.identity import Identity

    for name in ("alice", "bob", "carol"):
        users.create(tx, name, provider="lab")
    projects.create(tx, "churn", owner=Identity.user("maker"))
    mappings.put(tx, "lab", "team-{project}", "PROJECT_EXECUTOR")
    for name in ("bob", "erin"):
        assignments.grant(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def hub(directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    group = f"cn=team-churn,ou=groups,{SUFFIX}"
    directory.ldapadd(f"dn: {group}\nobjectClass: groupOfNames\ncn: team-churn\nmember: uid=alice,ou=people,{SUFFIX}\n")
    settings = {
        "group_max_age_seconds": GRACE,
        "role_token": {"lifetime_seconds": LIFETIME},
        "providers": [
            {"name": "lab", "kind": "ldap", "config": directory.settings(), "deadline_seconds": DEADLINE},
            {"name": "local", "kind": "local"},
        ],
    }
    try:
        with running_hub(
            tmp_path_factory.mktemp("outage"),
            settings,
            accounts={"maker": "PROJECT_CREATOR", "erin": ""},
            seed=seed,
            config="c.AizenAuthenticator.auth_refresh_age = 1",
            tiny=("alice", "bob", "erin"),
        ) as running:
            yield running
    finally:
        directory.ldapdelete(group)


def signed_in(person: Browser) -> bool:
    return person.api("GET", "/hub/api/user").status == 200


def until(end: float, *things: Callable[[], bool]) -> None:
    """Watch that things stay as they are until a moment."""
    while time.monotonic() < end:
        for thing in things:
            assert thing()
        time.sleep(2)


def test_the_grace_and_no_more(hub: HubHandle, directory: Any) -> None:
    # Somebody with a role by a group of the directory, somebody with one by name, and somebody whom it does not know.
    alice = hub.login("alice", "alice-has-a-secret", provider="lab")
    bob = hub.login("bob", "bob-has-a-secret", provider="lab")
    erin = hub.login("erin", provider="local")
    everybody = {one: environment_of(one, one.spawn("churn")) for one in (alice, bob, erin)}
    tokens = {one: api_token(one) for one in everybody}
    assert all(may(one) for one in everybody.values())
    stopped = time.monotonic()
    with directory.hung():
        refused = Browser(hub.url, deadline=DEADLINE + 4)
        with pytest.raises(LoginRefused, match="cannot be reached at the moment"):
            refused.login("carol", "carol-has-a-secret", provider="lab")
        until(
            # The last time that it answered may lie a little before it was stopped.
            stopped + GRACE / 2,
            lambda: signed_in(alice),
            lambda: signed_in(bob),
            lambda: may(everybody[alice]),
            lambda: may(everybody[bob]),
        )
        last = {one: renewed(environ) or "" for one, environ in everybody.items()}
        wait_for(lambda: not signed_in(alice) and not signed_in(bob), GRACE)
        wait_for(lambda: not may(everybody[alice]) and renewed(everybody[bob]) is None, GRACE)
        for one in (alice, bob):
            assert "/hub/login" in one.get("/hub/home").url
            assert with_token(hub, tokens[one], "GET", "/hub/api/user").status == 403
            body = {"user_options": {"project": "churn"}}
            assert with_token(hub, tokens[one], "POST", f"/hub/api/users/{one.name}/servers/two", body).status == 403
        # What was given out while it still held lives for as long as a role token does.
        wait_for(lambda: not holds(everybody[bob], last[bob]), LIFETIME + 10)
        assert not holds(everybody[alice], last[alice])
        # Nobody loses work over it: the servers run, and wait.
        assert runs(hub, "alice")
        assert runs(hub, "bob")
        assert project_of_session(hub, "bob") == "churn"
        # Whom the directory has nothing to do with goes on.
        assert signed_in(erin)
        assert may(everybody[erin])
    wait_for(lambda: may(everybody[alice]) and may(everybody[bob]), GRACE)
    again = hub.login("alice", "alice-has-a-secret", provider="lab")
    assert again.server() is not None
    assert hub.login("carol", "carol-has-a-secret", provider="lab").name == "carol"
    again.stop()
    hub.login("bob", "bob-has-a-secret", provider="lab").stop()
    erin.stop()
