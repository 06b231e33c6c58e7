"""Export, plan and apply on a real store: exact, complete or not at all, and authorized like every other change."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select

from aizen_hub.accounts.groups import management
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.policy.apply import APPLY, MAX_STEPS, PLAN
from aizen_hub.policy.export import export_policy
from aizen_hub.policy.loader import MAX_ENTRIES, MAX_MEMBERS, is_sendable, read_policy
from aizen_hub.problems import Conflict, Escalation, LastHolder, Problem, TooLarge
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.policy.conftest import OPERATOR, run


def panel(name: str) -> Actor:
    return Actor(Identity.user(name), Channel.PANEL)


def snapshot(store: Store) -> dict[str, Any]:
    with store.read() as tx:
        return export_policy(tx, OPERATOR)


def is_allowed(store: Store, name: str, permission: str, scope: str) -> bool:
    with store.read() as tx:
        return decide(
            tx.rights(Identity.user(name)), AuthorizationRequest(Permission.parse(permission), scope), tx.now
        ).allowed


def admin_of(project: str, name: str = "ada") -> dict[str, str]:
    return {"role": "PROJECT_ADMIN", "scope": project, "identity": f"user:{name}"}


FULL = {
    "roles": {"scorer": {"permissions": ["read", "execute:prediction"], "scopes": ["project"], "limits": {"jobs": 2}}},
    "groups": {"ops": ["user:eve"], "everyone": ["group:ops", "user:rob"]},
    "projects": ["p1", "p2"],
    "assignments": [
        {"role": "scorer", "scope": "p1", "identity": "group:everyone", "until": "2099-01-01T00:00:00+00:00"},
        admin_of("p1"),
        admin_of("p2"),
    ],
}


def test_a_policy_is_applied(store: Store) -> None:
    run(store, FULL)
    assert is_allowed(store, "eve", "execute:prediction", "p1")
    assert is_allowed(store, "rob", "read:training", "p1")
    assert not is_allowed(store, "rob", "execute:training", "p1")
    assert is_allowed(store, "ada", "delete:project", "p2")


def test_applying_twice_and_applying_an_export_change_nothing(store: Store) -> None:
    run(store, FULL)
    before = snapshot(store)
    assert run(store, FULL).message == "nothing to change"
    assert run(store, before).message == "nothing to change"
    assert snapshot(store) == before


def test_only_what_the_file_omits_in_its_scopes_is_removed(store: Store) -> None:
    run(store, FULL)
    smaller = {
        "groups": {"ops": [], "everyone": ["group:ops", "user:rob"]},
        "projects": ["p1"],
        "assignments": [admin_of("p1"), {"role": "PROJECT_READER", "scope": "p1", "identity": "user:rob"}],
    }
    run(store, smaller, prune=True)
    after = snapshot(store)
    assert after["groups"] == {"everyone": ["group:ops", "user:rob"], "ops": []}
    assert not is_allowed(store, "eve", "execute:prediction", "p1")
    assert is_allowed(store, "rob", "read:training", "p1")
    assert not is_allowed(store, "rob", "execute:prediction", "p1")
    assert is_allowed(store, "ada", "delete:project", "p2"), "a project that the file does not name stays as it is"
    assert is_allowed(store, "boss", "manage:users", "system"), "the file assigns nothing in the system"
    assert "scorer" in after["roles"], "the file has no section of roles"


def test_a_file_without_assignments_does_not_change_them(store: Store) -> None:
    run(store, FULL)
    run(store, {"projects": ["p1"], "groups": {}})
    assert is_allowed(store, "eve", "execute:prediction", "p1")


@pytest.mark.proves("R104")
def test_one_failed_step_undoes_all(store: Store) -> None:
    before = snapshot(store)
    bad = {**FULL, "assignments": [*FULL["assignments"], {"role": "scorer", "scope": "p1", "identity": "user:unknown"}]}
    with pytest.raises(Problem) as caught:
        run(store, bad)
    assert caught.value.faults[0].pointer == "/assignments/3"
    assert snapshot(store) == before


@pytest.mark.proves("R66", "R67", "T-04")
def test_a_policy_grants_no_more_than_the_commands_would(store: Store) -> None:
    before = snapshot(store)
    for name, data in (
        ("ada", {"assignments": [admin_of("p1"), {"role": "AIZEN_ADMIN", "scope": "system", "identity": "user:ada"}]}),
        (
            "ada",
            {"assignments": [admin_of("p1"), {"role": "PROJECT_CREATOR", "scope": "system", "identity": "user:rob"}]},
        ),
        ("boss", {"assignments": [admin_of("p1"), {"role": "PROJECT_READER", "scope": "p1", "identity": "user:rob"}]}),
    ):
        with pytest.raises(Escalation):
            run(store, data, panel(name))
    for name, data in (
        ("rob", {"projects": ["mine"]}),
        ("rob", {"groups": {"g": []}}),
        ("ada", {"roles": FULL["roles"]}),
    ):
        with pytest.raises(Problem) as caught:
            run(store, data, panel(name))
        assert caught.value.status == 403
    assert snapshot(store) == before


@pytest.mark.proves("R72")
@pytest.mark.parametrize("kind", [PLAN, APPLY])
def test_a_policy_tells_nothing_of_what_the_actor_cannot_see(store: Store, kind: str) -> None:
    reader = {"role": "PROJECT_READER", "scope": "p1", "identity": "user:eve"}
    run(store, {"projects": ["p1"], "assignments": [admin_of("p1"), reader]})
    for present, missing in (
        ({"projects": ["p1"]}, {"projects": ["p9"]}),
        ({"projects": ["p1"], "assignments": []}, {"projects": ["p9"], "assignments": []}),
        ({"assignments": [reader]}, {"assignments": [{**reader, "scope": "p9"}]}),
        (
            {"projects": ["p1"], "assignments": [reader]},
            {"projects": ["p9"], "assignments": [{**reader, "scope": "p9"}]},
        ),
    ):
        answers = []
        for data in (present, missing):
            with pytest.raises(Problem) as caught:
                run(store, data, panel("rob"), kind=kind)
            answers.append((caught.value.status, caught.value.detail.replace("p9", "p1")))
        assert answers[0] == answers[1]
    boss = {"role": "AIZEN_ADMIN", "scope": "system", "identity": "user:boss"}
    with pytest.raises(Escalation):
        run(store, {"assignments": [boss]}, panel("rob"), kind=kind)
    assert "not in the file" not in run(store, {"projects": [], "assignments": []}, panel("rob"), kind=kind).message


def test_a_policy_with_too_many_steps_is_refused(store: Store) -> None:
    groups = {f"g{number}": [] for number in range(MAX_STEPS + 1)}
    with pytest.raises(TooLarge, match="changes 2001 roles, projects, groups and members"):
        run(store, {"groups": groups})


@pytest.mark.proves("R69", "I5")
def test_the_last_holder_stays_even_if_the_file_omits_them(store: Store) -> None:
    with pytest.raises(LastHolder):
        run(
            store, {"assignments": [{"role": "PROJECT_CREATOR", "scope": "system", "identity": "user:rob"}]}, prune=True
        )
    run(store, {"assignments": [{"role": "AIZEN_ADMIN", "scope": "system", "identity": "user:eve"}]}, prune=True)
    assert is_allowed(store, "eve", "manage:users", "system")
    assert not is_allowed(store, "boss", "manage:users", "system")


def test_a_plan_shows_gains_and_losses_per_user_and_changes_nothing(store: Store) -> None:
    run(store, FULL)
    before = snapshot(store)
    data = {
        "projects": ["p1"],
        "assignments": [admin_of("p1"), {"role": "PROJECT_READER", "scope": "p1", "identity": "user:rob"}],
    }
    plan = run(store, data, kind=PLAN, prune=True)
    rows = {(row[0], row[1]): (row[2], row[3]) for row in plan.rows}
    assert rows["user:eve", "p1"] == ([], ["scorer"])
    assert rows["user:rob", "p1"] == ([], ["scorer"])
    rights = {(right["identity"], right["scope"]): right for right in plan.data["permissions"]}
    assert rights["user:eve", "p1"]["loses"] == ["enter:project", "execute:prediction", "read:*"]
    lost = rights["user:rob", "p1"]["loses"]
    assert lost == ["execute:prediction", "read:*"], "a reader reads less than everything"
    assert "user:ada" not in {name for name, _ in rows}
    assert snapshot(store) == before


def test_a_policy_cannot_replace_the_catalog(store: Store) -> None:
    for catalog in ({"roles": {"editor": {"permissions": ["read"]}}, "commands": []}, "xat", 3, None):
        with pytest.raises(Conflict, match="uses the catalog `aizen`"):
            run(store, {"catalog": catalog})


def test_a_changed_role_applies_to_all_its_holders(store: Store) -> None:
    run(store, FULL)
    wider = {"scorer": {**FULL["roles"]["scorer"], "permissions": ["read", "execute:prediction", "execute:training"]}}
    run(store, {"roles": wider})
    assert is_allowed(store, "eve", "execute:training", "p1")
    with pytest.raises(Conflict, match="scopes"):
        run(store, {"roles": {"scorer": {"permissions": ["read"], "scopes": ["system"]}}})


BOTH: dict[str, Any] = {
    "catalog": "aizen",
    "roles": {"AUDITOR": {"permissions": ["read:audit"]}, "OLD": {"permissions": ["read"]}},
    "groups": {"ops": ["user:rob"], "old": ["user:eve"]},
}
ONE: dict[str, Any] = {**BOTH, "roles": {"AUDITOR": {"permissions": ["read:audit"]}}, "groups": {"ops": []}}


class TestPrune:
    def test_omitted_roles_and_groups_stay_without_prune(self, store: Store) -> None:
        run(store, BOTH)
        run(store, ONE)
        assert set(snapshot(store)["groups"]) == {"ops", "old"}
        result = run(store, ONE, prune=True)
        assert [row[0] for row in result.rows] == ["remove user:rob from ops", "delete group old", "delete role OLD"]
        after = snapshot(store)
        assert (set(after["groups"]), set(after["roles"])) == ({"ops"}, {"AUDITOR"})
        assert after["projects"] == ["p1"], "projects and users are never deleted by a file"
        assert run(store, ONE, prune=True).rows == ()

    def test_a_section_that_the_file_lacks_is_not_changed(self, store: Store) -> None:
        run(store, BOTH)
        run(store, {"catalog": "aizen", "projects": ["p1"]}, prune=True)
        after = snapshot(store)
        assert (set(after["groups"]), set(after["roles"])) == ({"ops", "old"}, {"AUDITOR", "OLD"})

    def test_the_plan_shows_the_steps_and_who_loses(self, store: Store) -> None:
        run(store, BOTH)
        run(store, {**BOTH, "assignments": [admin_of("p1"), {**admin_of("p1"), "identity": "group:old"}]})
        smaller = {**ONE, "assignments": [admin_of("p1")]}
        before = snapshot(store)
        plan = run(store, smaller, kind=PLAN, prune=True)
        assert plan.data["steps"] == [
            "remove user:rob from ops",
            "revoke PROJECT_ADMIN in p1 from group:old",
            "delete group old",
            "delete role OLD",
        ]
        assert [(row[0], row[2]) for row in plan.rows] == [("user:eve", [])]
        assert snapshot(store) == before

    def test_a_role_that_is_still_assigned_stops_all(self, store: Store) -> None:
        run(store, BOTH)
        with store.write(OPERATOR) as tx:
            assignments.grant_roles(tx, ["OLD"], "p1", Identity.user("rob"))
        before = snapshot(store)
        with pytest.raises(Conflict, match="OLD is assigned to `user:rob`"):
            run(store, ONE, prune=True)
        assert snapshot(store) == before


@pytest.fixture
def full_store(store: Store) -> Store:
    """A store whose export is exactly as large as a policy may be."""
    run(store, FULL)
    document = snapshot(store)
    remaining = MAX_ENTRIES - count_entries(document)
    with store.write(OPERATOR) as tx:
        group_id = tx.conn.execute(select(tables.groups.c.id).where(tables.groups.c.name == "ops")).scalar_one()
        members = [{"group_id": group_id, "member": f"user:u{number}"} for number in range(remaining)]
        tx.conn.execute(insert(tables.memberships), members)
        tx.record_change("membership", {"group": "ops"}, ["*"])
    return store


def count_entries(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(count_entries, value.values()))
    return sum(map(count_entries, value)) if isinstance(value, list) else 1


def test_an_export_can_be_applied_again_or_is_refused_and_never_truncated(full_store: Store) -> None:
    document = snapshot(full_store)
    with full_store.read() as tx:
        read_policy(document, tx.catalog)
    with full_store.write(OPERATOR) as tx:
        lifecycle.create_project(tx, "one-more", owner=Identity.user("ada"))
    with pytest.raises(Conflict, match="exceeds the limits of one policy file"):
        snapshot(full_store)


def test_bytes_and_members_are_limited_too(store: Store) -> None:
    with store.write(OPERATOR) as tx:
        management.create_group(tx, "ops")
    assert not is_sendable({**snapshot(store), "groups": {"ops": ["user:" + "é" * 200] * 4_000}})
    assert is_sendable({"groups": {f"g{number}": [] for number in range(MAX_MEMBERS - 3)}})
    assert not is_sendable({"groups": {f"g{number}": [] for number in range(MAX_MEMBERS - 2)}})
