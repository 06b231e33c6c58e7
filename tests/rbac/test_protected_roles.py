"""Roles that require confirmation: those of the catalog, and custom roles with the same permissions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.protected_roles import role_requires_confirmation
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in

CATALOGS = ("aizen", "aihub", "xat", "zenml")


def clone(role: Role) -> Role:
    """Return a role as `roles.clone` makes it."""
    return Role("MINE", role.permissions, scopes=role.scopes, limits=role.limits)


def requires_confirmation(catalog: Catalog, role: Role, scope: str) -> bool:
    return role_requires_confirmation(role, scope, {**catalog.roles, role.name: role}, catalog.member_permissions)


@pytest.mark.parametrize("name", CATALOGS)
@pytest.mark.parametrize("scope", [SYSTEM, "p1"])
@pytest.mark.proves("R67", "R77")
def test_a_clone_requires_confirmation_like_its_original(name: str, scope: str) -> None:
    catalog = load_catalog(name)
    for role in catalog.roles.values():
        assert requires_confirmation(catalog, role, scope) == role.requires_confirmation
        if is_assignable_in(role, scope):
            assert requires_confirmation(catalog, clone(role), scope) == role.requires_confirmation, role.name


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
        (["create:project", "grant:roles", "list:users"], SYSTEM, False),  # PROJECT_CREATOR includes it as well
        (["execute:training"], SYSTEM, False),  # no system role includes it
        (["fly:kites"], SYSTEM, False),
        (["read", "write", "execute", "delete", "grant"], "p1", False),
        (["read:access", "read:audit"], "p1", False),  # PROJECT_READER reads all of its project
        ([], SYSTEM, False),
    ],
)
@pytest.mark.proves("R67", "R77")
def test_permissions_of_confirmed_roles_only_require_confirmation(
    permissions: list[str], scope: str, expected: bool
) -> None:
    role = Role("MINE", frozenset(map(Permission.parse, permissions)))
    assert requires_confirmation(load_catalog("aizen"), role, scope) is expected


def test_it_does_not_depend_on_assignable_kinds() -> None:
    catalog = load_catalog("aihub")
    role = catalog.roles["aihub:impersonate"]
    assert role.assignable_to == {IdentityKind.SERVICE_ACCOUNT}
    assert requires_confirmation(catalog, clone(role), SYSTEM)
    assert not requires_confirmation(catalog, replace(clone(role), permissions=frozenset()), SYSTEM)
