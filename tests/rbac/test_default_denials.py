"""The role that a denial suggests: the one that adds least, that helps, and that can be assigned there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.decision import AuthorizationRequest, Decision
from aizen_hub.rbac.default_denials import SuggestedRole, least_role
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ME = Identity.user("me")
AIZEN = load_catalog("aizen")
TRAIN = Permission("execute", "training")


def role(name: str, *permissions: str, scopes: tuple[ScopeKind, ...] = tuple(ScopeKind), **fields: object) -> Role:
    return Role(name, frozenset(map(Permission.parse, permissions)), scopes=frozenset(scopes), **fields)  # type: ignore[arg-type]


def denial(roles: dict[str, Role], request: Permission, *held: tuple[str, str], identity: Identity = ME) -> Decision:
    assignments = [Assignment(str(at), name, scope, identity) for at, (name, scope) in enumerate(held)]
    rights = compile_rights(identity, active=True, paths=(), assignments=assignments, roles=roles)
    return decide(rights, AuthorizationRequest(request, "churn"), NOW)


def test_a_custom_role_that_adds_less_than_a_built_in_one_is_suggested() -> None:
    """It comes later in the list of roles, and was not considered."""
    roles = {**AIZEN.roles, "TRAINER": role("TRAINER", "execute:training", scopes=(ScopeKind.PROJECT,))}
    decision = denial(roles, TRAIN)
    assert decision.role == "TRAINER"
    assert decision.sentence == "no assigned role allows `execute:training` in `churn`; TRAINER would"


def test_what_is_held_already_adds_nothing() -> None:
    roles = {
        "reader": role("reader", "read:a", "read:b", "read:c"),
        "small": role("small", "write:a", "write:b"),
        "large": role("large", "read:a", "read:b", "read:c", "write:a"),
    }
    assert denial(roles, Permission("write", "a")).role == "small"
    assert denial(roles, Permission("write", "a"), ("reader", "churn")).role == "large"
    assert denial(roles, Permission("write", "a"), ("reader", SYSTEM)).role == "large"
    assert denial(roles, Permission("write", "a"), ("reader", "other")).role == "small"


def test_a_wildcard_adds_more_than_what_it_covers() -> None:
    names = [f"read:n{number}" for number in range(50)]
    roles = {"all": role("all", "*"), "verb": role("verb", "read"), "few": role("few", *names)}
    assert least_role(roles, Permission("read", "n1"), "churn") == SuggestedRole("few", "churn")
    assert least_role(roles, Permission("read", "other"), "churn") == SuggestedRole("verb", "churn")
    assert least_role(roles, Permission("write", "x"), "churn") == SuggestedRole("all", "churn")


def test_what_a_role_may_grant_counts_as_well() -> None:
    roles = {
        "granter": role("granter", "read:a", can_grant=frozenset({"x", "y"})),
        "plain": role("plain", "read:a", "read:b"),
    }
    assert denial(roles, Permission("read", "a")).role == "plain"


def test_no_role_that_this_kind_of_identity_cannot_hold_is_suggested() -> None:
    """A role for service accounts would not help a user."""
    roles = {
        "agent": role("agent", "read:a", assignable_to=frozenset({IdentityKind.SERVICE_ACCOUNT})),
        "person": role("person", "read"),
    }
    assert denial(roles, Permission("read", "a")).role == "person"
    assert denial(roles, Permission("read", "a"), identity=Identity.service_account("bot")).role == "agent"


def test_a_role_of_the_system_is_named_with_its_scope() -> None:
    decision = denial(dict(AIZEN.roles), Permission("create", "project"))
    assert decision.role == "PROJECT_CREATOR"
    assert decision.sentence.endswith("; PROJECT_CREATOR in the system would")


@pytest.mark.parametrize("name", ["aizen", "aihub", "xat", "zenml"])
def test_every_suggestion_helps_where_it_is_assigned(name: str) -> None:
    catalog = load_catalog(name)
    for entry in catalog.commands.values():
        for scope in ("churn", SYSTEM):
            if entry.permission is None:
                continue
            suggested = least_role(catalog.roles, entry.permission, scope, catalog.member_permissions)
            if suggested is None:
                continue
            rights = compile_rights(
                ME, active=True, paths=(), assignments=[Assignment("1", *suggested, ME)], roles=catalog.roles,
                member_permissions=catalog.member_permissions,
            )  # fmt: skip
            assert rights.held_roles, (entry.name, suggested)
            assert decide(rights, AuthorizationRequest(entry.permission, scope), NOW).allowed, (entry.name, suggested)
