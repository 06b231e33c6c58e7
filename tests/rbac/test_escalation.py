"""Prevention of escalation: the grant table and the general rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.escalation import (
    GRANT_PERMISSION,
    MESSAGES,
    MissingRight,
    MissingRightKind,
    missing_for_control,
    missing_for_membership,
    missing_to_grant,
    missing_to_revoke,
)
from aizen_hub.rbac.group_closure import Membership, group_closure
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.limit import EffectiveLimit
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from tests.rbac.reference_model import EPOCH, GROUPS, SCOPES, USERS, ReferenceModel, hour, instants, reference_models

CATALOG: Catalog = load_catalog("aizen")
ME, OTHER = Identity.user("me"), Identity.user("other")
ROBOT, TEAM = Identity.service_account("robot"), Identity.group("team")
ADMIN, CREATOR, P_ADMIN, EXECUTOR, READER = (
    "AIZEN_ADMIN",
    "PROJECT_CREATOR",
    "PROJECT_ADMIN",
    "PROJECT_EXECUTOR",
    "PROJECT_READER",
)
NAMES = (ADMIN, CREATOR, P_ADMIN, EXECUTOR, READER)
REMOVERS = CATALOG.creator_role_removers


def natural_scope(role: str, project: str = "p1") -> str:
    return project if ScopeKind.PROJECT in CATALOG.roles[role].scopes else SYSTEM


def rights_of_me(*held_roles: tuple[str, str], locks: tuple[Lock, ...] = (), interval: Interval = Interval()) -> Rights:  # noqa: B008
    assignments = [Assignment(str(i), role, scope, ME, interval) for i, (role, scope) in enumerate(held_roles)]
    return compile_rights(
        ME,
        active=True,
        paths=group_closure(ME, [Membership(ME, TEAM)]),
        assignments=assignments,
        roles=CATALOG.roles,
        locks=locks,
        member_permissions=CATALOG.member_permissions,
    )


# The grant table of the reference, in the order of NAMES: grant (g), revoke (t).
GRANT_TABLE = {
    ADMIN: ("g t", "g t", "g t", "- -", "- -"),
    CREATOR: ("- -", "- -", "g -", "g -", "g -"),
    P_ADMIN: ("- -", "- -", "g t", "g t", "g t"),
    EXECUTOR: ("- -", "- -", "- -", "- -", "- -"),
    READER: ("- -", "- -", "- -", "- -", "- -"),
}


@pytest.mark.proves("R66", "T-04")
@pytest.mark.parametrize("grantor_role", NAMES)
def test_the_grant_table(grantor_role: str) -> None:
    grantor = rights_of_me((grantor_role, natural_scope(grantor_role)))
    for name, cell in zip(NAMES, GRANT_TABLE[grantor_role], strict=True):
        role, scope = CATALOG.roles[name], natural_scope(name)
        grant, revoke = cell.split()
        assert (missing_to_grant(grantor, role, scope, OTHER, EPOCH) == ()) is (grant == "g"), name
        assert (missing_to_revoke(grantor, role, scope, OTHER, EPOCH) == ()) is (revoke == "t"), name
        assert (missing_to_grant(grantor, role, scope, OTHER, EPOCH, in_file=True) == ()) is (grant == "g"), name
        assert (missing_to_revoke(grantor, role, scope, OTHER, EPOCH, in_file=True) == ()) is (revoke == "t"), name


@pytest.mark.proves("R68")
@pytest.mark.parametrize("grantor_role", NAMES)
def test_self_grants_are_refused_with_one_exception(grantor_role: str) -> None:
    grantor = rights_of_me((grantor_role, natural_scope(grantor_role)))
    for name, recipient, in_file in product(NAMES, (ME, TEAM, ROBOT), (False, True)):
        missing = missing_to_grant(
            grantor,
            CATALOG.roles[name],
            natural_scope(name),
            recipient,
            EPOCH,
            in_file=in_file,
            controlled=frozenset({ROBOT}),
        )
        kinds = [right.kind for right in missing]
        if (grantor_role, name) == (ADMIN, CREATOR):
            assert missing == ()
        elif recipient != ROBOT:
            assert kinds == [MissingRightKind.SELF], (name, recipient)
        elif natural_scope(grantor_role) == "p1" == natural_scope(name) and grantor_role == P_ADMIN:
            # What one has oneself, an own service account may have too.
            assert missing == ()
        elif grantor_role == name == ADMIN:
            assert missing == ()
        else:
            may_grant = grantor_role in (ADMIN, CREATOR)
            assert kinds == [MissingRightKind.SECOND_PERSON if may_grant else MissingRightKind.SELF], name


@pytest.mark.proves("R66", "R68")
def test_an_own_service_account_gets_no_right_for_longer_than_oneself() -> None:
    last_day = EPOCH + timedelta(days=1)
    lead = rights_of_me((P_ADMIN, "p1"), interval=Interval(None, last_day))
    for ends, kinds in (
        (None, [MissingRightKind.SECOND_PERSON]),
        (last_day + timedelta(seconds=1), [MissingRightKind.SECOND_PERSON]),
        (last_day, []),
    ):
        missing = missing_to_grant(
            lead, CATALOG.roles[READER], "p1", ROBOT, EPOCH, controlled=frozenset({ROBOT}), ends=ends
        )
        assert [right.kind for right in missing] == kinds, ends


@pytest.mark.proves("R66", "R68")
def test_an_own_service_account_is_bound_by_the_limits_of_its_owner() -> None:
    capped = Role("capped", frozenset({GRANT_PERMISSION, Permission("read", "data")}), {LimitKind.JOBS: 2.0})
    lax = replace(capped, name="lax", limits={LimitKind.JOBS: 3.0})
    free = Role("free", frozenset({Permission("read", "data")}))
    roles = {role.name: role for role in (capped, lax, free)}
    grantor = compile_rights(ME, active=True, paths=[], assignments=[Assignment("1", "capped", "p1", ME)], roles=roles)

    def kinds(role: Role, *limits: EffectiveLimit) -> list[MissingRightKind]:
        missing = missing_to_grant(
            grantor, role, "p1", ROBOT, EPOCH, controlled=frozenset({ROBOT}), recipient_limits=limits
        )
        return [right.kind for right in missing]

    second = [MissingRightKind.SECOND_PERSON]
    assert kinds(capped) == []
    assert kinds(free) == kinds(lax) == second
    jobs = EffectiveLimit(LimitKind.JOBS, 2.0, None, "p1")
    assert kinds(free, jobs) == kinds(free, replace(jobs, scope=SYSTEM)) == []
    for bound in (
        replace(jobs, value=3.0),
        replace(jobs, scope="p2"),
        replace(jobs, kind=LimitKind.MEMORY),
        replace(jobs, via=(TEAM,)),
        replace(jobs, interval=Interval(None, EPOCH + timedelta(days=1))),
        replace(jobs, interval=Interval(EPOCH + timedelta(days=1), None)),
    ):
        assert kinds(free, bound) == second, bound
    assert missing_to_grant(grantor, free, "p1", OTHER, EPOCH, controlled=frozenset({ROBOT})) == ()


@pytest.mark.proves("R62")
@pytest.mark.parametrize("grantor_role", [P_ADMIN, EXECUTOR, READER])
def test_a_project_role_grants_nothing_in_another_project(grantor_role: str) -> None:
    grantor = rights_of_me((grantor_role, "p1"))
    for name in NAMES:
        assert missing_to_grant(grantor, CATALOG.roles[name], natural_scope(name, "p2"), OTHER, EPOCH)
        assert missing_to_revoke(grantor, CATALOG.roles[name], natural_scope(name, "p2"), OTHER, EPOCH)


def test_only_an_admin_revokes_the_creator_role() -> None:
    role = CATALOG.roles[P_ADMIN]
    missing = missing_to_revoke(
        rights_of_me((P_ADMIN, "p1")), role, "p1", OTHER, EPOCH, creator=True, removers=REMOVERS
    )
    assert [(right.kind, right.names) for right in missing] == [(MissingRightKind.CREATOR, (ADMIN,))]
    assert (
        missing_to_revoke(rights_of_me((ADMIN, SYSTEM)), role, "p1", OTHER, EPOCH, creator=True, removers=REMOVERS)
        == ()
    )


def test_a_role_is_granted_only_in_its_scopes() -> None:
    everything = rights_of_me((ADMIN, SYSTEM), (CREATOR, SYSTEM), (P_ADMIN, "p1"))
    assert [right.kind for right in missing_to_grant(everything, CATALOG.roles[READER], SYSTEM, OTHER, EPOCH)] == [
        MissingRightKind.SCOPE
    ]
    assert [right.kind for right in missing_to_grant(everything, CATALOG.roles[CREATOR], "p1", OTHER, EPOCH)] == [
        MissingRightKind.SCOPE
    ]


@pytest.mark.parametrize(
    "grantor",
    [
        rights_of_me((P_ADMIN, "p1"), locks=(Lock("l", LockTarget.IDENTITY, "user:me"),)),
        rights_of_me((P_ADMIN, "p1"), locks=(Lock("l", LockTarget.PROJECT, "p1"),)),
        rights_of_me((CREATOR, SYSTEM), locks=(Lock("l", LockTarget.IDENTITY, "user:me"),)),
        rights_of_me((P_ADMIN, "p1"), interval=Interval(ends=EPOCH)),
        rights_of_me((CREATOR, SYSTEM), interval=Interval(starts=hour(1))),
    ],
    ids=["locked", "project locked", "creator locked", "expired", "not yet"],
)
def test_locked_or_expired_grantors_grant_nothing(grantor: Rights) -> None:
    assert missing_to_grant(grantor, CATALOG.roles[READER], "p1", OTHER, EPOCH)
    assert missing_to_revoke(grantor, CATALOG.roles[READER], "p1", OTHER, EPOCH)


@pytest.mark.proves("R66")
def test_a_refusal_lists_what_is_missing() -> None:
    (grant_permission, permissions) = missing_to_grant(
        rights_of_me((EXECUTOR, "p1")), CATALOG.roles[P_ADMIN], "p1", OTHER, EPOCH
    )
    assert grant_permission.kind is MissingRightKind.GRANT_PERMISSION
    assert grant_permission.permissions == (GRANT_PERMISSION,)
    assert Permission("delete") in permissions.permissions
    assert Permission("enter", "project") not in permissions.permissions
    assert permissions.sentence.startswith("role PROJECT_ADMIN in `p1` is missing (")
    assert "`delete:*`" in permissions.sentence
    assert MissingRight(
        MissingRightKind.PERMISSIONS, ME, READER, "p1", tuple(CATALOG.roles[READER].permissions)
    ).sentence == ("role PROJECT_READER in `p1` is missing (`read` of 33 nouns)")


def test_every_kind_of_missing_right_has_a_message() -> None:
    assert set(MESSAGES) == set(MissingRightKind)
    for kind in MissingRightKind:
        message = MissingRight(kind, ME, "R", "p1").sentence
        assert "{" not in message
        assert not message.endswith(".")


@pytest.mark.proves("R67")
def test_control_requires_all_rights_of_the_target() -> None:
    def target(*held: tuple[str, str], interval: Interval = Interval()) -> Rights:  # noqa: B008
        assignments = [Assignment(str(i), role, scope, OTHER, interval) for i, (role, scope) in enumerate(held)]
        return compile_rights(
            OTHER, active=True, paths=(), assignments=assignments, roles=CATALOG.roles,
            member_permissions=CATALOG.member_permissions,
        )  # fmt: skip

    admin, lead = rights_of_me((ADMIN, SYSTEM)), rights_of_me((P_ADMIN, "p1"))
    assert missing_for_control(admin, target(), EPOCH) == ()
    assert missing_for_control(admin, target((READER, "p1")), EPOCH)
    assert missing_for_control(admin, target((ADMIN, SYSTEM)), EPOCH) == ()
    assert missing_for_control(lead, target((READER, "p1"), (P_ADMIN, "p1")), EPOCH) == ()
    assert missing_for_control(lead, target((READER, "p2")), EPOCH)
    # Future assignments count, past ones do not.
    assert missing_for_control(admin, target((READER, "p1"), interval=Interval(starts=hour(9))), EPOCH)
    assert missing_for_control(admin, target((READER, "p1"), interval=Interval(ends=EPOCH)), EPOCH) == ()
    # Equal permissions are not enough if the target may grant more.
    wildcard_role = Role("everything", frozenset({Permission("*")}))
    all_permissions = compile_rights(
        ME, active=True, paths=(), assignments=[Assignment("1", "everything", SYSTEM, ME)],
        roles={**CATALOG.roles, "everything": wildcard_role},
    )  # fmt: skip
    assert [right.kind for right in missing_for_control(all_permissions, target((CREATOR, SYSTEM)), EPOCH)] == [
        MissingRightKind.DELEGATION
    ]


@pytest.mark.proves("R67", "R68")
def test_joining_a_group_is_a_self_grant() -> None:
    def team(*held: tuple[str, str]) -> Rights:
        assignments = [Assignment(str(i), role, scope, TEAM) for i, (role, scope) in enumerate(held)]
        return compile_rights(TEAM, active=True, paths=(), assignments=assignments, roles=CATALOG.roles)

    lead, equal = rights_of_me((P_ADMIN, "p1")), team((READER, "p1"))
    controlled = frozenset({ROBOT})
    assert missing_for_membership(lead, equal, OTHER, EPOCH, controlled=controlled) == ()
    assert missing_for_membership(lead, team((READER, "p2")), OTHER, EPOCH, controlled=controlled)
    for member in (ME, TEAM, ROBOT):
        assert [right.kind for right in missing_for_membership(lead, equal, member, EPOCH, controlled=controlled)] == [
            MissingRightKind.SELF
        ]
        assert missing_for_membership(lead, team(), member, EPOCH, controlled=controlled) == ()


def test_a_role_with_limits_cannot_be_revoked_from_oneself() -> None:
    capped = Role("capped", limits={LimitKind.JOBS: 1.0})
    revoker = rights_of_me((P_ADMIN, "p1"))
    assert [right.kind for right in missing_to_revoke(revoker, capped, "p1", ME, EPOCH)] == [
        MissingRightKind.OWN_LIMITS
    ]
    assert [right.kind for right in missing_to_revoke(revoker, capped, "p1", TEAM, EPOCH)] == [
        MissingRightKind.OWN_LIMITS
    ]
    assert missing_to_revoke(revoker, capped, "p1", OTHER, EPOCH) == ()


@given(reference_models(), st.sampled_from(USERS), st.sampled_from(USERS + GROUPS), st.sampled_from(SCOPES), instants)
@settings(max_examples=150, deadline=None)
@pytest.mark.proves("R66")
def test_only_held_rights_can_be_granted(
    state: ReferenceModel, grantor_identity: Identity, recipient: Identity, scope: str, now: object
) -> None:
    """The general rule: `grant:roles`, and every permission of the role, in that scope."""
    grantor = state.rights(grantor_identity)
    for role in state.roles.values():
        if missing_to_grant(grantor, role, scope, recipient, now) == ():  # type: ignore[arg-type]
            permissions = effective_permissions(grantor, scope, now)  # type: ignore[arg-type]
            assert any_covers(permissions, GRANT_PERMISSION)
            assert all(any_covers(permissions, permission) for permission in role.permissions)
            assert recipient != grantor_identity
            assert recipient not in grantor.groups
