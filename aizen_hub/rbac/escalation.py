"""Who may give, take and control what: nobody hands on, or takes over, more than they may (R66-R68).

Every function returns what is missing; nothing missing means that it may be done. The rules are here, the exceptions
are data of the roles: `Role.gives`, `Role.takes` and their companions, straight from the catalog's grant table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from types import MappingProxyType

from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import decide, effective
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import place
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Held, Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, fits, role_gives

GRANT = Permission("grant", "roles")
"""What it takes to give or take any role that the table does not name."""

_POWERS = ("gives", "takes", "gives_self", "gives_in_file", "takes_in_file")
_SHOWN = 3


class Lack(StrEnum):
    """What stands in the way."""

    SCOPE = "scope"
    HOLDER = "holder"
    SELF = "self"
    FILE_ONLY = "file-only"
    TABLE = "table"
    GRANT = "grant"
    PERMISSIONS = "permissions"
    POWERS = "powers"
    CREATOR = "creator"
    OWN_LIMITS = "own-limits"


SENTENCES: Mapping[Lack, str] = MappingProxyType(
    {
        Lack.SCOPE: "role {role} cannot be assigned in {where}",
        Lack.HOLDER: "role {role} is only for {names}",
        Lack.SELF: "nobody gives {role} to themselves, to a group of theirs, or to a service account they control",
        Lack.FILE_ONLY: "role {role} changes hands in the users file only",
        Lack.TABLE: "role {role} changes hands only through {names}",
        Lack.GRANT: "`grant:roles` in {where} is missing",
        Lack.PERMISSIONS: "for role {role}, {names} in {where} is missing",
        Lack.POWERS: "for role {role}, the right to give or take {names} in {where} is missing",
        Lack.CREATOR: "role {role} of the creator of {where} is taken away only by {names}",
        Lack.OWN_LIMITS: "role {role} limits its holder, so nobody takes it from themselves",
    }
)


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is missing, as a value with its sentence.

    Attributes
    ----------
    permissions : tuple of Permission
        The permissions that are missing.
    names : tuple of str
        Role names: who could do it instead, or which roles one cannot hand on.
    """

    lack: Lack
    giver: Identity
    role: str
    scope: str
    permissions: tuple[Permission, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        names = ", ".join(_shown(self.permissions) or self.names) or "nobody"
        return SENTENCES[self.lack].format(giver=self.giver, role=self.role, where=place(self.scope), names=names)


def may_give(
    giver: Rights,
    role: Role,
    scope: str,
    to: Identity,
    now: datetime,
    *,
    in_file: bool = False,
    own: frozenset[Identity] = frozenset(),
) -> tuple[Missing, ...]:
    """Return what ``giver`` lacks to give ``role`` in ``scope`` to ``to``; empty: nothing.

    Parameters
    ----------
    in_file : bool
        The users file gives it, not a single grant.
    own : frozenset of Identity
        The service accounts that the giver controls *and every group that one of them is in*: what such a group
        receives, the giver can use. The giver and the giver's groups need not be named.
    """
    if not fits(role, scope):
        return (Missing(Lack.SCOPE, giver.identity, role.name, scope),)
    if to.kind not in role.holders:
        kinds = tuple(f"a {kind}" for kind in sorted(role.holders))
        return (Missing(Lack.HOLDER, giver.identity, role.name, scope, names=kinds),)
    to_own = _is_own(giver, to, own)
    giving = ("gives", "gives_in_file") if in_file else ("gives",)
    for mine in _roles(giver, scope, now):
        if any(role.name in getattr(mine, key) for key in giving) and (not to_own or role.name in mine.gives_self):
            return ()
    if to_own:
        return (Missing(Lack.SELF, giver.identity, role.name, scope),)
    return _by_holding(giver, role, scope, now, giving)


def may_take(
    taker: Rights,
    role: Role,
    scope: str,
    holder: Identity,
    now: datetime,
    *,
    in_file: bool = False,
    own: frozenset[Identity] = frozenset(),
    creator: bool = False,
    removers: frozenset[str] = frozenset(),
) -> tuple[Missing, ...]:
    """Return what ``taker`` lacks to take ``role`` in ``scope`` from ``holder``; empty: nothing.

    Parameters
    ----------
    creator : bool
        The assignment is the automatic one of the project's creator, which only holders of ``removers`` take away.
    """
    held = list(_roles(taker, scope, now))
    if creator and not any(mine.name in removers for mine in held):
        return (Missing(Lack.CREATOR, taker.identity, role.name, scope, names=tuple(sorted(removers))),)
    if role.limits and _is_own(taker, holder, own):
        return (Missing(Lack.OWN_LIMITS, taker.identity, role.name, scope),)
    taking = ("takes", "takes_in_file") if in_file else ("takes",)
    if any(role.name in getattr(mine, key) for mine in held for key in taking):
        return ()
    return _by_holding(taker, role, scope, now, taking)


def missing_to_control(giver: Rights, target: Rights, now: datetime, *, or_give: bool = False) -> tuple[Missing, ...]:
    """Return what ``giver`` lacks of the rights of ``target``: who controls an identity could use all it holds.

    Membership, nesting, unlocking, linking, activation links, credentials and approving requests are control. What the
    target will hold later, or cannot use because of a lock, counts too: its time will come.

    Parameters
    ----------
    or_give : bool
        What ``giver`` might give to somebody else in that scope is not missing either.
    """
    if giver.identity == target.identity:
        return ()
    missing: dict[Missing, None] = {}
    for held in _lasting(target, now):
        beside = _giveable(giver, held.scope, now) if or_give else ()
        missing |= dict.fromkeys(_uncovered(giver, target.roles[held.role], held.scope, now, beside))
    return tuple(missing)


def missing_to_enrol(
    giver: Rights, group: Rights, member: Identity, now: datetime, *, own: frozenset[Identity] = frozenset()
) -> tuple[Missing, ...]:
    """Return what ``giver`` lacks to make ``member`` a member of ``group``.

    Joining a group oneself is giving to oneself, even where one holds all of it today: the group may hold it longer.
    """
    if _is_own(giver, member, own):
        return tuple(Missing(Lack.SELF, giver.identity, held.role, held.scope) for held in _lasting(group, now))
    return missing_to_control(giver, group, now)


def giving_roles(
    role: Role, scope: str, roles: Mapping[str, Role], member_permissions: frozenset[Permission], now: datetime
) -> tuple[str, ...]:
    """Return the names of the roles whose holders may give ``role`` in ``scope`` to somebody else, least first."""
    giver, receiver = Identity.user("giver"), Identity.user("receiver")
    out = []
    for one in roles.values():
        for where in dict.fromkeys((scope, SYSTEM)):
            rights = compile_rights(
                giver,
                active=True,
                paths=(),
                assignments=(Assignment("", one.name, where, giver),),
                roles=roles,
                member_permissions=member_permissions,
            )
            if rights.held and not may_give(rights, role, scope, receiver, now):
                out.append(one.name)
                break
    return tuple(out)


def _by_holding(giver: Rights, role: Role, scope: str, now: datetime, powers: tuple[str, ...]) -> tuple[Missing, ...]:
    """Return what is missing where the table is silent: ``grant:roles`` is needed, and all that the role gives."""
    if role.table_only:
        openers = tuple(one.name for one in giver.roles.values() for key in powers if role.name in getattr(one, key))
        lack = Lack.TABLE if openers else Lack.FILE_ONLY
        return (Missing(lack, giver.identity, role.name, scope, names=openers),)
    if not any(mine.hands_on for mine in _roles(giver, scope, now)) and not _holds_grant(giver, scope, now):
        return (Missing(Lack.GRANT, giver.identity, role.name, scope, (GRANT,)), *_uncovered(giver, role, scope, now))
    return tuple(_uncovered(giver, role, scope, now))


def _holds_grant(giver: Rights, scope: str, now: datetime) -> bool:
    return decide(giver, Request(GRANT, scope), now).allowed


def _giveable(giver: Rights, scope: str, now: datetime) -> tuple[Role, ...]:
    """Return the roles that ``giver`` may give to a stranger in ``scope``."""
    stranger = Identity.user("stranger")
    return tuple(one for one in giver.roles.values() if not may_give(giver, one, scope, stranger, now, in_file=True))


def _uncovered(giver: Rights, role: Role, scope: str, now: datetime, beside: Iterable[Role] = ()) -> Iterator[Missing]:
    """Yield the permissions and powers of ``role`` in ``scope`` that ``giver`` and the roles ``beside`` have not."""
    others = tuple(beside)
    mine = effective(giver, scope, now).union(*(role_gives(one, scope, giver.member_permissions) for one in others))
    wanted = role_gives(role, scope, giver.member_permissions)
    permissions = tuple(sorted(one for one in wanted if not covers(mine, one)))
    if permissions:
        yield Missing(Lack.PERMISSIONS, giver.identity, role.name, scope, permissions)
    powers = _powers((role,)) - _powers((*_roles(giver, scope, now), *others))
    if powers:
        yield Missing(Lack.POWERS, giver.identity, role.name, scope, names=tuple(sorted({name for _, name in powers})))


def _powers(roles: Iterable[Role]) -> set[tuple[str, str]]:
    found = list(roles)
    named = {(key, name) for role in found for key in _POWERS for name in getattr(role, key)}
    return named | {("hands_on", "every role one holds") for role in found if role.hands_on}


def _roles(rights: Rights, scope: str, now: datetime) -> Iterator[Role]:
    """Yield the roles that speak for the identity in ``scope`` now; none while it is locked or not active."""
    if not rights.active or rights.lock_on(scope, None, now) is not None:
        return
    for held in rights.held:
        if held.scope in (scope, SYSTEM) and held.gives(now):
            yield rights.roles[held.role]


def _lasting(rights: Rights, now: datetime) -> Iterator[Held]:
    """Yield what the identity holds or will hold."""
    return (held for held in rights.held if held.interval.ends is None or now < held.interval.ends)


def _shown(permissions: tuple[Permission, ...]) -> list[str]:
    """Return permissions for a sentence; many nouns of one verb are counted, not listed."""
    out = []
    for verb, found in groupby(sorted(permissions), key=lambda one: one.verb):
        same = list(found)
        out += [f"`{one}`" for one in same] if len(same) <= _SHOWN else [f"`{verb}` of {len(same)} nouns"]
    return out


def _is_own(giver: Rights, identity: Identity, own: frozenset[Identity]) -> bool:
    return identity == giver.identity or identity in giver.groups or identity in own
