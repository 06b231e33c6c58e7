"""Which roles change hands only with confirmation: what the catalog says, and what is worth as much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.protected_roles import is_guarded
from aizen_hub.rbac.role import SYSTEM, Role, fits

CATALOGS = ("aizen", "aihub", "xat", "zenml")


def clone(role: Role) -> Role:
    """Return a role as `roles.clone` makes it."""
    return Role("MINE", role.permissions, scopes=role.scopes, limits=role.limits)


def guarded(catalog: Catalog, role: Role, scope: str) -> bool:
    return is_guarded(role, scope, {**catalog.roles, role.name: role}, catalog.member_permissions)


@pytest.mark.parametrize("name", CATALOGS)
@pytest.mark.parametrize("scope", [SYSTEM, "p1"])
@pytest.mark.proves("R67", "R77")
def test_a_clone_is_guarded_as_the_role_it_comes_from(name: str, scope: str) -> None:
    catalog = load_catalog(name)
    for role in catalog.roles.values():
        assert guarded(catalog, role, scope) == role.confirmed
        if fits(role, scope):
            assert guarded(catalog, clone(role), scope) == role.confirmed, role.name


@pytest.mark.parametrize(
    ("permissions", "scope", "expected"),
    [
        (["manage:users"], SYSTEM, True),  # a part of AIZEN_ADMIN
        (["read:access"], SYSTEM, True),
        (["read"], SYSTEM, True),  # covers a part of it
        (["*:audit"], SYSTEM, True),
        (["*"], SYSTEM, True),
        (["*"], "p1", True),
        (["create:project", "manage:locks"], SYSTEM, True),
        (["create:project", "grant:roles", "list:users"], SYSTEM, False),  # PROJECT_CREATOR gives it as well
        (["execute:training"], SYSTEM, False),  # no role of the system gives it
        (["fly:kites"], SYSTEM, False),
        (["read", "write", "execute", "delete", "grant"], "p1", False),
        (["read:access", "read:audit"], "p1", False),  # PROJECT_READER reads all of its project
        ([], SYSTEM, False),
    ],
)
@pytest.mark.proves("R67", "R77")
def test_it_is_what_only_guarded_roles_give(permissions: list[str], scope: str, expected: bool) -> None:
    role = Role("MINE", frozenset(map(Permission.parse, permissions)))
    assert guarded(load_catalog("aizen"), role, scope) is expected


def test_it_does_not_depend_on_who_may_hold_the_role() -> None:
    catalog = load_catalog("aihub")
    role = catalog.roles["aihub:impersonate"]
    assert role.holders == {Kind.SERVICE_ACCOUNT}
    assert guarded(catalog, clone(role), SYSTEM)
    assert not guarded(catalog, replace(clone(role), permissions=frozenset()), SYSTEM)
