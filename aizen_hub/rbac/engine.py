"""The decision engine: deciding, listing and explaining (R60, R61, R80).

`decide`, `allowed_scopes`, `effective_permissions` and `explain` read the same compiled rights, so that checking,
listing and explaining cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from aizen_hub.rbac.archive import ArchiveRule
from aizen_hub.rbac.assignment import Lock, LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.default_denials import DenialKey, SuggestedRole, any_covers, least_role
from aizen_hub.rbac.limit import EffectiveLimit
from aizen_hub.rbac.messages import MESSAGES, deny, describe_restorers, describe_scope
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.rights import HeldRole, Rights
from aizen_hub.rbac.role import SYSTEM, LimitKind

MAX_REPEATED_DENIALS = 64
"""Of one identity (R127)."""
_FEW = 32  # held roles that are looked through one by one
_PROJECT_LOCKS = frozenset({LockTarget.PROJECT, LockTarget.ARCHIVE})
_OPEN = Decision(True, Reason.OPEN, MESSAGES[Reason.OPEN])


def decide(rights: Rights, request: AuthorizationRequest, now: datetime) -> Decision:
    """Decide one request; pure and total.

    Parameters
    ----------
    now : datetime
        The store's time, with time zone.

    Returns
    -------
    Decision
        Allowed only if an assignment in force covers the permission in the scope or in the system scope, or if the
        request is open to every registered user; no match is a denial (R59). In an archived project also only if the
        permission is one that changes nothing.
    """
    if (blocked := _blocking_denial(rights, request, now)) is not None:
        return blocked
    permission, scope = request.permission, request.scope
    if permission is None:
        return _OPEN
    if scope is None:
        return deny(Reason.PROJECT_REQUIRED, permission=permission)
    if not request.scope_exists:
        return deny(Reason.UNKNOWN_PROJECT, where=describe_scope(scope))
    # Inlined instead of calling `Rights.matching`: this is the hot path of every command.
    verb, noun, table = permission.verb, permission.noun, rights.table
    has_candidate = False
    for candidate_scope in (scope, SYSTEM):
        verbs = table.get(candidate_scope)
        if verbs is not None:
            for candidate_verb in (verb, ANY):
                nouns = verbs.get(candidate_verb)
                if nouns is not None:
                    for candidate_noun in (noun, ANY):
                        for held_role in nouns.get(candidate_noun, ()):
                            if held_role.permanent or held_role.is_effective(now):
                                return held_role.decision
                            has_candidate = True
    if has_candidate:
        return _nearest_denial(rights, permission, scope, now)
    repeated = rights.repeated_denials
    if repeated is not None and (denial := repeated.get((scope, verb, noun))) is not None:
        return denial
    return _default_denial(rights, permission, scope, now)


@dataclass(frozen=True, slots=True)
class ScopeSet:
    """A set of scopes: those named, or all except those excluded."""

    everywhere: bool
    named: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    def __contains__(self, scope: str) -> bool:
        return scope not in self.excluded and (self.everywhere or scope in self.named)


def allowed_scopes(rights: Rights, permission: Permission, now: datetime, session_id: str | None = None) -> ScopeSet:
    """Return where `decide` allows ``permission``, so that a listing can be filtered in its query (R72)."""
    everywhere = decide(rights, AuthorizationRequest(permission, SYSTEM, session_id), now).allowed
    mentioned = {held_role.scope for held_role in rights.held_roles}
    mentioned |= {name for kind, name in rights.locks if kind in _PROJECT_LOCKS}
    allowed = {
        scope for scope in mentioned if decide(rights, AuthorizationRequest(permission, scope, session_id), now).allowed
    }
    return ScopeSet(everywhere, frozenset(allowed), frozenset(mentioned - allowed) if everywhere else frozenset())


def effective_permissions(
    rights: Rights, scope: str, now: datetime, session_id: str | None = None
) -> frozenset[Permission]:
    """Return every permission in force in ``scope`` now; `decide` allows exactly what one of them covers."""
    permissions = held_permissions(rights, scope, now, session_id)
    is_archived = rights.active_archive(scope, now) is not None
    return rights.archive_rule.restrict(permissions) if is_archived else permissions


def held_permissions(rights: Rights, scope: str, now: datetime, session_id: str | None = None) -> frozenset[Permission]:
    """Return the permissions that the roles give in ``scope`` now, also those that an archived project suspends."""
    if _blocking_denial(rights, AuthorizationRequest(None, scope, session_id), now) is not None:
        return frozenset()
    return frozenset(
        permission
        for held_role in rights.held_roles
        if held_role.scope in (scope, SYSTEM) and held_role.is_effective(now)
        for permission in rights.permissions_of(held_role)
    )


def effective_limits(rights: Rights, scope: str, now: datetime) -> Mapping[LimitKind, EffectiveLimit]:
    """Return the strictest limit of each kind that applies in ``scope`` now, with its source.

    A lock on a group suspends the group's permissions but not its limits: a lock must never widen rights.
    """
    strictest: dict[LimitKind, EffectiveLimit] = {}
    for limit in rights.limits:
        if limit.scope in (scope, SYSTEM) and limit.interval.includes(now):
            current = strictest.get(limit.kind)
            if current is None or limit.value < current.value:
                strictest[limit.kind] = limit
    return strictest


class PathVerdict(StrEnum):
    """What one assignment contributes to a decision."""

    ALLOWS = "allows"
    LOCKED = "locked"
    NOT_YET = "not-yet"
    EXPIRED = "expired"
    NOT_INCLUDED = "not-included"
    OTHER_SCOPE = "other-scope"


_VERDICT_TEXTS: Mapping[PathVerdict, str] = {
    PathVerdict.ALLOWS: "allows it",
    PathVerdict.LOCKED: "would allow it, but a group on the path is locked",
    PathVerdict.NOT_YET: "will allow it later",
    PathVerdict.EXPIRED: "allowed it until it ended",
    PathVerdict.NOT_INCLUDED: "does not allow it",
    PathVerdict.OTHER_SCOPE: "allows it in another scope",
}


@dataclass(frozen=True, slots=True)
class GrantPath:
    """One assignment that the identity has, and what it contributes to the decision."""

    held_role: HeldRole
    verdict: PathVerdict

    @property
    def sentence(self) -> str:
        return f"{self.held_role.decision.sentence} {_VERDICT_TEXTS[self.verdict]}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a request is decided as it is.

    Attributes
    ----------
    winning : GrantPath or None
        The path that allowed it.
    others : tuple of GrantPath
        Every other path, and why it did not allow the request.
    least_role : SuggestedRole or None
        The role that would allow it in that scope and add least to what the identity has.
    """

    decision: Decision
    winning: GrantPath | None
    others: tuple[GrantPath, ...]
    least_role: SuggestedRole | None


def explain(rights: Rights, request: AuthorizationRequest, now: datetime) -> Explanation:
    """Decide one request as `decide` does, with every path that was considered."""
    decision = decide(rights, request, now)
    permission, scope = request.permission, request.scope
    if permission is None or scope is None:
        return Explanation(decision, None, (), None)
    paths = [
        GrantPath(held_role, _verdict(rights, held_role, permission, scope, now)) for held_role in rights.held_roles
    ]
    winning = next((path for path in paths if path.held_role.decision is decision), None)
    others = tuple(path for path in paths if path is not winning)
    held = held_in(rights, scope, now)
    least = least_role(rights.roles, permission, scope, rights.member_permissions, rights.identity.kind, held)
    return Explanation(decision, winning, others, least)


def _blocking_denial(rights: Rights, request: AuthorizationRequest, now: datetime) -> Decision | None:
    if not rights.active:
        return deny(Reason.NOT_ACTIVE, identity=rights.identity)
    if not rights.locks:
        return None
    if (lock := rights.active_lock(request.scope, request.session_id, now)) is not None:
        return deny(Reason.LOCKED, **_lock_fields(lock))
    archive = rights.active_archive(request.scope, now)
    if archive is not None and not rights.archive_rule.allows(request.permission):
        return deny_archived(archive, rights.archive_rule)
    return None


def deny_archived(archive: Lock, rule: ArchiveRule) -> Decision:
    """Return the denial of what would change an archived project."""
    return deny(
        Reason.ARCHIVED,
        where=describe_scope(archive.name),
        because=_reason_phrase(archive),
        restorers=describe_restorers(rule.restorers),
    )


def _nearest_denial(rights: Rights, permission: Permission, scope: str, now: datetime) -> Decision:
    """Return the denial with the nearest assignment (locked, future, ended), else with the least role that would do."""
    fields: dict[str, Any] = {"permission": permission, "where": describe_scope(scope)}
    candidates = list(rights.matching(scope, permission))
    for held_role in candidates:
        if held_role.interval.includes(now) and (lock := held_role.active_lock(now)) is not None:
            return deny(Reason.LOCKED, **_path_fields(held_role), **_lock_fields(lock))
    later = [(held.interval.starts, held) for held in candidates if held.interval.starts and now < held.interval.starts]
    if later:
        starts, held_role = min(later, key=_time_of)
        return deny(Reason.NOT_YET, moment=_format_time(starts), **_path_fields(held_role), **fields)
    ended = [(held.interval.ends, held) for held in candidates if held.interval.ends]
    if ended:
        ends, held_role = max(ended, key=_time_of)
        return deny(Reason.EXPIRED, moment=_format_time(ends), **_path_fields(held_role), **fields)
    return _default_denial(rights, permission, scope, now)


def _default_denial(rights: Rights, permission: Permission, scope: str, now: datetime) -> Decision:
    repeated, key = rights.repeated_denials, (scope, permission.verb, permission.noun)
    denial = rights.denials[DenialKey(*key, rights.identity.kind, held_in(rights, scope, now))]
    if repeated is not None:
        if len(repeated) >= MAX_REPEATED_DENIALS:
            repeated.clear()
        repeated[key] = denial
    return denial


def held_in(rights: Rights, scope: str, now: datetime) -> frozenset[tuple[str, str]]:
    """Return the roles, with their scopes, that are in force in ``scope`` now."""
    candidates: Iterable[HeldRole] = rights.held_roles
    if len(rights.held_roles) > _FEW:
        # The roles in all other scopes are more than the permissions in this one.
        tables = (rights.table.get(candidate_scope, {}) for candidate_scope in (scope, SYSTEM))
        candidates = (
            held for table in tables for nouns in table.values() for all_held in nouns.values() for held in all_held
        )
    scopes = (scope, SYSTEM)
    return frozenset(
        (held_role.role, held_role.scope)
        for held_role in candidates
        if held_role.scope in scopes and held_role.is_effective(now)
    )


def _time_of(pair: tuple[datetime, HeldRole]) -> datetime:
    return pair[0]


def _path_fields(held_role: HeldRole) -> dict[str, Any]:
    return {"assignment_id": held_role.assignment_id, "role": held_role.role, "via": held_role.via}


def _lock_fields(lock: Lock) -> dict[str, Any]:
    return {"target": f"the {lock.target} `{lock.name}`", "because": _reason_phrase(lock)}


def _reason_phrase(lock: Lock) -> str:
    return f": {lock.reason}" if lock.reason else ""


def _format_time(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def _verdict(rights: Rights, held_role: HeldRole, permission: Permission, scope: str, now: datetime) -> PathVerdict:
    if not any_covers(rights.permissions_of(held_role), permission):
        return PathVerdict.NOT_INCLUDED
    if held_role.scope not in (scope, SYSTEM):
        return PathVerdict.OTHER_SCOPE
    if held_role.interval.starts is not None and now < held_role.interval.starts:
        return PathVerdict.NOT_YET
    if held_role.interval.ends is not None and held_role.interval.ends <= now:
        return PathVerdict.EXPIRED
    return PathVerdict.ALLOWS if held_role.active_lock(now) is None else PathVerdict.LOCKED
