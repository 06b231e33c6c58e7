"""Limits, jobs, locks and custom roles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.roles import custom_roles, limits, lookup
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks, lock_state
from aizen_hub.jobs import quota
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, LimitReached, NotFound, Problem, Stale
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM, LimitKind
from aizen_hub.settings import AlertSettings, MailSettings
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, AccountsHarness

EMMA = Identity.user("emma")


def start(
    sandbox: AccountsHarness, number: str, project: str = "p1", who: Identity = EMMA, key: str = "training churn"
) -> None:
    sandbox.execute(
        OPERATOR, quota.start_job, decision_id=number, identity=who, project=project, session=None, command=key, key=key
    )


def test_the_strictest_limit_wins_and_names_its_source(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", limits.set_limit, EMMA, SYSTEM, "jobs", 10)
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", EMMA)
    sandbox.execute("admin", limits.set_limit, Identity.group("crew"), SYSTEM, "jobs", 5)
    sandbox.execute("admin", custom_roles.create_role, "SMALL", permissions=["read"], limits={"jobs": 7, "memory": 1e9})
    sandbox.grant("SMALL", "p1", "emma")
    with sandbox.read() as tx:
        limits_found = limits.limits_of(tx, EMMA, "p1")
        assert (limits_found[LimitKind.JOBS].value, limits_found[LimitKind.MEMORY].value) == (5, 1e9)
        assert "group:crew" in limits_found[LimitKind.JOBS].source
        assert "SMALL" in limits_found[LimitKind.MEMORY].source
        assert limits.limit_values(tx, EMMA, "p2") == {"jobs": 5}
    sandbox.execute("admin", limits.set_limit, Identity.group("crew"), SYSTEM, "jobs", None)
    with sandbox.read() as tx:
        assert limits.limit_values(tx, EMMA, "p1")["jobs"] == 7


def test_the_jobs_limit_counts_what_runs(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", limits.set_limit, EMMA, SYSTEM, "jobs", 1)
    start(sandbox, "a")
    before = sandbox.state()
    with pytest.raises(LimitReached) as caught:
        start(sandbox, "b")
    assert caught.value.extensions == {
        "limit": "jobs",
        "value": 1,
        "used": 1,
        "source": caught.value.extensions["source"],
    }
    assert "a limit set in system" in caught.value.extensions["source"]
    assert sandbox.state() == before
    assert sandbox.execute(OPERATOR, quota.end_job, "a", "done") is True
    assert sandbox.execute(OPERATOR, quota.end_job, "a", "failed") is False  # the first outcome stays
    start(sandbox, "b")


def test_a_system_limit_counts_all_projects_and_a_project_limit_its_own(sandbox: AccountsHarness) -> None:
    sandbox.grant("PROJECT_EXECUTOR", "p2", "emma")
    sandbox.execute("admin", limits.set_limit, EMMA, SYSTEM, "jobs", 3)
    sandbox.execute("admin", custom_roles.create_role, "ONE", permissions=["read"], limits={"jobs": 1})
    sandbox.grant("ONE", "p1", "emma")
    start(sandbox, "a")
    with pytest.raises(LimitReached, match="role ONE"):
        start(sandbox, "b")
    start(sandbox, "b", "p2")
    start(sandbox, "c", "p2")
    with pytest.raises(LimitReached, match="system"):
        start(sandbox, "d", "p2")


@pytest.mark.proves("R82")
def test_one_decision_starts_one_job(sandbox: AccountsHarness) -> None:
    start(sandbox, "a")
    with pytest.raises(Conflict):
        start(sandbox, "a")


def test_stop_frees_what_it_named(sandbox: AccountsHarness) -> None:
    start(sandbox, "a")
    start(sandbox, "b", key="training other")
    start(sandbox, "c", "p2", who=Identity.user("olga"))
    assert sandbox.execute(OPERATOR, quota.end_named_jobs, "p1", "training churn") == 1
    assert sandbox.execute(OPERATOR, quota.end_named_jobs, "p1", "all") == 1
    with sandbox.read() as tx:
        assert [row.decision_id for row in quota.running_jobs(tx, "p2")] == ["c"]


def test_job_alerts_go_to_subscribed_users(sandbox: AccountsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.run_command("paul", "list projects")
    from aizen_hub.accounts.users import profiles

    def told() -> list[Any]:
        with sandbox.read() as tx:
            return list(tx.conn.execute(tables.outbox.select()))

    sandbox.execute(
        "admin", profiles.update_user, "emma", email="emma@example.org", alerts={"email": True, "phone": False}
    )
    start(sandbox, "a")
    sandbox.execute(OPERATOR, quota.end_job, "a", "failed", "no mail server yet")
    assert told() == [], "messages that cannot be delivered are not stored"
    mail = MailSettings(host="mail.example.org", sender="hub@example.org")
    monkeypatch.setattr(
        sandbox.outer_tx, "settings", sandbox.settings.model_copy(update={"alerts": AlertSettings(mail=mail)})
    )
    start(sandbox, "b")
    sandbox.execute(OPERATOR, quota.end_job, "b", "failed", "out of memory")
    rows = told()
    assert [(row.recipient, row.event) for row in rows if row.channel == "email"] == [("emma", "job-failed")]


@pytest.mark.parametrize(("kind", "value"), [("nothing", 1), ("jobs", -1), ("jobs", 1e30), ("memory", float("nan"))])
def test_a_limit_is_a_number(sandbox: AccountsHarness, kind: str, value: float) -> None:
    with pytest.raises(BadInput):
        sandbox.execute("admin", limits.set_limit, EMMA, SYSTEM, kind, value)


def test_no_actor_relaxes_their_own_limit(sandbox: AccountsHarness) -> None:
    admin = Identity.user("admin")
    sandbox.execute("admin", limits.set_limit, admin, SYSTEM, "jobs", 2)
    sandbox.execute("admin", limits.set_limit, admin, SYSTEM, "jobs", 1)
    for value in (2, None):
        with pytest.raises(Escalation):
            sandbox.execute("admin", limits.set_limit, admin, SYSTEM, "jobs", value)
    with pytest.raises(Denied):
        sandbox.execute("carl", limits.set_limit, EMMA, SYSTEM, "jobs", 1)


@pytest.mark.proves("R78")
def test_a_lock_outlives_role_changes_and_ends_by_itself(sandbox: AccountsHarness) -> None:
    until = sandbox.now() + timedelta(hours=1)
    sandbox.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="on leave", ends=until)
    sandbox.run_command("paul", "revoke role PROJECT_READER from rita", project="p1")
    sandbox.run_command("paul", "grant role PROJECT_READER to rita", project="p1")
    with sandbox.read() as tx:
        assert not checks.decide_now(tx, Identity.user("rita"), "read:training", "p1").allowed
        assert lock_state.is_locked(tx, LockTarget.IDENTITY, "user:rita")
    assert sandbox.execute("admin", locks.list_locks).rows[0][:3] == ("identity", "user:rita", "on leave")
    sandbox.execute("admin", locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="longer")
    assert len(sandbox.execute("admin", locks.list_locks).rows) == 1


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
def test_only_what_exists_is_locked_and_with_a_reason(
    sandbox: AccountsHarness, target: LockTarget, name: str, reason: str
) -> None:
    with pytest.raises((BadInput, NotFound)):
        sandbox.execute("admin", locks.lock_target, target, name, reason=reason)
    with pytest.raises(Denied):
        sandbox.execute("paul", locks.lock_target, LockTarget.IDENTITY, "user:rita", reason="x")


@pytest.mark.proves("R75")
@pytest.mark.parametrize("name", ["AIZEN_ADMIN", "PROJECT_ADMIN", "project_reader"])
def test_built_in_roles_stay_as_they_are(sandbox: AccountsHarness, name: str) -> None:
    for operation, more in ((custom_roles.update_role, {"permissions": ["*"]}), (custom_roles.delete_role, {})):
        with pytest.raises(Denied, match="built in"):
            sandbox.execute("admin", operation, name, **more)


def test_a_custom_role_is_created_changed_and_deleted(sandbox: AccountsHarness) -> None:
    created = sandbox.execute(
        "admin", custom_roles.create_role, "TRAINER", permissions=["execute:training"], description="trains"
    )
    with pytest.raises(Stale):
        sandbox.execute(
            "admin", custom_roles.update_role, "TRAINER", permissions=["read"], if_match=created.data["version"] + 1
        )
    changed = sandbox.execute(
        "admin", custom_roles.update_role, "TRAINER", description="reads", if_match=created.data["version"]
    )
    assert changed.data["version"] >= created.data["version"]
    sandbox.grant("TRAINER", "p1", "tim")
    with pytest.raises(Conflict, match="user:tim") as caught:
        sandbox.execute("admin", custom_roles.delete_role, "TRAINER")
    assert caught.value.extensions["assigned"] == [{"identity": "user:tim", "scope": "p1"}]
    sandbox.run_command("paul", "revoke role TRAINER from tim", project="p1")
    sandbox.execute("admin", custom_roles.delete_role, "TRAINER")
    assert "TRAINER" not in [row[0] for row in sandbox.execute("rita", lookup.list_roles).rows]


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
def test_every_fault_of_a_role_is_named(
    sandbox: AccountsHarness, wrong: dict[str, object], pointers: list[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        sandbox.execute("admin", custom_roles.create_role, "TRAINER", **wrong)
    assert [fault.pointer for fault in caught.value.faults] == pointers


@pytest.mark.proves("R76")
def test_a_role_without_permissions_has_no_effect(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", custom_roles.create_role, "EMPTY", permissions=[])
    sandbox.grant("EMPTY", "p1", "tim")
    assert sandbox.run_command("tim", "list projects").rows == ()
    assert isinstance(sandbox.expect_problem("tim", "show project p1"), NotFound)


@pytest.mark.proves("R67", "T-04")
def test_a_clone_has_the_permissions_but_not_the_power_to_grant(sandbox: AccountsHarness) -> None:
    sandbox.execute("admin", custom_roles.clone_role, "PROJECT_CREATOR", "SPARE")
    with sandbox.read() as tx:
        clone = tx.roles["SPARE"]
        assert clone.permissions == tx.roles["PROJECT_CREATOR"].permissions
        assert not any((clone.can_grant, clone.can_revoke, clone.can_grant_in_file, clone.protected, clone.built_in))


def test_no_actor_relaxes_the_limits_of_their_own_role(sandbox: AccountsHarness) -> None:
    sandbox.execute(
        OPERATOR, custom_roles.create_role, "BOUND", permissions=["manage:users"], limits={"jobs": 1}, scopes=["system"]
    )
    sandbox.grant("BOUND", SYSTEM, "admin")
    for more in ({"jobs": 2}, {}):
        with pytest.raises(Escalation):
            sandbox.execute("admin", custom_roles.update_role, "BOUND", limits=more)
    sandbox.execute("admin", custom_roles.update_role, "BOUND", limits={"jobs": 0})
    assert isinstance(sandbox.expect_problem("admin", "revoke role BOUND from admin"), Problem)
