"""The settings of a project that give no right: its description, and whether it is listed."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.projects import profile
from aizen_hub.problems import Denied, NotFound, TextTooLong
from tests.accounts.harness import AccountsHarness


def listed(sandbox: AccountsHarness, text: str = "", after: str = "") -> list[str]:
    with sandbox.read() as tx:
        return [row.name for row in profile.listed_projects(tx, text, after=after)]


def test_an_admin_of_the_project_lists_it_and_takes_it_back(sandbox: AccountsHarness) -> None:
    assert listed(sandbox) == []
    sandbox.execute("paul", profile.update_profile, "p1", listed=True, description="Who is about to leave?")
    sandbox.execute("olga", profile.update_profile, "p2", listed=True)
    assert listed(sandbox) == ["p1", "p2"]
    assert listed(sandbox, "P1") == ["p1"]
    assert listed(sandbox, after="p1") == ["p2"]
    sandbox.execute("paul", profile.update_profile, "p1", listed=False)
    assert listed(sandbox) == ["p2"]
    with sandbox.read() as tx:
        assert profile.get_project(tx, "p1").description == "Who is about to leave?"


def test_a_wildcard_in_the_search_is_text(sandbox: AccountsHarness) -> None:
    sandbox.execute("paul", profile.update_profile, "p1", listed=True)
    assert listed(sandbox, "%") == []
    assert listed(sandbox, "_") == []


@pytest.mark.proves("R72")
@pytest.mark.parametrize(("actor", "error"), [("rita", Denied), ("zoe", NotFound), ("admin", Denied)])
def test_only_who_may_alter_the_project(sandbox: AccountsHarness, actor: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        sandbox.execute(actor, profile.update_profile, "p1", listed=True)
    assert listed(sandbox) == []


def test_a_description_that_is_too_long(sandbox: AccountsHarness) -> None:
    with pytest.raises(TextTooLong):
        sandbox.execute("paul", profile.update_profile, "p1", description="a" * 1001)


def test_nothing_is_recorded_where_nothing_changes(sandbox: AccountsHarness) -> None:
    before = sandbox.state()
    sandbox.execute("paul", profile.update_profile, "p1", listed=False, description="")
    assert sandbox.state() == before
