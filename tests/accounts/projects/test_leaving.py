"""Leaving a project: which roles a member can give up, and which not."""

from __future__ import annotations

import pytest

from aizen_hub.accounts.projects import leaving
from aizen_hub.problems import Conflict, Escalation, LastHolder, NotFound, Problem
from tests.accounts.harness import AccountsHarness


def test_a_member_gives_up_all_own_roles(harness: AccountsHarness) -> None:
    harness.grant("PROJECT_READER", "p1", "emma")
    assert harness.roles_of("emma", "p1") >= {"PROJECT_READER", "PROJECT_EXECUTOR"}
    harness.execute("emma", leaving.leave_project, "p1")
    assert harness.roles_of("emma", "p1") == set()


def test_the_creator_cannot_leave(harness: AccountsHarness) -> None:
    harness.create_project("p2", "emma")
    with pytest.raises(Escalation, match="created"):
        harness.execute("emma", leaving.leave_project, "p2")
    assert harness.roles_of("emma", "p2") != set()


def test_a_role_of_a_mapping_rule_cannot_be_given_up(harness: AccountsHarness) -> None:
    harness.create_project("p2", "carl")
    harness.grant("PROJECT_READER", "p2", "rita", mapped=True)
    with pytest.raises(Conflict, match="mapping rule"):
        harness.execute("rita", leaving.leave_project, "p2")


@pytest.mark.proves("R72")
def test_an_invisible_project_is_as_one_that_does_not_exist(harness: AccountsHarness) -> None:
    harness.create_project("p2", "carl")
    texts = set()
    for name in ("p2", "p9"):
        with pytest.raises(NotFound) as caught:
            harness.execute("rita", leaving.leave_project, name)
        texts.add(caught.value.detail.replace(name, ""))
    assert len(texts) == 1


def test_an_admin_without_a_role_of_the_own_has_nothing_to_leave(harness: AccountsHarness) -> None:
    with pytest.raises(Problem) as caught:
        harness.execute("admin", leaving.leave_project, "p1")
    assert isinstance(caught.value, Conflict | NotFound)
    assert not isinstance(caught.value, LastHolder)
