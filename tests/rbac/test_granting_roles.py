"""Which roles enable their holders to grant or revoke a role."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.granting_roles import roles_that_can_grant
from aizen_hub.rbac.role import SYSTEM, ScopeKind

CATALOG = load_catalog("aizen")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def granting_roles(name: str, *, revoke: bool = False) -> tuple[str, ...]:
    role = CATALOG.roles[name]
    scope = "churn" if ScopeKind.PROJECT in role.scopes else SYSTEM
    return roles_that_can_grant(role, scope, CATALOG.roles, CATALOG.member_permissions, NOW, revoke=revoke)


def test_roles_that_can_grant_follow_the_rules_of_granting() -> None:
    assert granting_roles("PROJECT_READER") == ("PROJECT_ADMIN", "PROJECT_CREATOR")
    assert granting_roles("PROJECT_ADMIN") == ("PROJECT_ADMIN", "PROJECT_CREATOR", "AIZEN_ADMIN")
    assert granting_roles("PROJECT_CREATOR") == ("AIZEN_ADMIN",)


def test_roles_that_can_revoke_follow_the_rules_of_revoking() -> None:
    """A PROJECT_CREATOR grants project roles and revokes none."""
    assert granting_roles("PROJECT_READER", revoke=True) == ("PROJECT_ADMIN",)
    assert granting_roles("PROJECT_ADMIN", revoke=True) == ("PROJECT_ADMIN", "AIZEN_ADMIN")
