"""Named permissions: built-in ones of the catalog, custom ones, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.roles import custom_roles, permissions, role_permissions
from aizen_hub.accounts.users import bootstrap
from aizen_hub.problems import BadInput, Conflict, Denied, NotFound
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness


@pytest.fixture
def xat(tmp_path: Path) -> Iterator[AccountsHarness]:
    harness = open_harness(tmp_path / "data", catalog="xat")
    harness.execute(OPERATOR, bootstrap.bootstrap_installation, harness.settings)
    harness.register_users("ann")
    yield harness
    harness.close()


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("Five", {}, BadInput),
        ("Five", {"limit": "projects"}, BadInput),
        ("Five", {"value": 5}, BadInput),
        ("Five", {"permission": "read:model", "limit": "projects", "value": 5}, BadInput),
        ("Five", {"limit": "projects", "value": 5.5}, BadInput),
        ("Five", {"limit": "cpu", "value": -1}, BadInput),
        ("Five", {"limit": "gpu", "value": 1}, BadInput),
        ("Five", {"permission": "fly"}, BadInput),
        ("Five", {"permission": "Read"}, BadInput),
        ("", {"permission": "read:model"}, BadInput),
        (" Five", {"permission": "read:model"}, BadInput),
        ("Fi  ve", {"permission": "read:model"}, BadInput),
        ("read:model", {"permission": "read:model"}, BadInput),
        ("F\u0456ve", {"permission": "read:model"}, BadInput),
        ("x" * 65, {"permission": "read:model"}, BadInput),
        ("READ", {"permission": "read:model"}, Conflict),
        ("run", {"permission": "read:model"}, Conflict),
        ("My Read", {"permission": "read"}, Conflict),
    ],
)
def test_an_invalid_permission_is_refused(
    xat: AccountsHarness, name: str, content: dict[str, Any], error: type[Exception]
) -> None:
    before = xat.state()
    with pytest.raises(error):
        xat.execute("admin", permissions.create_permission, name, **content)
    assert xat.state() == before


def test_only_who_manages_roles_creates_and_deletes_permissions(xat: AccountsHarness) -> None:
    with pytest.raises(Denied):
        xat.execute("ann", permissions.create_permission, "Five", limit="jobs", value=5)
    xat.execute("admin", permissions.create_permission, "Five", limit="jobs", value=5)
    with pytest.raises(Denied):
        xat.execute("ann", permissions.delete_permission, "Five")
    assert "Five" in [row[0] for row in xat.execute("ann", permissions.list_permissions).rows]


def test_a_name_has_no_look_alike_and_no_twin(xat: AccountsHarness) -> None:
    xat.execute("admin", permissions.create_permission, "10 Jobs", limit="jobs", value=10)
    for name, value in (("1O Jobs", 11), ("10 JOBS", 12), ("Ten Jobs", 10)):
        with pytest.raises(Conflict):
            xat.execute("admin", permissions.create_permission, name, limit="jobs", value=value)
    xat.execute("admin", permissions.delete_permission, "10 jobs")
    xat.execute("admin", permissions.create_permission, "Ten Jobs", limit="jobs", value=10)


def test_built_in_permissions_and_those_in_use_stay(xat: AccountsHarness) -> None:
    with pytest.raises(Denied, match="built in"):
        xat.execute("admin", permissions.delete_permission, "Read")
    with pytest.raises(NotFound) as unknown:
        xat.execute("admin", permissions.delete_permission, "Reed")
    assert "`Read`" in (unknown.value.remedy or "")
    xat.execute("admin", permissions.create_permission, "Train", permission="run:training")
    xat.execute("admin", custom_roles.create_role, "Trainer", permissions=["Train"])
    with pytest.raises(Conflict) as used:
        xat.execute("admin", permissions.delete_permission, "Train")
    assert used.value.extensions["roles"] == ["Trainer"]


def test_a_permission_is_assigned_and_removed(xat: AccountsHarness) -> None:
    xat.execute("admin", permissions.create_permission, "Train", permission="run:training")
    xat.execute("admin", custom_roles.create_role, "Trainer", permissions=[], limits={"memory": 8e9})
    xat.execute("admin", role_permissions.assign_permission, "Trainer", "train")
    xat.execute("admin", role_permissions.assign_permission, "Trainer", "read:model")
    assert "already" in xat.execute("admin", role_permissions.assign_permission, "Trainer", "Train").message
    shown = xat.execute("ann", role_permissions.show_role, "Trainer")
    assert [row[:4] for row in shown.rows] == [
        ("Train", "existential", "run:training", None),
        ("read:model", "existential", "read:model", None),
        ("memory", "limit", None, "memory: 8000000000"),
    ]
    with pytest.raises(NotFound):
        xat.execute("admin", role_permissions.remove_permission, "Trainer", "Write")
    for text in ("run:training", "read:model", "memory"):
        xat.execute("admin", role_permissions.remove_permission, "Trainer", text)
    with xat.read() as tx:
        assert (tx.roles["Trainer"].permissions, dict(tx.roles["Trainer"].limits)) == (frozenset(), {})
    for name in ("Admin", "viewer"):
        with pytest.raises(Denied, match="built in"):
            xat.execute("admin", role_permissions.assign_permission, name, "Train")


def test_a_role_keeps_what_the_catalog_does_not_know_any_more(xat: AccountsHarness) -> None:
    xat.execute("admin", custom_roles.create_role, "Old", permissions=["read:model"])
    with xat.write(OPERATOR) as tx:
        tx.conn.exec_driver_sql("UPDATE roles SET permissions = '[\"gone:thing\"]' WHERE name = 'Old'")
        tx.record_change("role", {"role": "Old"}, ["role:Old"])
    xat.execute("admin", custom_roles.update_role, "Old", description="older")
    xat.execute("admin", custom_roles.clone_role, "Old", "Copy")
    with pytest.raises(BadInput):
        xat.execute("admin", custom_roles.create_role, "New", permissions=["gone:thing"])
    xat.execute("admin", role_permissions.remove_permission, "Old", "gone:thing")
    with xat.read() as tx:
        assert tx.roles["Old"].permissions == frozenset()
