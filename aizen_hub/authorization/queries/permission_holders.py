"""Holders of a permission in a scope, found through the roles that contain it (R80).

The rights of all identities are not compiled. Every plain member of a group gets the same through it, so each group is
followed once and not once per member. Only members below a locked group are decided one by one: which of several paths
to a group counts then is decided by the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, or_, select

from aizen_hub.authorization import checks
from aizen_hub.authorization.lock_state import is_locked, locked_names
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.decision import AuthorizationRequest, Reason
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.messages import MESSAGES, describe_path, describe_scope
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM, is_assignable_in, permissions_of_role
from aizen_hub.store import tables
from aizen_hub.store.collation import in_code_points
from aizen_hub.store.rights.memberships import chunked

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction

MAX_ROWS = 2_000
"""Assignments, and memberships of 500 groups, that one page reads."""
MAX_DECISIONS = 200
"""Identities that one page decides individually."""

_a, _m, _g = tables.assignments, tables.memberships, tables.groups


@dataclass(frozen=True, slots=True)
class PermissionHolder:
    """An identity that holds the permission, with one role and one path of groups that give it."""

    identity: Identity
    role: str
    scope: str
    via: tuple[Identity, ...]

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return MESSAGES[Reason.GRANTED].format(
            role=self.role, where=describe_scope(self.scope), via=describe_path(self.via)
        )


@dataclass(frozen=True, slots=True)
class HolderPage:
    """One page of holders in the order of their names.

    Attributes
    ----------
    after : str or None
        The name after which the next page begins; None on the last page.
    """

    holders: tuple[PermissionHolder, ...]
    after: str | None = None


_RolePath = tuple[str, str, tuple[Identity, ...]]
"""Role, its scope, and the groups it is inherited through."""


def holders_of(
    tx: ReadTransaction, required: Permission | None, scope: str, kind: IdentityKind, *, after: str = "", limit: int
) -> HolderPage:
    """Return the identities of one kind that hold ``required`` in ``scope`` now, exactly as the engine decides.

    Parameters
    ----------
    required : Permission or None
        None: a command open to every registered identity; the holders of any role in the scope are returned.
    after : str
        Return names greater than this one.
    limit : int
        Maximum number of holders of the page.
    """
    granting = _granting_condition(tx, required, scope, kind)
    if granting is None or (scope != SYSTEM and is_locked(tx, LockTarget.PROJECT, scope)):
        return HolderPage(())
    if not tx.catalog.archive_rule.allows(required) and is_locked(tx, LockTarget.ARCHIVE, scope):
        return HolderPage(())
    locked = {Identity.parse(name) for name in locked_names(tx, LockTarget.IDENTITY)}
    groups = _granting_groups(tx, granting, locked)
    if kind is IdentityKind.GROUP:
        paths, next_name = {group: path for group, path in groups.items() if group.name > after}, None
        needs_decision = frozenset(paths)
    else:
        paths, next_name = _reached_members(tx, granting, groups, kind, after)
        needs_decision = checks.transitive_members(tx, locked) if locked else frozenset()
    names = sorted(identity.name for identity in paths if next_name is None or identity.name < next_name)
    present = _active_names(tx, kind, names)
    holders: list[PermissionHolder] = []
    decision_count, last_name = 0, after
    for name in names:
        identity = Identity(kind, name)
        if name in present and identity not in locked:
            if len(holders) == limit or decision_count == MAX_DECISIONS:
                return HolderPage(tuple(holders), last_name)
            if identity in needs_decision:
                decision_count += 1
            if (
                identity not in needs_decision
                or decide(tx.rights(identity), AuthorizationRequest(required, scope), tx.now).allowed
            ):
                holders.append(PermissionHolder(identity, *paths[identity]))
        last_name = name
    return HolderPage(tuple(holders), None if next_name is None else last_name)


def _granting_condition(
    tx: ReadTransaction, required: Permission | None, scope: str, kind: IdentityKind
) -> ColumnElement[bool] | None:
    """Return the SQL condition of the assignments that grant the permission now; None if no role contains it."""
    conditions = []
    for role_scope in {scope, SYSTEM}:
        role_names = [
            role.name
            for role in tx.roles.values()
            if is_assignable_in(role, role_scope)
            and (kind is IdentityKind.GROUP or kind in role.assignable_to)
            and (
                required is None
                or any_covers(permissions_of_role(role, role_scope, tx.catalog.member_permissions), required)
            )
        ]
        if role_names:
            conditions.append(and_(_a.c.scope == role_scope, _a.c.role.in_(role_names)))
    if not conditions:
        return None
    started = or_(_a.c.starts.is_(None), _a.c.starts <= tx.now)
    return and_(or_(*conditions), started, or_(_a.c.ends.is_(None), _a.c.ends > tx.now))


def _granting_groups(
    tx: ReadTransaction, granting: ColumnElement[bool], locked: Iterable[Identity]
) -> dict[Identity, _RolePath]:
    """Return every group whose members hold the permission, each by its shortest path around locked groups."""
    query = select(_a.c.identity, _a.c.role, _a.c.scope).where(granting, _a.c.identity.like(f"{IdentityKind.GROUP}:%"))
    front: dict[Identity, _RolePath] = {}
    for row in tx.conn.execute(query.order_by(_a.c.id)):
        group = Identity.parse(row.identity)
        front.setdefault(group, (row.role, row.scope, (group,)))
    paths: dict[Identity, _RolePath] = {}
    locked_groups = set(locked)
    for _ in range(MAX_DEPTH):
        front = {group: path for group, path in front.items() if group not in paths and group not in locked_groups}
        if not front:
            break
        paths |= front
        next_front: dict[Identity, _RolePath] = {}
        for member, group in _members_of(tx, IdentityKind.GROUP, front):
            role, scope, via = front[group]
            next_front.setdefault(member, (role, scope, (member, *via)))
        front = next_front
    return paths


def _reached_members(
    tx: ReadTransaction,
    granting: ColumnElement[bool],
    groups: dict[Identity, _RolePath],
    kind: IdentityKind,
    after: str,
) -> tuple[dict[Identity, _RolePath], str | None]:
    """Return the identities that an assignment reaches, and the name after which some may be missing (None: none)."""
    paths: dict[Identity, _RolePath] = {}
    last_names: list[str] = []
    holder = in_code_points(tx, _a.c.identity)
    after_member = f"{kind}:{after}"
    query = select(_a.c.identity, _a.c.role, _a.c.scope).where(
        granting, _a.c.identity.like(f"{kind}:%"), holder > after_member
    )
    rows = tx.conn.execute(query.order_by(holder, _a.c.id).limit(MAX_ROWS + 1)).all()
    for row in rows:
        paths.setdefault(Identity.parse(row.identity), (row.role, row.scope, ()))
    if len(rows) > MAX_ROWS:
        last_names.append(Identity.parse(rows[-1].identity).name)
    for chunk in chunked(list(groups)):
        pairs = list(_members_of(tx, kind, chunk, after_member))
        for member, group in pairs:
            role, scope, via = groups[group]
            if member not in paths or len(via) < len(paths[member][2]):
                paths[member] = (role, scope, via)
        if len(pairs) > MAX_ROWS:
            last_names.append(pairs[-1][0].name)
    return paths, min(last_names, default=None)


def _members_of(
    tx: ReadTransaction, kind: IdentityKind, groups: Iterable[Identity], after_member: str | None = None
) -> Iterator[tuple[Identity, Identity]]:
    """Yield (member, group) of the memberships in force now (R63); with ``after_member`` in order and bounded."""
    oldest_valid = tx.now - timedelta(seconds=tx.settings.group_max_age_seconds)
    member = in_code_points(tx, _m.c.member)
    is_current = or_(_m.c.provider.is_(None), _m.c.seen_at > oldest_valid)
    query = select(_m.c.member, _g.c.name).join(_g, _g.c.id == _m.c.group_id)
    query = query.where(is_current, _m.c.member.like(f"{kind}:%")).order_by(member, _g.c.name)
    if after_member is not None:
        query = query.where(member > after_member).limit(MAX_ROWS + 1)
    for chunk in chunked([group.name for group in groups]):
        for row in tx.conn.execute(query.where(_g.c.name.in_(chunk))):
            yield Identity.parse(row.member), Identity.group(row.name)


def _active_names(tx: ReadTransaction, kind: IdentityKind, names: list[str]) -> set[str]:
    """Return those of the names that are registered and active."""
    if kind is IdentityKind.GROUP:
        return set(names)
    table = tables.users if kind is IdentityKind.USER else tables.service_accounts
    active: set[str] = set()
    for chunk in chunked(names):
        active |= set(tx.conn.execute(select(table.c.name).where(table.c.name.in_(chunk), table.c.active)).scalars())
    return active
