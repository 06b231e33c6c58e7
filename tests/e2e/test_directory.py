"""The main job with a real directory: sign in, start a server for a project, run commands, be refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRefused, SpawnRefused
from tests.fixtures.hub import HubHandle, running_hub

pytestmark = pytest.mark.needs("slapd")
SHOWN = "application/vnd.aizen.result+json"


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    from tests.fixtures.slapd import PASSWORDS

    return PASSWORDS


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    from tests.fixtures.slapd import GROUPS, running_directory

    def seed(tx: Any) -> None:
        from aizen_hub.accounts.projects import projects
        from aizen_hub.accounts.roles import assignments
        from aizen_hub.accounts.users import users
        from aizen_hub.rbac.identity import Identity

        for name in ("alice", "bob"):
            users.create(tx, name, provider="lab")
        projects.create(tx, "churn", owner=Identity.user("lead"))
        projects.create(tx, "secret", owner=Identity.user("lead"))
        assignments.grant(tx, ["PROJECT_READER"], "churn", Identity.user("alice"))

    with running_directory(tmp_path_factory.mktemp("d")) as directory:
        config = directory.settings(
            group_search_base=GROUPS,
            group_search_filter="(member={userdn})",
            allowed_groups=[f"cn=team,{GROUPS}", f"cn=guests,{GROUPS}"],
        )
        settings = {
            "providers": [
                {"name": "lab", "kind": "ldap", "label": "Your laboratory account", "config": config},
                {"name": "local", "kind": "local"},
            ]
        }
        # Somebody whom the directory knows and lets in, and whom nobody has registered.
        directory.ldapadd(
            f"dn: cn=guests,{GROUPS}\nobjectClass: groupOfNames\ncn: guests\n"
            "member: uid=carol,ou=people,dc=lab,dc=test\n"
        )
        with running_hub(tmp_path_factory.mktemp("h"), settings, accounts=("lead",), seed=seed) as running:
            yield running


def test_the_page_names_the_directory(hub: HubHandle) -> None:
    assert "Your laboratory account" in Browser(hub.url).get("/hub/login").text


def test_a_member_of_the_group_works_in_a_project(hub: HubHandle, passwords: dict[str, str]) -> None:
    browser = hub.login("alice", passwords["alice"], provider="lab")
    assert browser.choices() in (["churn"], []), "only projects that alice has a role in are offered"
    with hub.kernel(browser, hub.spawn(browser, "churn")) as kernel:
        listed = kernel.execute("list projects")
        assert "churn" in listed.text
        assert "secret" not in listed.text
        refused = kernel.execute("start training churn")
        document = refused.data[-1][SHOWN]
        assert document["decision"]["allowed"] is False
        assert document["decision"]["role"] == "PROJECT_EXECUTOR"
        assert "lead" in document["who_can_grant"]
        # Allowed, but this hub has no platform behind it, and says so instead of pretending.
        assert "no core is configured" in kernel.execute("list trainings").text
    browser.stop()


def test_another_project_is_no_way_in(hub: HubHandle, passwords: dict[str, str]) -> None:
    browser = hub.login("alice", passwords["alice"], provider="lab")
    with pytest.raises(SpawnRefused, match="secret"):
        browser.spawn("secret")


@pytest.mark.parametrize("password", ["wrong", "", " ", "x" * 5000], ids=["wrong", "empty", "blank", "long"])
def test_a_wrong_password_does_not_sign_in(hub: HubHandle, password: str) -> None:
    with pytest.raises(LoginRefused):
        Browser(hub.url).login("alice", password, provider="lab")


def test_outside_the_group_nobody_signs_in(hub: HubHandle, passwords: dict[str, str]) -> None:
    with pytest.raises(LoginRefused):
        Browser(hub.url).login("bob", passwords["bob"], provider="lab")


def test_a_person_whom_nobody_registered_is_told_so(hub: HubHandle, passwords: dict[str, str]) -> None:
    with pytest.raises(LoginRefused, match=r"(?i)not registered"):
        Browser(hub.url).login("carol", passwords["carol"], provider="lab")


def test_the_directory_knows_no_local_accounts_and_the_other_way_round(
    hub: HubHandle, passwords: dict[str, str]
) -> None:
    with pytest.raises(LoginRefused):
        Browser(hub.url).login("lead", hub.passwords["lead"], provider="lab")
    with pytest.raises(LoginRefused):
        Browser(hub.url).login("alice", passwords["alice"], provider="local")
