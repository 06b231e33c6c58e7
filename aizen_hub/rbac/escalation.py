"""Prevention of privilege escalation: which rights are missing to grant, to revoke or to control (R66-R68).

Every function returns the missing rights; an empty result means that the action is allowed. The general rule is here;
its exceptions are fields of the roles (`Role.can_grant`, `Role.can_revoke` and related ones) from the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from types import MappingProxyType

from aizen_hub.rbac.decision import AuthorizationRequest, Reason
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import decide, held_permissions
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.limit import EffectiveLimit, exceeds_limits
from aizen_hub.rbac.messages import describe_restorers, describe_scope
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import HeldRole, Rights
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in, permissions_of_role

GRANT_PERMISSION = Permission("grant", "roles")
"""Required to grant or revoke any role that the catalog's grant table does not name."""

_DELEGATION_FIELDS = ("can_grant", "can_revoke", "can_grant_to_self", "can_grant_in_file", "can_revoke_in_file")
_MAX_LISTED = 3
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class MissingRightKind(StrEnum):
    """Why a grant, a revocation or control is refused."""

    SCOPE = "scope"
    IDENTITY_KIND = "holder"
    SELF = "self"
    SECOND_PERSON = "second-person"
    FILE_ONLY = "file-only"
    TABLE = "table"
    GRANT_PERMISSION = "grant"
    PERMISSIONS = "permissions"
    DELEGATION = "powers"
    CREATOR = "creator"
    OWN_LIMITS = "own-limits"
    ARCHIVED = "archived"


MESSAGES: Mapping[MissingRightKind, str] = MappingProxyType(
    {
        MissingRightKind.SCOPE: "role {role} cannot be assigned in {where}",
        MissingRightKind.IDENTITY_KIND: "role {role} can be assigned only to {names}",
        MissingRightKind.SELF: (
            "role {role} cannot be granted to yourself, to a group you are in, or to a service account you control"
        ),
        MissingRightKind.SECOND_PERSON: (
            "you control this service account, and you do not have role {role} in {where} for good or with the "
            "limits that the account would have, so granting it would be a grant to yourself: a second user who may "
            "grant it has to confirm it"
        ),
        MissingRightKind.FILE_ONLY: "{role} can be granted and revoked only by the users file (`add users FILE`)",
        MissingRightKind.TABLE: "only {names} can grant and revoke {role}",
        MissingRightKind.GRANT_PERMISSION: "`grant:roles` in {where} is missing",
        MissingRightKind.PERMISSIONS: "role {role} in {where} is missing ({names})",
        MissingRightKind.DELEGATION: ("role {role} in {where} is missing (the right to grant or revoke {names})"),
        MissingRightKind.CREATOR: "only {names} can revoke role {role} from the creator of {where}",
        MissingRightKind.ARCHIVED: "{where} is archived and can only be read; {names} can restore it",
        MissingRightKind.OWN_LIMITS: "role {role} carries limits, so it cannot be revoked from yourself",
    }
)


@dataclass(frozen=True, slots=True)
class MissingRight:
    """One right that is missing, with its message.

    Attributes
    ----------
    permissions : tuple of Permission
        The permissions that are missing.
    names : tuple of str
        Role names: the roles that could do it, or the roles that the grantor cannot grant.
    """

    kind: MissingRightKind
    grantor: Identity
    role: str
    scope: str
    permissions: tuple[Permission, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        names = ", ".join(_format_permissions(self.permissions) or self.names) or "no role"
        return MESSAGES[self.kind].format(role=self.role, where=describe_scope(self.scope), names=names)


def missing_to_grant(
    grantor: Rights,
    role: Role,
    scope: str,
    recipient: Identity,
    now: datetime,
    *,
    in_file: bool = False,
    controlled: frozenset[Identity] = frozenset(),
    ends: datetime | None = None,
    recipient_limits: Iterable[EffectiveLimit] = (),
) -> tuple[MissingRight, ...]:
    """Return what ``grantor`` is missing to grant ``role`` in ``scope`` to ``recipient``.

    A service account that the grantor controls can get a role whose rights the grantor has at least as long, if every
    limit of the grantor binds the account too; any other role would be a grant to oneself
    (`MissingRightKind.SECOND_PERSON`).

    Parameters
    ----------
    in_file : bool
        The role is granted by the users file, not by a single grant.
    controlled : frozenset of Identity
        The service accounts that the grantor controls *and every group that one of them is in*: the grantor can use
        what such a group receives. The grantor and the grantor's own groups need not be listed.
    ends : datetime, optional
        End of the assignment; None: it does not end.
    recipient_limits : iterable of EffectiveLimit
        The limits that the recipient has already.
    """
    if archived := _missing_in_archive(grantor, role, scope, now):
        return archived
    return _missing_to_grant(
        grantor,
        role,
        scope,
        recipient,
        now,
        in_file=in_file,
        controlled=controlled,
        ends=ends,
        recipient_limits=recipient_limits,
    )


def _missing_to_grant(
    grantor: Rights,
    role: Role,
    scope: str,
    recipient: Identity,
    now: datetime,
    *,
    in_file: bool = False,
    controlled: frozenset[Identity] = frozenset(),
    ends: datetime | None = None,
    recipient_limits: Iterable[EffectiveLimit] = (),
) -> tuple[MissingRight, ...]:
    """Return what is missing whether the project is archived or not."""
    if not is_assignable_in(role, scope):
        return (MissingRight(MissingRightKind.SCOPE, grantor.identity, role.name, scope),)
    if recipient.kind not in role.assignable_to:
        kinds = tuple(f"a {kind}" for kind in sorted(role.assignable_to))
        return (MissingRight(MissingRightKind.IDENTITY_KIND, grantor.identity, role.name, scope, names=kinds),)
    to_self = _is_self_or_controlled(grantor, recipient, controlled)
    fields = ("can_grant", "can_grant_in_file") if in_file else ("can_grant",)
    within_limits = recipient not in controlled or not exceeds_limits(
        grantor.limits, role, scope, recipient_limits, now
    )
    for held_role in _active_roles(grantor, scope, now):
        if any(role.name in getattr(held_role, key) for key in fields) and (
            not to_self or role.name in held_role.can_grant_to_self
        ):
            return () if within_limits else (_own_account_grant(grantor, role, scope, recipient),)
    if to_self:
        missing = _missing_for_own_account(grantor, role, scope, recipient, now, ends, fields)
        return missing if missing or within_limits else (_own_account_grant(grantor, role, scope, recipient),)
    return _missing_by_general_rule(grantor, role, scope, now, fields)


def missing_to_revoke(
    revoker: Rights,
    role: Role,
    scope: str,
    holder: Identity,
    now: datetime,
    *,
    in_file: bool = False,
    controlled: frozenset[Identity] = frozenset(),
    creator: bool = False,
    removers: frozenset[str] = frozenset(),
    deletes_holder: bool = False,
) -> tuple[MissingRight, ...]:
    """Return what ``revoker`` is missing to revoke ``role`` in ``scope`` from ``holder``.

    Parameters
    ----------
    creator : bool
        The assignment is the automatic one of the project's creator, which only holders of ``removers`` can revoke.
    deletes_holder : bool
        The holder is deleted with everything it has, which an archived project does not prevent.
    """
    if not deletes_holder and (archived := _missing_in_archive(revoker, role, scope, now)):
        return archived
    held_roles = list(_active_roles(revoker, scope, now))
    if creator and not any(held_role.name in removers for held_role in held_roles):
        return (
            MissingRight(MissingRightKind.CREATOR, revoker.identity, role.name, scope, names=tuple(sorted(removers))),
        )
    if role.limits and _is_self_or_controlled(revoker, holder, controlled):
        return (MissingRight(MissingRightKind.OWN_LIMITS, revoker.identity, role.name, scope),)
    fields = ("can_revoke", "can_revoke_in_file") if in_file else ("can_revoke",)
    if any(role.name in getattr(held_role, key) for held_role in held_roles for key in fields):
        return ()
    return _missing_by_general_rule(revoker, role, scope, now, fields)


def _missing_in_archive(grantor: Rights, role: Role, scope: str, now: datetime) -> tuple[MissingRight, ...]:
    if grantor.active_archive(scope, now) is None:
        return ()
    names = (describe_restorers(grantor.archive_rule.restorers),)
    return (MissingRight(MissingRightKind.ARCHIVED, grantor.identity, role.name, scope, names=names),)


def missing_for_control(
    grantor: Rights, target: Rights, now: datetime, *, include_grantable: bool = False
) -> tuple[MissingRight, ...]:
    """Return which rights of ``target`` the ``grantor`` does not have.

    Controlling an identity (membership, nesting, unlocking, linking, activation links, credentials, approving requests)
    means being able to use its rights. Rights that the target will have later, or cannot use because of a lock or of an
    archived project, count too.

    Parameters
    ----------
    include_grantable : bool
        Rights that ``grantor`` could grant to another identity in that scope are not missing either.
    """
    if grantor.identity == target.identity:
        return ()
    missing: dict[MissingRight, None] = {}
    for held_role in _present_and_future(target, now):
        grantable = _grantable_roles(grantor, held_role.scope, now) if include_grantable else ()
        missing |= dict.fromkeys(_not_held(grantor, target.roles[held_role.role], held_role.scope, now, grantable))
    return tuple(missing)


def missing_for_membership(
    grantor: Rights, group: Rights, member: Identity, now: datetime, *, controlled: frozenset[Identity] = frozenset()
) -> tuple[MissingRight, ...]:
    """Return what ``grantor`` is missing to add ``member`` to ``group``.

    Joining a group is a grant to oneself, even if one has all its rights today: the group may have them for longer.
    """
    if _is_self_or_controlled(grantor, member, controlled):
        return tuple(
            MissingRight(MissingRightKind.SELF, grantor.identity, held_role.role, held_role.scope)
            for held_role in _present_and_future(group, now)
        )
    return missing_for_control(grantor, group, now)


def _missing_by_general_rule(
    grantor: Rights, role: Role, scope: str, now: datetime, fields: tuple[str, ...]
) -> tuple[MissingRight, ...]:
    """Return what is missing by the general rule: ``grant:roles``, and every right of the role."""
    if role.grant_table_only:
        granting_roles = tuple(
            granting_role.name
            for granting_role in grantor.roles.values()
            for key in fields
            if role.name in getattr(granting_role, key)
        )
        kind = MissingRightKind.TABLE if granting_roles else MissingRightKind.FILE_ONLY
        return (MissingRight(kind, grantor.identity, role.name, scope, names=granting_roles),)
    if not any(
        held_role.can_grant_held_roles for held_role in _active_roles(grantor, scope, now)
    ) and not _may_grant_roles(grantor, scope, now):
        return (
            MissingRight(MissingRightKind.GRANT_PERMISSION, grantor.identity, role.name, scope, (GRANT_PERMISSION,)),
            *_not_held(grantor, role, scope, now),
        )
    return tuple(_not_held(grantor, role, scope, now))


def _missing_for_own_account(
    grantor: Rights,
    role: Role,
    scope: str,
    recipient: Identity,
    now: datetime,
    ends: datetime | None,
    fields: tuple[str, ...],
) -> tuple[MissingRight, ...]:
    """Return what is missing to grant a role to oneself, to an own group, or to a service account one controls."""
    is_account = recipient.kind is IdentityKind.SERVICE_ACCOUNT and recipient != grantor.identity
    in_table = any(role.name in getattr(held, key) for held in _active_roles(grantor, scope, now) for key in fields)
    if is_account and (in_table or _may_grant_roles(grantor, scope, now)):
        # Rights that end before the assignment would outlive themselves in the account.
        last = _END_OF_TIME if ends is None else ends - timedelta.resolution
        if (in_table or not _missing_by_general_rule(grantor, role, scope, now, fields)) and not any(
            missing for time in (now, last) for missing in _not_held(grantor, role, scope, time)
        ):
            return ()
        return (_own_account_grant(grantor, role, scope, recipient),)
    return (MissingRight(MissingRightKind.SELF, grantor.identity, role.name, scope),)


def _own_account_grant(grantor: Rights, role: Role, scope: str, recipient: Identity) -> MissingRight:
    is_account = recipient.kind is IdentityKind.SERVICE_ACCOUNT
    kind = MissingRightKind.SECOND_PERSON if is_account else MissingRightKind.SELF
    return MissingRight(kind, grantor.identity, role.name, scope)


def _may_grant_roles(grantor: Rights, scope: str, now: datetime) -> bool:
    decision = decide(grantor, AuthorizationRequest(GRANT_PERMISSION, scope), now)
    if decision.reason is Reason.ARCHIVED:  # that is another question, see `_missing_in_archive`
        return any_covers(held_permissions(grantor, scope, now), GRANT_PERMISSION)
    return decision.allowed


def _grantable_roles(grantor: Rights, scope: str, now: datetime) -> tuple[Role, ...]:
    """Return the roles that ``grantor`` may grant to an unrelated user in ``scope``."""
    other = Identity.user("other")
    return tuple(
        role for role in grantor.roles.values() if not _missing_to_grant(grantor, role, scope, other, now, in_file=True)
    )


def _not_held(
    grantor: Rights, role: Role, scope: str, now: datetime, also_held: Iterable[Role] = ()
) -> Iterator[MissingRight]:
    """Yield the rights of ``role`` in ``scope`` that neither ``grantor`` nor the roles ``also_held`` include."""
    other_roles = tuple(also_held)
    held = held_permissions(grantor, scope, now).union(
        *(permissions_of_role(other, scope, grantor.member_permissions) for other in other_roles)
    )
    needed = permissions_of_role(role, scope, grantor.member_permissions)
    permissions = tuple(sorted(permission for permission in needed if not any_covers(held, permission)))
    if permissions:
        yield MissingRight(MissingRightKind.PERMISSIONS, grantor.identity, role.name, scope, permissions)
    delegation = _delegation_of((role,)) - _delegation_of((*_active_roles(grantor, scope, now), *other_roles))
    if delegation:
        yield MissingRight(
            MissingRightKind.DELEGATION,
            grantor.identity,
            role.name,
            scope,
            names=tuple(sorted({name for _, name in delegation})),
        )


def _delegation_of(roles: Iterable[Role]) -> set[tuple[str, str]]:
    role_list = list(roles)
    named = {(key, name) for role in role_list for key in _DELEGATION_FIELDS for name in getattr(role, key)}
    return named | {("can_grant_held_roles", "every role one holds") for role in role_list if role.can_grant_held_roles}


def _active_roles(rights: Rights, scope: str, now: datetime) -> Iterator[Role]:
    """Yield the roles that are effective for the identity in ``scope`` now; none while it is locked or inactive."""
    if not rights.active or rights.active_lock(scope, None, now) is not None:
        return
    for held_role in rights.held_roles:
        if held_role.scope in (scope, SYSTEM) and held_role.is_effective(now):
            yield rights.roles[held_role.role]


def _present_and_future(rights: Rights, now: datetime) -> Iterator[HeldRole]:
    """Yield the roles that the identity has now or will have."""
    return (
        held_role for held_role in rights.held_roles if held_role.interval.ends is None or now < held_role.interval.ends
    )


def _format_permissions(permissions: tuple[Permission, ...]) -> list[str]:
    """Return permissions as texts; many nouns of one verb are counted instead of listed."""
    texts = []
    for verb, group in groupby(sorted(permissions), key=lambda permission: permission.verb):
        same_verb = list(group)
        texts += (
            [f"`{permission}`" for permission in same_verb]
            if len(same_verb) <= _MAX_LISTED
            else [f"`{verb}` of {len(same_verb)} nouns"]
        )
    return texts


def _is_self_or_controlled(grantor: Rights, identity: Identity, controlled: frozenset[Identity]) -> bool:
    return identity == grantor.identity or identity in grantor.groups or identity in controlled
