"""Export, plan and apply on a real store: exact, complete or not at all, and authorized like every other change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.groups import management
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.policy.apply import apply_policy
from aizen_hub.policy.export import export_policy
from aizen_hub.policy.loader import MAX_ENTRIES, MAX_MEMBERS, is_sendable, read_policy
from aizen_hub.problems import Conflict, Escalation, LastHolder, Problem
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)


@pytest.fixture
def store(tmp_path: Path):
    store = Store.open(Settings(data_dir=tmp_path, confirm_protected=False), load_catalog("aizen"))
    with store.write(OPERATOR) as tx:
        for name in ("boss", "ada", "eve", "rob"):
            registration.create_user(tx, name, password="a long enough password, made up")
        assignments.write_assignment(tx, "AIZEN_ADMIN", "system", Identity.user("boss"))
        lifecycle.create_project(tx, "p1", owner=Identity.user("ada"))
    yield store
    store.close()


def panel(name: str) -> Actor:
    return Actor(Identity.user(name), Channel.PANEL)


def run(store: Store, data: dict[str, Any], actor: Actor = OPERATOR, **kwargs: Any) -> Any:
    with store.write(actor) as tx:
        return apply_policy(tx, read_policy(data, tx.catalog), **kwargs)


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
        "groups": {"ops": []},
        "projects": ["p1"],
        "assignments": [admin_of("p1"), {"role": "PROJECT_READER", "scope": "p1", "identity": "user:rob"}],
    }
    run(store, smaller)
    after = snapshot(store)
    assert after["groups"] == {"everyone": ["group:ops", "user:rob"], "ops": []}
    assert not is_allowed(store, "eve", "execute:prediction", "p1")
    assert is_allowed(store, "rob", "read:training", "p1")
    assert not is_allowed(store, "rob", "execute:prediction", "p1")
    assert is_allowed(store, "ada", "delete:project", "p2"), "a project that the file does not name stays as it is"
    assert is_allowed(store, "boss", "manage:users", "system"), "the file assigns nothing in the system"
    assert "scorer" in after["roles"], "a role is never deleted because the file omits it"


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


@pytest.mark.proves("R69", "I5")
def test_the_last_holder_stays_even_if_the_file_omits_them(store: Store) -> None:
    with pytest.raises(LastHolder):
        run(store, {"assignments": [{"role": "PROJECT_CREATOR", "scope": "system", "identity": "user:rob"}]})
    run(store, {"assignments": [{"role": "AIZEN_ADMIN", "scope": "system", "identity": "user:eve"}]})
    assert is_allowed(store, "eve", "manage:users", "system")
    assert not is_allowed(store, "boss", "manage:users", "system")


def test_a_plan_shows_gains_and_losses_per_user_and_changes_nothing(store: Store) -> None:
    run(store, FULL)
    before = snapshot(store)
    data = {
        "projects": ["p1"],
        "assignments": [admin_of("p1"), {"role": "PROJECT_READER", "scope": "p1", "identity": "user:rob"}],
    }
    plan = dry_run(store, OPERATOR, lambda tx: apply_policy(tx, read_policy(data, tx.catalog)))
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
    with pytest.raises(Conflict, match="runs another"), store.write(OPERATOR) as tx:
        apply_policy(tx, read_policy({}, load_catalog("xat")))


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
        assert [row[0] for row in result.rows] == ["delete group old", "delete role OLD"]
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
        with store.read() as tx:
            policy = read_policy(smaller, tx.catalog)
        plan = dry_run(store, OPERATOR, lambda tx: apply_policy(tx, policy, prune=True))
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
