"""Archived projects: what only reads is allowed as before, all else is refused with the reason of the archive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.archive import ArchiveRule
from aizen_hub.rbac.assignment import Assignment, Interval, Lock, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.engine import allowed_scopes, decide, effective_permissions
from aizen_hub.rbac.escalation import MissingRightKind, missing_for_control, missing_to_grant, missing_to_revoke
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM
from tests.rbac.reference_model import EPOCH

ME, OTHER = Identity.user("me"), Identity.user("other")
CATALOG = load_catalog("aizen")
ARCHIVE = Lock("1", LockTarget.ARCHIVE, "p1", reason="the study ended")
LOCKED = Lock("2", LockTarget.PROJECT, "p1", reason="an incident")


def rights_of(*held: tuple[str, str], locks: tuple[Lock, ...] = (ARCHIVE,), identity: Identity = ME) -> Rights:
    return compile_rights(
        identity,
        active=True,
        paths=(),
        assignments=[Assignment(str(number), role, scope, identity) for number, (role, scope) in enumerate(held)],
        roles=CATALOG.roles,
        locks=locks,
        member_permissions=CATALOG.member_permissions,
        archive_rule=CATALOG.archive_rule,
    )


def decide_in(rights: Rights, permission: str | None, scope: str = "p1", session: str | None = None) -> Decision:
    required = None if permission is None else Permission.parse(permission)
    return decide(rights, AuthorizationRequest(required, scope, session), EPOCH)


@pytest.mark.proves("R59", "R78")
@pytest.mark.parametrize(
    ("held", "locks", "permission", "scope", "reason"),
    [
        ("PROJECT_ADMIN", (ARCHIVE,), "read:training", "p1", Reason.GRANTED),
        ("PROJECT_READER", (ARCHIVE,), "read:training", "p1", Reason.GRANTED),
        ("PROJECT_READER", (ARCHIVE,), "enter:project", "p1", Reason.GRANTED),
        ("PROJECT_ADMIN", (ARCHIVE,), "list:users", "p1", Reason.GRANTED),
        ("PROJECT_ADMIN", (ARCHIVE,), "read:access", "p1", Reason.GRANTED),
        ("PROJECT_READER", (ARCHIVE,), None, "p1", Reason.OPEN),
        ("PROJECT_ADMIN", (ARCHIVE,), "write:training", "p1", Reason.ARCHIVED),
        ("PROJECT_ADMIN", (ARCHIVE,), "execute:training", "p1", Reason.ARCHIVED),
        ("PROJECT_ADMIN", (ARCHIVE,), "delete:project", "p1", Reason.ARCHIVED),
        ("PROJECT_ADMIN", (ARCHIVE,), "grant:roles", "p1", Reason.ARCHIVED),
        ("PROJECT_ADMIN", (ARCHIVE,), "grant:project", "p1", Reason.ARCHIVED),
        ("PROJECT_ADMIN", (ARCHIVE,), "*:training", "p1", Reason.ARCHIVED),
        # It says so also to those who lack the permission, as a lock does.
        ("PROJECT_READER", (ARCHIVE,), "write:training", "p1", Reason.ARCHIVED),
        # No user gains by an archive, and nothing else is archived.
        (None, (ARCHIVE,), "read:training", "p1", Reason.NO_ASSIGNMENT),
        ("PROJECT_ADMIN", (ARCHIVE,), "read:training", "p2", Reason.NO_ASSIGNMENT),
        ("AIZEN_ADMIN", (ARCHIVE,), "manage:locks", SYSTEM, Reason.GRANTED),
        # A lock stops reading too, with its own reason; an archive that is over stops nothing.
        ("PROJECT_ADMIN", (ARCHIVE, LOCKED), "read:training", "p1", Reason.LOCKED),
        ("PROJECT_ADMIN", (ARCHIVE, LOCKED), "write:training", "p1", Reason.LOCKED),
        (
            "PROJECT_ADMIN",
            (Lock("1", LockTarget.ARCHIVE, "p1", Interval(ends=EPOCH)),),
            "write:training",
            "p1",
            Reason.GRANTED,
        ),
    ],
)
def test_the_truth_table(
    held: str | None, locks: tuple[Lock, ...], permission: str | None, scope: str, reason: Reason
) -> None:
    assigned = () if held is None else ((held, SYSTEM if held == "AIZEN_ADMIN" else "p1"),)
    assert decide_in(rights_of(*assigned, locks=locks), permission, scope).reason is reason


def test_the_reason_names_the_archive_and_who_can_restore_it() -> None:
    decision = decide_in(rights_of(("PROJECT_ADMIN", "p1")), "write:training")
    assert decision.sentence == (
        "the project `p1` is archived and can only be read: the study ended; AIZEN_ADMIN can restore it"
    )


@pytest.mark.parametrize("name", ["aizen", "aihub", "xat", "zenml"])
def test_every_command_of_a_project_is_decided_by_whether_its_permission_reads(name: str) -> None:
    catalog = load_catalog(name)
    restorers = catalog.archive_rule.restorers
    assert restorers
    for entry in catalog.commands.values():
        if entry.permission is None:
            continue
        reads = catalog.archive_rule.allows(entry.permission)
        assert not (reads and (entry.job or entry.grants_roles)), entry.name
        if entry.verb in ("start", "run", "write", "create", "delete", "grant", "revoke", "alter"):
            assert not reads, entry.name


@pytest.mark.proves("R80")
def test_listings_leave_archived_projects_out_for_what_changes() -> None:
    rights = rights_of(("PROJECT_ADMIN", "p1"), ("PROJECT_ADMIN", "p2"))
    assert allowed_scopes(rights, Permission("read", "training"), EPOCH).named == {"p1", "p2"}
    assert allowed_scopes(rights, Permission("write", "training"), EPOCH).named == {"p2"}
    assert effective_permissions(rights, "p1", EPOCH) == {
        Permission("read"),
        Permission("list", "users"),
        Permission("list", "roles"),
        Permission("enter", "project"),
    }


@pytest.mark.proves("R66", "R67")
def test_no_user_grants_or_revokes_in_an_archived_project() -> None:
    role = CATALOG.roles["PROJECT_ADMIN"]
    for grantor in (rights_of(("PROJECT_ADMIN", "p1")), rights_of(("AIZEN_ADMIN", SYSTEM))):
        for missing in (
            missing_to_grant(grantor, role, "p1", OTHER, EPOCH),
            missing_to_revoke(grantor, role, "p1", OTHER, EPOCH),
        ):
            assert [right.kind for right in missing] == [MissingRightKind.ARCHIVED]
            assert missing[0].sentence == "`p1` is archived and can only be read; AIZEN_ADMIN can restore it"
        assert not missing_to_revoke(grantor, role, "p1", OTHER, EPOCH, deletes_holder=True)
    assert not missing_to_grant(rights_of(("AIZEN_ADMIN", SYSTEM)), role, "p2", OTHER, EPOCH)


@pytest.mark.proves("R68")
def test_control_of_an_identity_counts_what_an_archive_suspends_on_both_sides() -> None:
    target = rights_of(("PROJECT_EXECUTOR", "p1"), identity=OTHER)
    assert not missing_for_control(rights_of(("PROJECT_ADMIN", "p1")), target, EPOCH)
    assert missing_for_control(rights_of(("PROJECT_READER", "p1")), target, EPOCH)
    # An administrator who may grant PROJECT_ADMIN can still manage its holders.
    admin, holder = rights_of(("AIZEN_ADMIN", SYSTEM)), rights_of(("PROJECT_ADMIN", "p1"), identity=OTHER)
    assert not missing_for_control(admin, holder, EPOCH, include_grantable=True)


words = st.sampled_from(("read", "write", "list", "*"))
nouns = st.sampled_from(("model", "data", "*"))
permissions_ = st.builds(Permission, words, nouns)


@given(permissions_, permissions_, permissions_)
def test_the_common_part_covers_exactly_what_both_cover(
    first: Permission, second: Permission, requested: Permission
) -> None:
    common = first.common_part(second)
    assert common == second.common_part(first)
    assert (common is not None and common.covers(requested)) is (first.covers(requested) and second.covers(requested))


@given(st.frozensets(permissions_, max_size=4), st.frozensets(permissions_, max_size=3), permissions_)
def test_what_is_left_is_what_roles_and_rule_both_cover(
    held: frozenset[Permission], reading: frozenset[Permission], requested: Permission
) -> None:
    rule = ArchiveRule(reading)
    left = rule.restrict(held)
    is_held = any(permission.covers(requested) for permission in held)
    assert any(permission.covers(requested) for permission in left) is (is_held and rule.allows(requested))


def test_an_archive_begins_and_ends_with_its_lock() -> None:
    until = Lock("1", LockTarget.ARCHIVE, "p1", Interval(ends=EPOCH + timedelta(hours=1)))
    rights = rights_of(("PROJECT_ADMIN", "p1"), locks=(until,))
    request = AuthorizationRequest(Permission("write", "training"), "p1")
    assert decide(rights, request, EPOCH).reason is Reason.ARCHIVED
    assert decide(rights, request, EPOCH + timedelta(hours=1)).allowed
