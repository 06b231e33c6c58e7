"""What a role allows, in commands by task and in words by kind of object."""

from __future__ import annotations

from functools import cache

import pytest

from aizen_hub.authorization.queries import role_coverage
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import BUILT_IN, load_catalog
from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import compile_rights
from aizen_hub.rbac.role import SYSTEM, ScopeKind
from tests.accounts.harness import AccountsHarness


@cache
def catalog(name: str = "aizen") -> Catalog:
    return load_catalog(name)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("kind", ScopeKind)
def test_the_commands_of_a_role_are_those_that_the_engine_allows(
    name: str, kind: ScopeKind, harness: AccountsHarness
) -> None:
    with harness.read() as tx:
        now = tx.now
    scope = SYSTEM if kind is ScopeKind.SYSTEM else "p1"
    for role in catalog(name).roles.values():
        if kind not in role.scopes:
            continue
        identity = Identity.service_account("a")
        rights = compile_rights(
            identity,
            active=True,
            paths=(),
            assignments=[Assignment("1", role.name, scope, identity)],
            roles=catalog(name).roles,
            member_permissions=catalog(name).member_permissions,
        )
        permissions = role_coverage.permissions_in(catalog(name), role, kind)
        allowed = {entry.name for entry in role_coverage.allowed_commands(catalog(name), permissions, kind)}
        for entry in role_coverage.commands_in(catalog(name), kind):
            expected = decide(rights, AuthorizationRequest(entry.permission, scope), now).allowed
            if identity.kind in role.assignable_to:
                assert (entry.name in allowed) is expected, (role.name, entry.name)
        shares = role_coverage.task_shares(catalog(name), permissions, kind)
        assert sum(share.allowed for share in shares) == len(allowed)
        assert sum(share.total for share in shares) == len(role_coverage.commands_in(catalog(name), kind))


@pytest.mark.parametrize(
    ("role", "shares"),
    [
        ("PROJECT_READER", {"Data": (23, 41), "Training": (10, 23), "Access": (0, 4)}),
        ("PROJECT_EXECUTOR", {"Data": (38, 41), "Training": (21, 23), "Access": (0, 4)}),
        ("PROJECT_ADMIN", {"Data": (41, 41), "Training": (23, 23), "Access": (4, 4)}),
    ],
)
def test_shares_of_the_built_in_roles(role: str, shares: dict[str, tuple[int, int]]) -> None:
    permissions = role_coverage.permissions_in(catalog(), catalog().roles[role], ScopeKind.PROJECT)
    by_task = {share.task: share for share in role_coverage.task_shares(catalog(), permissions, ScopeKind.PROJECT)}
    assert {task: (by_task[task].allowed, by_task[task].total) for task in shares} == shares


def test_objects_in_words() -> None:
    permissions = role_coverage.permissions_in(catalog(), catalog().roles["PROJECT_EXECUTOR"], ScopeKind.PROJECT)
    access = {entry.name: entry for entry in role_coverage.object_access(catalog(), permissions, ScopeKind.PROJECT)}
    assert access["Training"].task == "Training"
    assert access["Training"].verbs == ("configure", "see", "run")
    assert access["Training"].other_verbs == ("delete",)
    assert {entry.permission.verb for entry in access["Training"].other_commands if entry.permission} == {"delete"}
    assert access["Authorization"].verbs == ()


def test_commands_that_only_one_role_allows() -> None:
    roles = {name: role for name, role in catalog().roles.items() if ScopeKind.PROJECT in role.scopes}
    only = role_coverage.exclusive_commands(catalog(), roles, ScopeKind.PROJECT)
    assert set(only) == {"PROJECT_ADMIN"}
    names = {entry.name for entry in only["PROJECT_ADMIN"]}
    assert {"grant role", "delete training"} <= names
    assert "start training" not in names


def test_the_scope_in_which_a_role_is_shown() -> None:
    kinds = {name: role_coverage.usual_scope(role) for name, role in catalog().roles.items()}
    assert kinds["AIZEN_ADMIN"] is ScopeKind.SYSTEM
    assert kinds["PROJECT_READER"] is ScopeKind.PROJECT
