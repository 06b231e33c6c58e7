"""Members of local groups: users, service accounts and nested groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.identities import get_group
from aizen_hub.accounts.roles import request_settlement
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, join_missing, missing_list
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import Conflict, Escalation, NotFound
from aizen_hub.rbac.escalation import missing_for_membership
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

_g = tables.groups
_m = tables.memberships


def add_member(tx: WriteTransaction, name: str, member: Identity) -> Result:
    """Add a user, a service account or a group to a local group; the actor needs every right of the group.

    If a role of the group is protected, the change waits for confirmation.

    Raises
    ------
    NotFound
        There is no such group or member.
    Conflict
        A directory feeds the group, it would contain itself, or groups would be nested too deeply.
    Escalation
        The group holds a right that the actor lacks, or the actor would join it.
    """
    row = require_may_add(tx, name, member)
    group = Identity.group(row.name)
    condition = (_m.c.group_id == row.id, _m.c.member == str(member), _m.c.provider.is_(None))
    if tx.conn.execute(select(_m.c.id).where(*condition)).first() is not None:
        return message_result(f"`{member}` is already in `{row.name}`", changed=False)
    if pending_changes.control_requires_confirmation(tx, group):
        arguments = {"name": row.name, "member": str(member)}
        return pending_changes.submit(tx, "add-member", arguments, f"add `{member}` to `{row.name}`")
    tx.conn.execute(insert(_m).values(group_id=row.id, member=str(member)))
    wrote = change_records.change_payload(change_records.row_written(_m, str(member), {}, None, row.name))
    payload = {"group": row.name, "member": str(member), "did": "add", **wrote}
    tx.record_change("membership", payload, [str(member), str(group)])
    tx.audit("group.member-added", details={"group": row.name, "member": str(member)})
    request_settlement.settle_requests_of(tx, member)
    return message_result(f"added `{member.name}` to `{row.name}`", changed=True)


def require_may_add(tx: ActorTransaction, name: str, member: Identity) -> Any:
    """Require what `add_member` requires, and return the row of the group; raises what it raises."""
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = get_group(tx, name)
    group = Identity.group(row.name)
    identities.require_identity(tx, member)
    if row.provider is not None:
        raise Conflict(f"the members of `{row.name}` come from {row.provider}", remedy="add the group to a local group")
    if member.kind is IdentityKind.GROUP:
        _check_nesting(tx, group, member)
    authority = GrantAuthority.of_actor(tx)
    if authority.rights is not None:
        missing = missing_for_membership(
            authority.rights, tx.rights(group), member, tx.now, controlled=authority.controlled
        )
        if missing:
            raise Escalation(
                f"to add `{member}` to `{row.name}` you need every right of the group: {join_missing(missing)}",
                remedy="ask a user who has these rights",
                extensions={"missing": missing_list(missing)},
            )
    return row


def remove_member(tx: WriteTransaction, name: str, member: Identity) -> Result:
    """Remove a member from a group; no actor leaves a group whose limits bind them. Confirmed as `add_member` is.

    Raises
    ------
    NotFound
        There is no such group, or no such member.
    Conflict
        The membership comes from a directory.
    Escalation
        The actor would lose a limit.
    """
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = get_group(tx, name)
    condition = (_m.c.group_id == row.id, _m.c.member == str(member))
    memberships = tx.conn.execute(select(_m).where(*condition)).all()
    if not memberships:
        raise NotFound(f"`{member}` is not a member of `{row.name}`")
    if all(membership.provider is not None for membership in memberships):
        raise Conflict(f"this membership comes from {memberships[0].provider}", remedy="change it there")
    forbid_limit_evasion(tx, Identity.group(row.name), member)
    if pending_changes.control_requires_confirmation(tx, Identity.group(row.name)):
        arguments = {"name": row.name, "member": str(member)}
        return pending_changes.submit(tx, "remove-member", arguments, f"remove `{member}` from `{row.name}`")
    tx.conn.execute(delete(_m).where(*condition, _m.c.provider.is_(None)))
    wrote = change_records.change_payload(change_records.row_deleted(_m, str(member), None, row.name))
    payload = {"group": row.name, "member": str(member), "did": "remove", **wrote}
    tx.record_change("membership", payload, [str(member), f"group:{row.name}"])
    tx.audit("group.member-removed", details={"group": row.name, "member": str(member)})
    return message_result(f"removed `{member.name}` from `{row.name}`")


def list_group_members(tx: WriteTransaction, name: str) -> Result:
    """List the direct members of a group."""
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = get_group(tx, name)
    rows = tx.conn.execute(select(_m).where(_m.c.group_id == row.id).order_by(_m.c.member)).all()
    return table_result(
        ("member", "provider", "last seen"),
        [(membership.member, membership.provider, membership.seen_at) for membership in rows],
    )


def _check_nesting(tx: ReadTransaction, group: Identity, member: Identity) -> None:
    if member == group or group in checks.transitive_members(tx, [member]):
        raise Conflict(f"`{group.name}` would contain itself")
    if _nesting_depth(tx, group, above=True) + _nesting_depth(tx, member, above=False) + 1 > MAX_DEPTH - 1:
        raise Conflict(f"groups would be nested deeper than {MAX_DEPTH} levels, where they have no effect")


def _nesting_depth(tx: ReadTransaction, group: Identity, *, above: bool) -> int:
    """Return the number of levels of groups above, or below, a group."""
    level, seen, frontier = 0, {group}, {group}
    while frontier and level <= MAX_DEPTH:
        names = [group.name for group in frontier]
        if above:
            query = select(_g.c.name).join(_m, _m.c.group_id == _g.c.id)
            query = query.where(_m.c.member.in_([str(group) for group in frontier]))
            next_groups = {Identity.group(name) for name in tx.conn.execute(query).scalars()}
        else:
            below = select(_m.c.member).join(_g, _m.c.group_id == _g.c.id).where(_g.c.name.in_(names))
            next_groups = {Identity.parse(name) for name in tx.conn.execute(below).scalars()}
            next_groups = {identity for identity in next_groups if identity.kind is IdentityKind.GROUP}
        frontier = next_groups - seen
        seen |= next_groups
        level += bool(frontier)
    return level


def forbid_limit_evasion(tx: WriteTransaction, group: Identity, member: Identity) -> None:
    if checks.is_operator(tx) or not tx.rights(group).limits:
        return
    if member in checks.controlled_identities(tx, tx.actor.identity):
        raise Escalation(
            f"you cannot leave `{group.name}`: it sets limits that apply to you",
            remedy="ask another administrator",
        )
