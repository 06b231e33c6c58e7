"""A directory outage while users work: they keep their rights for the grace period, and no longer (T-22)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import HubHandle, environment_of, running_hub
from tests.hub.credentials import (
    create_hub_token,
    has_running_server,
    is_allowed_now,
    is_allowed_with,
    project_of_session,
    renew_role_token,
    request_with_token,
    wait_until,
)

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]

SUFFIX = "dc=lab,dc=test"
GRACE_SECONDS = 60
DEADLINE = 2.0
LIFETIME = 30


def seed(tx: Any) -> None:
    from aizen_hub.accounts.groups import mapping_rules
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.accounts.users import registration
    from aizen_hub.rbac.identity import Identity

    for name in ("alice", "bob", "carol"):
        registration.create_user(tx, name, provider="lab")
    lifecycle.create_project(tx, "churn", owner=Identity.user("maker"))
    mapping_rules.create_rule(tx, "lab", "team-{project}", "PROJECT_EXECUTOR")
    for name in ("bob", "erin"):
        assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user(name), reason="test")


@pytest.fixture(scope="module")
def hub(directory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    group = f"cn=team-churn,ou=groups,{SUFFIX}"
    directory.ldapadd(f"dn: {group}\nobjectClass: groupOfNames\ncn: team-churn\nmember: uid=alice,ou=people,{SUFFIX}\n")
    settings = {
        "group_max_age_seconds": GRACE_SECONDS,
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
            fake_servers=("alice", "bob", "erin"),
        ) as running:
            yield running
    finally:
        directory.ldapdelete(group)


def signed_in(person: Browser) -> bool:
    return person.api("GET", "/hub/api/user").status == 200


def hold_until(end: float, *conditions: Callable[[], bool]) -> None:
    """Check repeatedly, until a time, that conditions stay true."""
    while time.monotonic() < end:
        for condition in conditions:
            assert condition()
        time.sleep(2)


def test_the_grace_period_and_no_more(hub: HubHandle, directory: Any) -> None:
    # A user with a role by a directory group, one with a role by name, and one who is not in the directory.
    alice = hub.login("alice", "alice-has-a-secret", provider="lab")
    bob = hub.login("bob", "bob-has-a-secret", provider="lab")
    erin = hub.login("erin", provider="local")
    environments = {user: environment_of(user, user.spawn("churn")) for user in (alice, bob, erin)}
    tokens = {user: create_hub_token(user) for user in environments}
    assert all(is_allowed_now(environ) for environ in environments.values())
    stopped = time.monotonic()
    with directory.hung():
        refused = Browser(hub.url, deadline=DEADLINE + 4)
        with pytest.raises(LoginRejectedError, match="cannot be reached at the moment"):
            refused.login("carol", "carol-has-a-secret", provider="lab")
        hold_until(
            # The last successful refresh may be a little before the outage.
            stopped + GRACE_SECONDS / 2,
            lambda: signed_in(alice),
            lambda: signed_in(bob),
            lambda: is_allowed_now(environments[alice]),
            lambda: is_allowed_now(environments[bob]),
        )
        last = {user: renew_role_token(environ) or "" for user, environ in environments.items()}
        wait_until(lambda: not signed_in(alice) and not signed_in(bob), GRACE_SECONDS)
        wait_until(
            lambda: not is_allowed_now(environments[alice]) and renew_role_token(environments[bob]) is None,
            GRACE_SECONDS,
        )
        for user in (alice, bob):
            assert "/hub/login" in user.get("/hub/home").url
            assert request_with_token(hub, tokens[user], "GET", "/hub/api/user").status == 403
            body = {"user_options": {"project": "churn"}}
            assert (
                request_with_token(hub, tokens[user], "POST", f"/hub/api/users/{user.name}/servers/two", body).status
                == 403
            )
        # Role tokens issued before remain valid until they expire.
        wait_until(lambda: not is_allowed_with(environments[bob], last[bob]), LIFETIME + 10)
        assert not is_allowed_with(environments[alice], last[alice])
        # No work is lost: the servers keep running.
        assert has_running_server(hub, "alice")
        assert has_running_server(hub, "bob")
        assert project_of_session(hub, "bob") == "churn"
        # A user of another provider is not affected.
        assert signed_in(erin)
        assert is_allowed_now(environments[erin])
    wait_until(lambda: is_allowed_now(environments[alice]) and is_allowed_now(environments[bob]), GRACE_SECONDS)
    again = hub.login("alice", "alice-has-a-secret", provider="lab")
    assert again.server() is not None
    assert hub.login("carol", "carol-has-a-secret", provider="lab").name == "carol"
    again.stop()
    hub.login("bob", "bob-has-a-secret", provider="lab").stop()
    erin.stop()
