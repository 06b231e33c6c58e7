"""What the spawn page offers: the last used project first, and reasons for those that cannot be entered."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert, update

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks, spawn_options
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.transaction import WriteTransaction
from tests.accounts.harness import OPERATOR, AccountsHarness


def options_of(harness: AccountsHarness, user: str) -> spawn_options.SpawnOptions:
    with harness.read() as tx:
        return spawn_options.get_spawn_options(tx, user)


def test_the_last_used_project_is_first(harness: AccountsHarness) -> None:
    harness.create_project("p2", "carl")
    harness.create_project("p0", "carl")

    def use(tx: WriteTransaction) -> None:
        times = {"credential": "c", "hub": "main", "started": tx.now, "last_seen": tx.now, "ended": tx.now}
        tx.conn.execute(insert(tables.sessions).values(id="s", user="carl", server="", project="p2", **times))

    harness.execute(OPERATOR, use)
    options = options_of(harness, "carl")
    names = [project.name for project in options.projects]
    assert names[0] == "p2"
    assert names[1:] == sorted(names[1:])
    assert options.projects[0].last_used is not None
    assert options.projects[0].roles[0].text
    assert [project.running_servers for project in options.projects] == [0, 0, 0]
    harness.execute(OPERATOR, lambda tx: tx.conn.execute(update(tables.sessions).values(ended=None)))
    assert options_of(harness, "carl").projects[0].running_servers == 1


def test_a_role_ends_when_the_last_of_its_assignments_does(harness: AccountsHarness) -> None:
    day = timedelta(days=1)
    with harness.read() as tx:
        soon, later = Interval(None, tx.now + day), Interval(None, tx.now + 9 * day)
    rita = Identity.user("rita")
    harness.execute("carl", assignments.grant_roles, ["PROJECT_EXECUTOR"], "p1", rita, interval=soon)
    harness.execute(OPERATOR, management.create_group, "crew")
    harness.execute(OPERATOR, membership.add_member, "crew", rita)
    harness.execute("carl", assignments.grant_roles, ["PROJECT_EXECUTOR"], "p1", Identity.group("crew"), interval=later)
    ends = {role.name: role.ends for project in options_of(harness, "rita").projects for role in project.roles}
    assert ends["PROJECT_EXECUTOR"] == later.ends, "the group's"


def test_a_confirmation_by_a_directory_is_no_end(sandbox: AccountsHarness) -> None:
    sandbox.add_directory_member("crew", Identity.user("tim"))
    sandbox.grant("PROJECT_READER", "p1", Identity.group("crew"))
    (project,) = options_of(sandbox, "tim").projects
    assert [(role.name, role.ends) for role in project.roles] == [("PROJECT_READER", None)]


def test_listed_projects_without_a_role_can_be_asked_for(harness: AccountsHarness) -> None:
    harness.create_project("p2", "carl")

    def unlist(tx: WriteTransaction) -> None:
        tx.conn.execute(update(tables.projects).values(listed=tables.projects.c.name == "p2"))

    harness.execute(OPERATOR, unlist)
    unavailable = options_of(harness, "rita").unavailable
    assert [(project.name, project.may_ask) for project in unavailable] == [("p2", True)]


def test_a_stopped_project_says_so(harness: AccountsHarness) -> None:
    harness.execute("admin", locks.lock_target, LockTarget.PROJECT, "p1", reason="x")
    options = options_of(harness, "rita")
    assert [project.name for project in options.projects] == []
    assert [(project.name, project.may_ask) for project in options.unavailable] == [("p1", False)]


def test_an_archived_project_is_not_offered_and_says_why(harness: AccountsHarness) -> None:
    harness.execute("admin", locks.lock_target, LockTarget.ARCHIVE, "p1", reason="x")
    options = options_of(harness, "rita")
    assert [project.name for project in options.projects] == []
    (project,) = options.unavailable
    assert (project.name, project.may_ask) == ("p1", False)
    assert project.reason == "It is archived and can only be read; AIZEN_ADMIN can restore it."

    def list_it(tx: WriteTransaction) -> None:
        tx.conn.execute(update(tables.projects).values(listed=True))

    harness.execute(OPERATOR, list_it)
    assert options_of(harness, "zoe").unavailable == (), "nothing there can be requested"
