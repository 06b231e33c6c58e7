"""Limits, jobs, locks and custom roles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.roles import limits, roles
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks as gate
from aizen_hub.jobs import quota as jobs
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, LimitReached, NotFound, Problem, Stale
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, House

EMMA = Identity.user("emma")


def start(town: House, number: str, project: str = "p1", who: Identity = EMMA, key: str = "training churn") -> None:
    town.do(OPERATOR, jobs.start, decision_id=number, identity=who, project=project, session=None, command=key, key=key)


def test_the_strictest_limit_wins_and_names_its_source(town: House) -> None:
    town.do("admin", limits.put, EMMA, SYSTEM, "jobs", 10)
    town.do(OPERATOR, groups.create, "crew")
    town.do(OPERATOR, groups.add_member, "crew", EMMA)
    town.do("admin", limits.put, Identity.group("crew"), SYSTEM, "jobs", 5)
    town.do("admin", roles.create, "SMALL", permissions=["read"], limits={"jobs": 7, "memory": 1e9})
    town.give("SMALL", "p1", "emma")
    with town.reading() as tx:
        found = limits.of(tx, EMMA, "p1")
        assert (found[LimitKind.JOBS].value, found[LimitKind.MEMORY].value) == (5, 1e9)
        assert "group:crew" in found[LimitKind.JOBS].source
        assert "SMALL" in found[LimitKind.MEMORY].source
        assert limits.numbers(tx, EMMA, "p2") == {"jobs": 5}
    town.do("admin", limits.put, Identity.group("crew"), SYSTEM, "jobs", None)
    with town.reading() as tx:
        assert limits.numbers(tx, EMMA, "p1")["jobs"] == 7


def test_the_jobs_limit_counts_what_runs(town: House) -> None:
    town.do("admin", limits.put, EMMA, SYSTEM, "jobs", 1)
    start(town, "a")
    before = town.state()
    with pytest.raises(LimitReached) as caught:
        start(town, "b")
    assert caught.value.more == {"limit": "jobs", "value": 1, "used": 1, "source": caught.value.more["source"]}
    assert "a limit set in system" in caught.value.more["source"]
    assert town.state() == before
    assert town.do(OPERATOR, jobs.end, "a", "done") is True
    assert town.do(OPERATOR, jobs.end, "a", "failed") is False  # the first outcome stays
    start(town, "b")


def test_a_limit_of_the_system_counts_all_projects_and_one_of_a_project_its_own(town: House) -> None:
    town.give("PROJECT_EXECUTOR", "p2", "emma")
    town.do("admin", limits.put, EMMA, SYSTEM, "jobs", 3)
    town.do("admin", roles.create, "ONE", permissions=["read"], limits={"jobs": 1})
    town.give("ONE", "p1", "emma")
    start(town, "a")
    with pytest.raises(LimitReached, match="role ONE"):
        start(town, "b")
    start(town, "b", "p2")
    start(town, "c", "p2")
    with pytest.raises(LimitReached, match="system"):
        start(town, "d", "p2")


@pytest.mark.proves("R82")
def test_one_decision_starts_one_job(town: House) -> None:
    start(town, "a")
    with pytest.raises(Conflict):
        start(town, "a")


def test_stop_frees_what_it_named(town: House) -> None:
    start(town, "a")
    start(town, "b", key="training other")
    start(town, "c", "p2", who=Identity.user("olga"))
    assert town.do(OPERATOR, jobs.end_named, "p1", "training churn") == 1
    assert town.do(OPERATOR, jobs.end_named, "p1", "all") == 1
    with town.reading() as tx:
        assert [row.decision_id for row in jobs.running(tx, "p2")] == ["c"]


def test_alerts_of_jobs_go_to_who_wants_them(town: House, monkeypatch: pytest.MonkeyPatch) -> None:
    town.run("paul", "list projects")
    from aizen_hub.accounts.users import users

    def told() -> list[Any]:
        with town.reading() as tx:
            return list(tx.conn.execute(tables.outbox.select()))

    town.do("admin", users.alter, "emma", email="emma@example.org", alerts={"email": True, "phone": False})
    start(town, "a")
    town.do(OPERATOR, jobs.end, "a", "failed", "no mail server yet")
    assert told() == [], "what nobody could deliver is not written"
    mail = MailSettings(host="mail.example.org", sender="hub@example.org")
    monkeypatch.setattr(
        town.trial_tx, "settings", town.settings.model_copy(update={"alerts": AlertSettings(mail=mail)})
    )
    start(town, "b")
    town.do(OPERATOR, jobs.end, "b", "failed", "out of memory")
    rows = told()
    assert [(row.recipient, row.event) for row in rows if row.channel == "email"] == [("emma", "job-failed")]


@pytest.mark.parametrize(("kind", "value"), [("nothing", 1), ("jobs", -1), ("jobs", 1e30), ("memory", float("nan"))])
def test_a_limit_is_a_number(town: House, kind: str, value: float) -> None:
    with pytest.raises(BadInput):
        town.do("admin", limits.put, EMMA, SYSTEM, kind, value)


def test_nobody_loosens_a_limit_of_their_own(town: House) -> None:
    admin = Identity.user("admin")
    town.do("admin", limits.put, admin, SYSTEM, "jobs", 2)
    town.do("admin", limits.put, admin, SYSTEM, "jobs", 1)
    for value in (2, None):
        with pytest.raises(Escalation):
            town.do("admin", limits.put, admin, SYSTEM, "jobs", value)
    with pytest.raises(Denied):
        town.do("carl", limits.put, EMMA, SYSTEM, "jobs", 1)


@pytest.mark.proves("R78")
def test_a_lock_outlives_role_changes_and_ends_by_itself(town: House) -> None:
    until = town.now() + timedelta(hours=1)
    town.do("admin", locks.lock, LockTarget.IDENTITY, "user:rita", reason="on leave", ends=until)
    town.run("paul", "revoke role PROJECT_READER from rita", project="p1")
    town.run("paul", "grant role PROJECT_READER to rita", project="p1")
    with town.reading() as tx:
        assert not gate.ask(tx, Identity.user("rita"), "read:training", "p1").allowed
        assert locks.is_locked(tx, LockTarget.IDENTITY, "user:rita")
    assert town.do("admin", locks.list_locks).rows[0][:3] == ("identity", "user:rita", "on leave")
    town.do("admin", locks.lock, LockTarget.IDENTITY, "user:rita", reason="longer")
    assert len(town.do("admin", locks.list_locks).rows) == 1


@pytest.mark.proves("R67")
def test_unlocking_needs_every_right_of_the_locked(town: House) -> None:
    town.do("admin", locks.lock, LockTarget.IDENTITY, "user:rita", reason="x")
    before = town.state()
    with pytest.raises(Escalation):
        town.do("admin", locks.unlock, LockTarget.IDENTITY, "user:rita")
    assert town.state() == before
    town.do("admin", locks.lock, LockTarget.IDENTITY, "user:zoe", reason="x")
    town.do("admin", locks.unlock, LockTarget.IDENTITY, "user:zoe")  # zoe holds nothing
    with pytest.raises(NotFound):
        town.do("admin", locks.unlock, LockTarget.IDENTITY, "user:zoe")


@pytest.mark.parametrize(
    ("target", "name", "reason"),
    [
        (LockTarget.IDENTITY, "user:ghost", "x"),
        (LockTarget.IDENTITY, "rita", "x"),
        (LockTarget.PROJECT, "p9", "x"),
        (LockTarget.SESSION, "none", "x"),
        (LockTarget.IDENTITY, "user:rita", " "),
    ],
)
def test_only_what_exists_is_locked_and_with_a_reason(town: House, target: LockTarget, name: str, reason: str) -> None:
    with pytest.raises((BadInput, NotFound)):
        town.do("admin", locks.lock, target, name, reason=reason)
    with pytest.raises(Denied):
        town.do("paul", locks.lock, LockTarget.IDENTITY, "user:rita", reason="x")


@pytest.mark.proves("R75")
@pytest.mark.parametrize("name", ["AIZEN_ADMIN", "PROJECT_ADMIN", "project_reader"])
def test_built_in_roles_stay_as_they_are(town: House, name: str) -> None:
    for work, more in ((roles.alter, {"permissions": ["*"]}), (roles.remove, {})):
        with pytest.raises(Denied, match="built in"):
            town.do("admin", work, name, **more)


def test_a_custom_role_is_made_changed_and_deleted(town: House) -> None:
    made = town.do("admin", roles.create, "TRAINER", permissions=["execute:training"], description="trains")
    with pytest.raises(Stale):
        town.do("admin", roles.alter, "TRAINER", permissions=["read"], if_match=made.data["version"] + 1)
    changed = town.do("admin", roles.alter, "TRAINER", description="reads", if_match=made.data["version"])
    assert changed.data["version"] >= made.data["version"]
    town.give("TRAINER", "p1", "tim")
    with pytest.raises(Conflict, match="user:tim") as caught:
        town.do("admin", roles.remove, "TRAINER")
    assert caught.value.more["assigned"] == [{"identity": "user:tim", "scope": "p1"}]
    town.run("paul", "revoke role TRAINER from tim", project="p1")
    town.do("admin", roles.remove, "TRAINER")
    assert "TRAINER" not in [row[0] for row in town.do("rita", roles.catalogue).rows]


@pytest.mark.parametrize(
    ("wrong", "pointers"),
    [
        ({"permissions": ["read", "Bad Word", "a:b:c"]}, ["/permissions/1", "/permissions/2"]),
        ({"permissions": [], "limits": {"jobs": 1.5, "nothing": 1, "cpu": -1}},
         ["/limits/jobs", "/limits/nothing", "/limits/cpu"]),
        ({"permissions": [], "limits": {"jobs": True, "memory": float("nan")}}, ["/limits/jobs", "/limits/memory"]),
        ({"permissions": [], "scopes": ["world"]}, ["/scopes/0"]),
        ({"permissions": [], "scopes": []}, ["/scopes"]),
    ],
)  # fmt: skip
def test_every_fault_of_a_role_is_named(town: House, wrong: dict[str, object], pointers: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        town.do("admin", roles.create, "TRAINER", **wrong)
    assert [fault.pointer for fault in caught.value.faults] == pointers


@pytest.mark.proves("R76")
def test_a_role_without_permissions_has_no_effect(town: House) -> None:
    town.do("admin", roles.create, "EMPTY", permissions=[])
    town.give("EMPTY", "p1", "tim")
    assert town.run("tim", "list projects").rows == ()
    assert isinstance(town.refused("tim", "show project p1"), NotFound)


@pytest.mark.proves("R67", "T-04")
def test_a_clone_has_the_permissions_but_not_the_power_to_grant(town: House) -> None:
    town.do("admin", roles.clone, "PROJECT_CREATOR", "SPARE")
    with town.reading() as tx:
        clone = tx.roles["SPARE"]
        assert clone.permissions == tx.roles["PROJECT_CREATOR"].permissions
        assert not any((clone.gives, clone.takes, clone.gives_in_file, clone.protected, clone.built_in))


def test_nobody_loosens_the_limits_of_a_role_of_their_own(town: House) -> None:
    town.do(OPERATOR, roles.create, "BOUND", permissions=["manage:users"], limits={"jobs": 1}, scopes=["system"])
    town.give("BOUND", SYSTEM, "admin")
    for more in ({"jobs": 2}, {}):
        with pytest.raises(Escalation):
            town.do("admin", roles.alter, "BOUND", limits=more)
    town.do("admin", roles.alter, "BOUND", limits={"jobs": 0})
    assert isinstance(town.refused("admin", "revoke role BOUND from admin"), Problem)
