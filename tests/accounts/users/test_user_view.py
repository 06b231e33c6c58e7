"""One user as others see it: names, contact data and roles, each for those who may see them."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.users import profiles, user_view
from aizen_hub.problems import Denied, NotFound
from tests.accounts.harness import AccountsHarness


def show(sandbox: AccountsHarness, viewer: str, name: str, project: str | None = None) -> dict[str, object]:
    data: dict[str, object] = sandbox.execute(viewer, user_view.show_user, name, project).data
    return data


def test_an_administrator_sees_contact_data_and_every_role(sandbox: AccountsHarness) -> None:
    seen = show(sandbox, "admin", "Rita")
    assert (seen["id"], seen["provider"], seen["active"]) == ("rita", "ldap", True)
    (role,) = seen["assignments"]  # type: ignore[misc, call-overload]
    assert (role["role"], role["scope"], role["until"]) == ("PROJECT_READER", "p1", None)


@pytest.mark.proves("R72")
def test_a_project_admin_sees_names_and_the_roles_of_that_project(sandbox: AccountsHarness) -> None:
    seen = show(sandbox, "paul", "carl", "p1")
    assert "provider" not in seen
    assert "email" not in seen
    assert seen["assignments"] == [], "the roles of carl are elsewhere"
    assert [role["role"] for role in show(sandbox, "paul", "rita", "p1")["assignments"]] == ["PROJECT_READER"]  # type: ignore[attr-defined]
    with pytest.raises(Denied):
        show(sandbox, "paul", "rita")


@pytest.mark.proves("R72")
@pytest.mark.parametrize("project", [None, "p1"])
def test_who_may_not_list_users_is_not_told_who_exists(sandbox: AccountsHarness, project: str | None) -> None:
    with pytest.raises(Denied) as known:
        show(sandbox, "rita", "emma", project)
    with pytest.raises(Denied) as unknown:
        show(sandbox, "rita", "missing", project)
    assert known.value.detail == unknown.value.detail
    with pytest.raises(NotFound):
        show(sandbox, "admin", "missing")


def test_a_search_finds_parts_of_names_and_for_managers_of_addresses(sandbox: AccountsHarness) -> None:
    sandbox.execute("rita", profiles.update_user, "rita", display_name="Rita Meyer", email="r100@example.org")

    def found(viewer: str, text: str, project: str | None = None) -> list[str]:
        return [row[0] for row in sandbox.execute(viewer, profiles.list_users, project, text).rows]

    assert found("admin", "MEYER") == found("admin", "rit") == found("admin", "r100@") == ["rita"]
    assert found("admin", "%") == []
    assert found("paul", "meyer", "p1") == ["rita"]
    assert found("paul", "r100@", "p1") == [], "the address is hidden, so it does not match either"
