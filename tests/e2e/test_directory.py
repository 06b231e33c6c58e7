"""The main use case with a real directory: login, a server for a project, allowed and denied commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError, SpawnRejectedError
from tests.fixtures.hub import HubHandle, running_hub

pytestmark = pytest.mark.needs("slapd")
SHOWN = "application/vnd.aizen.result+json"


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    from tests.fixtures.identity.slapd import PASSWORDS

    return PASSWORDS


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    from tests.fixtures.identity.slapd import GROUPS_DN, running_directory

    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import lifecycle
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.accounts.users import registration
        from aizen_hub.rbac.identity import Identity

        for name in ("alice", "bob"):
            registration.create_user(tx, name, provider="lab")
        lifecycle.create_project(tx, "churn", owner=Identity.user("lead"))
        lifecycle.create_project(tx, "secret", owner=Identity.user("lead"))
        assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user("alice"))

    with running_directory(tmp_path_factory.mktemp("d")) as directory:
        config = directory.settings(
            group_search_base=GROUPS_DN,
            group_search_filter="(member={userdn})",
            allowed_groups=[f"cn=team,{GROUPS_DN}", f"cn=guests,{GROUPS_DN}"],
        )
        settings = {
            "providers": [
                {"name": "lab", "kind": "ldap", "label": "Your laboratory account", "config": config},
                {"name": "local", "kind": "local"},
            ]
        }
        # A user of the directory in an allowed group, who is not registered.
        directory.ldapadd(
            f"dn: cn=guests,{GROUPS_DN}\nobjectClass: groupOfNames\ncn: guests\n"
            "member: uid=carol,ou=people,dc=lab,dc=test\n"
        )
        with running_hub(tmp_path_factory.mktemp("h"), settings, accounts=("lead",), seed=seed) as running:
            yield running


def test_the_page_names_the_directory(hub: HubHandle) -> None:
    assert "Your laboratory account" in Browser(hub.url).get("/hub/login").text


def test_a_member_of_the_group_works_in_a_project(hub: HubHandle, passwords: dict[str, str]) -> None:
    browser = hub.login("alice", passwords["alice"], provider="lab")
    assert browser.offered_projects() in (["churn"], []), "only projects that alice has a role in are offered"
    with hub.kernel(browser, hub.spawn(browser, "churn")) as kernel:
        listed = kernel.execute("list projects")
        assert "churn" in listed.text
        assert "secret" not in listed.text
        refused = kernel.execute("start training churn")
        document = refused.data[-1][SHOWN]
        assert document["decision"]["allowed"] is False
        assert document["decision"]["role"] == "PROJECT_EXECUTOR"
        assert "lead" in document["who_can_grant"]
        # Allowed, but this hub has no core.
        assert "no core is configured" in kernel.execute("list trainings").text
    browser.stop()


def test_a_server_for_another_project_is_denied(hub: HubHandle, passwords: dict[str, str]) -> None:
    browser = hub.login("alice", passwords["alice"], provider="lab")
    with pytest.raises(SpawnRejectedError, match="secret"):
        browser.spawn("secret")
    assert "secret" in browser.get("/hub/spawn-pending/alice").alert, "the page of a start that took longer says why"


@pytest.mark.parametrize("password", ["wrong", "", " ", "x" * 5000], ids=["wrong", "empty", "blank", "long"])
def test_a_wrong_password_does_not_sign_in(hub: HubHandle, password: str) -> None:
    with pytest.raises(LoginRejectedError):
        Browser(hub.url).login("alice", password, provider="lab")


def test_a_user_outside_the_group_cannot_sign_in(hub: HubHandle, passwords: dict[str, str]) -> None:
    with pytest.raises(LoginRejectedError):
        Browser(hub.url).login("bob", passwords["bob"], provider="lab")


def test_an_unregistered_user_gets_an_explanation(hub: HubHandle, passwords: dict[str, str]) -> None:
    with pytest.raises(LoginRejectedError, match=r"(?i)not registered"):
        Browser(hub.url).login("carol", passwords["carol"], provider="lab")


def test_accounts_of_the_directory_and_local_accounts_are_separate(hub: HubHandle, passwords: dict[str, str]) -> None:
    with pytest.raises(LoginRejectedError):
        Browser(hub.url).login("lead", hub.passwords["lead"], provider="lab")
    with pytest.raises(LoginRejectedError):
        Browser(hub.url).login("alice", passwords["alice"], provider="local")
