"""Groups: local ones and those a directory feeds; nesting, default groups, deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import erasure as traces
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse, sentences, words
from aizen_hub.commands.result import Result, message, table
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotFound
from aizen_hub.rbac.escalation import missing_to_enrol
from aizen_hub.rbac.group_closure import MAX_DEPTH
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_g = tables.groups
_m = tables.memberships


def create(tx: Write, name: str, *, description: str = "", provider: str | None = None) -> Result:
    """Make a group; with a provider its members are those whom that provider reports in the group of this name.

    Raises
    ------
    Denied
        The permission is missing, or a group mapping without a fresh sign-in.
    BadInput, Conflict
        The name or the provider cannot be; the name is taken, reserved, or looks like another.
    """
    gate.need(tx, gate.permission(tx, "groups"))
    canonical = names.canonical(name, NameKind.GROUP)
    if provider is not None:
        users.known_provider(tx, provider)
        if users.kind_of(tx, provider) == users.LOCAL:
            raise BadInput("local accounts have no directory groups", remedy="leave `provider` out")
    names.check_free(tx, canonical, NameKind.GROUP)
    if provider is not None and pending.needed(tx, always=True):
        arguments = {"name": canonical, "description": description, "provider": provider}
        return pending.hold(tx, "group-mapping", arguments, f"take the group `{canonical}` from {provider}")
    names.reserve(tx, canonical, NameKind.GROUP)
    tx.conn.execute(insert(_g).values(name=canonical, description=description[:1_000], provider=provider))
    wrote = recorded.rows(recorded.put(_g, canonical, {"provider": provider}))
    tx.change("group", {"group": canonical, "did": "create", "provider": provider, **wrote}, [f"group:{canonical}"])
    tx.audit("group.created", details={"group": canonical, "provider": provider})
    return message(f"made the group `{canonical}`", group=canonical)


def map_from(tx: Write, args: Mapping[str, Any]) -> Result:
    """Make a directory's group after its confirmation."""
    return create(tx, args["name"], description=args["description"], provider=args["provider"])


def add_member(tx: Write, name: str, member: Identity) -> Result:
    """Put a user, a service account or a group into a local group; needs every right that the group holds.

    Where a role of the group changes hands only with confirmation, so does the membership.

    Raises
    ------
    NotFound
        No such group or member.
    Conflict
        A directory feeds the group, it would be inside itself, or groups would be nested too deep.
    Escalation
        The group holds what the actor lacks, or the actor would join it themselves.
    """
    gate.need(tx, gate.permission(tx, "groups"))
    row = row_of(tx, name)
    group = Identity.group(row.name)
    assignments.need_identity(tx, member)
    if row.provider is not None:
        raise Conflict(f"the members of `{row.name}` come from {row.provider}", remedy="put the group into a local one")
    if member.kind is Kind.GROUP:
        _check_nesting(tx, group, member)
    giver = Giver.of(tx)
    if giver.rights is not None:
        missing = missing_to_enrol(giver.rights, tx.rights(group), member, tx.now, own=giver.own)
        if missing:
            raise Escalation(
                f"to put `{member}` into `{row.name}` you need every right of the group: {sentences(missing)}",
                remedy="ask somebody who holds these rights",
                more={"missing": words(missing)},
            )
    where = (_m.c.group_id == row.id, _m.c.member == str(member), _m.c.provider.is_(None))
    if tx.conn.execute(select(_m.c.id).where(*where)).first() is not None:
        return message(f"`{member}` is in `{row.name}` already", changed=False)
    if pending.needed_to_control(tx, group):
        arguments = {"name": row.name, "member": str(member)}
        return pending.hold(tx, "add-member", arguments, f"put `{member}` into `{row.name}`")
    tx.conn.execute(insert(_m).values(group_id=row.id, member=str(member)))
    wrote = recorded.rows(recorded.put(_m, str(member), {}, None, row.name))
    payload = {"group": row.name, "member": str(member), "did": "add", **wrote}
    tx.change("membership", payload, [str(member), str(group)])
    tx.audit("group.member-added", details={"group": row.name, "member": str(member)})
    return message(f"put `{member}` into `{row.name}`", changed=True)


def remove_member(tx: Write, name: str, member: Identity) -> Result:
    """Take somebody out of a group; nobody leaves a group whose limits bind them. Confirmed as `add_member` is.

    Raises
    ------
    NotFound
        No such group, or not its member.
    Conflict
        The membership comes from a directory.
    Escalation
        The actor would shed a limit.
    """
    gate.need(tx, gate.permission(tx, "groups"))
    row = row_of(tx, name)
    where = (_m.c.group_id == row.id, _m.c.member == str(member))
    found = tx.conn.execute(select(_m).where(*where)).all()
    if not found:
        raise NotFound(f"`{member}` is not a member of `{row.name}`")
    if all(one.provider is not None for one in found):
        raise Conflict(f"this membership comes from {found[0].provider}", remedy="change it there")
    _check_shedding(tx, Identity.group(row.name), member)
    if pending.needed_to_control(tx, Identity.group(row.name)):
        arguments = {"name": row.name, "member": str(member)}
        return pending.hold(tx, "remove-member", arguments, f"take `{member}` out of `{row.name}`")
    tx.conn.execute(delete(_m).where(*where, _m.c.provider.is_(None)))
    wrote = recorded.rows(recorded.gone(_m, str(member), None, row.name))
    payload = {"group": row.name, "member": str(member), "did": "remove", **wrote}
    tx.change("membership", payload, [str(member), f"group:{row.name}"])
    tx.audit("group.member-removed", details={"group": row.name, "member": str(member)})
    return message(f"took `{member}` out of `{row.name}`")


def set_default(tx: Write, name: str, on: bool) -> Result:
    """Say whether every new user joins a group; turning it on needs every right that the group holds."""
    gate.need(tx, gate.permission(tx, "groups"))
    row = row_of(tx, name)
    if on:
        gate.need_control(tx, Identity.group(row.name), "make it a group that everybody joins")
        if pending.needed_to_control(tx, Identity.group(row.name)):
            what = f"let every new user join `{row.name}`"
            return pending.hold(tx, "default-group", {"name": row.name}, what)
    tx.conn.execute(update(_g).where(_g.c.id == row.id).values(is_default=on))
    wrote = recorded.rows(recorded.altered(_g, row.name, {"is_default": on}))
    tx.change("group", {"group": row.name, "did": "default", "default": on, **wrote}, [f"group:{row.name}"])
    tx.audit("group.default", details={"group": row.name, "default": on})
    return message(f"new users {'join' if on else 'do not join'} `{row.name}`")


def describe(tx: Write, name: str, description: str) -> Result:
    """Change the description of a group."""
    gate.need(tx, gate.permission(tx, "groups"))
    row = row_of(tx, name)
    tx.conn.execute(update(_g).where(_g.c.id == row.id).values(description=description[:1_000]))
    tx.change("group", {"group": row.name, "did": "describe"}, [f"group:{row.name}"])
    tx.audit("group.described", details={"group": row.name})
    return message(f"changed `{row.name}`")


def remove(tx: Write, name: str) -> Result:
    """Delete a group: its members lose what came through it, its name stays reserved.

    Raises
    ------
    Denied
        A built-in group.
    Escalation
        It holds a protected role that the actor may not take, or its limits bind the actor.
    """
    gate.need(tx, gate.permission(tx, "groups"))
    row = row_of(tx, name)
    group = Identity.group(row.name)
    if row.built_in:
        raise Denied(f"`{row.name}` is built in and cannot be deleted")
    rules = tables.mappings
    rule = tx.conn.execute(
        select(rules.c.id).where(rules.c.provider == row.provider, rules.c.group == row.name)
    ).scalar()
    if rule is not None:
        raise Conflict(f"the mapping rule {rule} names `{row.name}`", remedy="remove the rule first")
    giver = Giver.of(tx)
    held = traces.assignments_of(tx, group)
    for one in held:
        role = tx.roles[one.role]
        missing = giver.missing_to_take(tx, role, one.scope, group) if role.protected else ()
        if missing:
            raise refuse(tx, "revoke", role.name, one.scope, missing, group)
    inside = tx.conn.execute(select(_m.c.member, _m.c.provider).where(_m.c.group_id == row.id)).all()
    members = list(dict.fromkeys(one.member for one in inside))
    for member in members:
        _check_shedding(tx, group, Identity.parse(member))
    if pending.needed(tx, ((one.role, one.scope) for one in held)):
        return pending.hold(tx, "delete-group", {"name": row.name}, f"delete the group `{row.name}`")
    traces.erase(tx, group, "group deleted")
    tx.conn.execute(delete(_m).where(_m.c.group_id == row.id))
    tx.conn.execute(delete(_g).where(_g.c.id == row.id))
    names.retire(tx, row.name, NameKind.GROUP)
    wrote = recorded.rows(
        *(recorded.gone(_m, one.member, one.provider, row.name) for one in inside), recorded.gone(_g, row.name)
    )
    tx.change("group", {"group": row.name, "did": "delete", **wrote}, [str(group), *members])
    tx.audit("group.deleted", details={"group": row.name, "members": len(members)})
    return message(f"deleted the group `{row.name}`")


def list_groups(tx: Write) -> Result:
    """List all groups, for those who manage groups."""
    gate.need(tx, gate.permission(tx, "groups"))
    rows = tx.conn.execute(select(_g).order_by(_g.c.name)).all()
    return table(
        ("group", "description", "provider", "default", "built in"),
        [(row.name, row.description, row.provider, row.is_default, row.built_in) for row in rows],
    )


def members(tx: Write, name: str) -> Result:
    """List the direct members of a group."""
    gate.need(tx, gate.permission(tx, "groups"))
    row = row_of(tx, name)
    rows = tx.conn.execute(select(_m).where(_m.c.group_id == row.id).order_by(_m.c.member)).all()
    return table(("member", "from", "seen"), [(one.member, one.provider, one.seen_at) for one in rows])


def row_of(tx: Read, name: str) -> Any:
    """Return the row of a group; NotFound for anything that is not one."""
    canonical = names.known_as(name, NameKind.GROUP)
    row = None if canonical is None else tx.conn.execute(select(_g).where(_g.c.name == canonical)).first()
    if row is None:
        raise NotFound(f"there is no group `{show(name)}`")
    return row


def _check_nesting(tx: Read, group: Identity, member: Identity) -> None:
    if member == group or group in gate.members_below(tx, [member]):
        raise Conflict(f"`{group.name}` would be inside itself")
    if _height(tx, group, above=True) + _height(tx, member, above=False) + 1 > MAX_DEPTH - 1:
        raise Conflict(f"groups would be nested deeper than {MAX_DEPTH} levels, where they give nothing")


def _height(tx: Read, group: Identity, *, above: bool) -> int:
    """Return how many levels of groups lie above, or below, a group."""
    level, seen, front = 0, {group}, {group}
    while front and level <= MAX_DEPTH:
        names_ = [one.name for one in front]
        if above:
            query = select(_g.c.name).join(_m, _m.c.group_id == _g.c.id)
            query = query.where(_m.c.member.in_([str(one) for one in front]))
            found = {Identity.group(name) for name in tx.conn.execute(query).scalars()}
        else:
            below = select(_m.c.member).join(_g, _m.c.group_id == _g.c.id).where(_g.c.name.in_(names_))
            found = {Identity.parse(name) for name in tx.conn.execute(below).scalars()}
            found = {one for one in found if one.kind is Kind.GROUP}
        front = found - seen
        seen |= found
        level += bool(front)
    return level


def _check_shedding(tx: Write, group: Identity, member: Identity) -> None:
    if gate.above_roles(tx) or not tx.rights(group).limits:
        return
    if member in gate.own_identities(tx, tx.actor.identity):
        raise Escalation(
            f"limits that bind you come through `{group.name}`, so you cannot take yourself out of it",
            remedy="ask another administrator",
        )
