"""Roles: looking them up, listing who has which, and the custom ones (issue 3, item 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.authorization import checks as gate
from aizen_hub.commands.result import Result, message, table
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, Fault, NotFound, Stale
from aizen_hub.rbac.engine import effective
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.protected_roles import is_guarded
from aizen_hub.rbac.role import SYSTEM, LimitKind, Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_r = tables.roles
_a = tables.assignments
_rules = tables.mappings


def known(tx: Read, name: str) -> Role:
    """Return the role of this name, whatever its case; BadInput with a suggestion for an unknown one."""
    role = tx.roles.get(name)
    if role is not None:
        return role
    by_case = {one.casefold(): one for one in tx.roles}
    if name.casefold() in by_case:
        return tx.roles[by_case[name.casefold()]]
    close = get_close_matches(name.casefold(), by_case, 1)
    raise BadInput(
        f"there is no role `{show(name)}`",
        remedy=f"did you mean {by_case[close[0]]}?" if close else f"the roles are {', '.join(sorted(tx.roles))}",
        faults=[Fault("", "unknown role", tuple(sorted(tx.roles)))],
    )


def list_for(tx: Write, user: Identity | None, project: str | None) -> Result:
    """List the roles of the asker or of somebody else: system roles, and with a project those of the project too.

    Raises
    ------
    NotFound
        The user, or the project, does not exist for the asker.
    Denied
        Somebody else's roles, without the permission in that scope.
    """
    whom = user or tx.actor.identity
    if project is not None and not (whom == tx.actor.identity or gate.above_roles(tx)):
        gate.need_project(tx, project)
    if whom != tx.actor.identity:
        gate.need_command(tx, "list_roles", project or SYSTEM)
        assignments.need_identity(tx, whom)
        tx.audit("access.read", project=project, details={"question": "roles", "target": str(whom)})
    rows = [
        (row.role, row.scope, None if row.identity == str(whom) else row.identity, row.starts, row.ends)
        for row in held(tx, whom)
        if row.scope in (SYSTEM, project)
    ]
    text = "" if rows else f"`{whom.name}` has no role {'here' if project else 'in the system'}"
    return table(("role", "scope", "through", "from", "until"), rows, text)


def held(tx: Read, identity: Identity) -> Sequence[Any]:
    """Return the assignment rows of an identity and of the groups it is in, present or not."""
    whose = [str(identity), *map(str, gate.reached_groups(tx, identity))]
    return tx.conn.execute(
        select(_a).where(_a.c.identity.in_(whose)).order_by(_a.c.scope != SYSTEM, _a.c.scope, _a.c.role)
    ).all()


def catalogue(tx: Read) -> Result:
    """List every role with its permissions and limits; open to every registered user."""
    rows = [
        (
            role.name,
            role.description,
            role.category,
            sorted(map(str, role.permissions)),
            {str(kind): value for kind, value in role.limits.items()},
            role.built_in,
        )
        for role in tx.roles.values()
    ]
    return table(("role", "description", "category", "permissions", "limits", "built in"), rows)


def create(
    tx: Write,
    name: str,
    *,
    permissions: Sequence[str],
    limits: Mapping[str, float] | None = None,
    scopes: Sequence[str] = ("project",),
    description: str = "",
    category: str = "",
) -> Result:
    """Make a custom role. It gives nothing until it is granted, and granting it asks for every right in it.

    Raises
    ------
    BadInput
        All faults in permissions, limits and scopes at once.
    Conflict
        The name is taken, was used before, or looks like another (T-53).
    """
    gate.need(tx, gate.permission(tx, "roles"))
    name = names.canonical(name, NameKind.ROLE)
    values = _checked(permissions, limits or {}, scopes)
    names.reserve(tx, name, NameKind.ROLE)
    tx.conn.execute(
        insert(_r).values(
            name=name, description=description, category=category, version=tx.state.revision + 1, **values
        )
    )
    wrote = recorded.rows(recorded.put(_r, name, values))
    tx.change("role", {"role": name, "did": "create", **wrote}, [f"role:{name}"])
    tx.audit("role.created", details={"role": name, **values})
    return message(f"created the role {name}", role=name, version=tx.revision)


def alter(
    tx: Write,
    name: str,
    *,
    permissions: Sequence[str] | None = None,
    limits: Mapping[str, float] | None = None,
    description: str | None = None,
    category: str | None = None,
    if_match: int | None = None,
) -> Result:
    """Change a custom role; what is left out stays.

    Where the role is assigned, and before or after gives what changes hands only with confirmation, so does this.

    Raises
    ------
    Denied
        A built-in role (R75).
    Escalation
        The role is assigned, and the change would give a right in a scope where the actor lacks it, or loosen a limit
        that binds the actor (R67, T-04).
    Stale
        Somebody changed it in between.
    """
    gate.need(tx, gate.permission(tx, "roles"))
    row = _custom(tx, name)
    if if_match is not None and row.version != if_match:
        raise Stale(f"{row.name} was changed in between", remedy="read it again", more={"version": row.version})
    values = _checked(
        list(row.permissions) if permissions is None else permissions,
        row.limits if limits is None else limits,
        row.scopes,
    )
    places = _places(tx, row.name)
    _check_widening(tx, row.name, values, places)
    if _changes_hands(tx, row.name, values, places) and pending.needed(tx, always=True):
        arguments = {
            "name": row.name,
            "permissions": values["permissions"],
            "limits": values["limits"],
            "description": description,
            "category": category,
            "if_match": row.version,
        }
        return pending.hold(tx, "alter-role", arguments, f"change the role {row.name}, which is assigned")
    if description is not None:
        values["description"] = description
    if category is not None:
        values["category"] = category
    tx.conn.execute(update(_r).where(_r.c.id == row.id).values(version=tx.state.revision + 1, **values))
    wrote = recorded.rows(recorded.altered(_r, row.name, values))
    tx.change("role", {"role": row.name, "did": "alter", **wrote}, [f"role:{row.name}"])
    tx.audit("role.changed", details={"role": row.name, **values})
    return message(f"changed the role {row.name}", role=row.name, version=tx.revision)


def clone(tx: Write, name: str, as_name: str) -> Result:
    """Make a custom role with the permissions and limits of any role; its power to grant does not come along (T-04)."""
    role = known(tx, name)
    return create(
        tx,
        as_name,
        permissions=sorted(map(str, role.permissions)),
        limits={str(kind): value for kind, value in role.limits.items()},
        scopes=sorted(map(str, role.scopes)),
        description=role.description,
        category=role.category,
    )


def remove(tx: Write, name: str) -> Result:
    """Delete a custom role that nobody has; Conflict tells where it is assigned."""
    gate.need(tx, gate.permission(tx, "roles"))
    row = _custom(tx, name)
    used = tx.conn.execute(select(_a.c.identity, _a.c.scope).where(_a.c.role == row.name).limit(20)).all()
    if used:
        where = ", ".join(f"`{one.identity}` in `{one.scope}`" for one in used[:5])
        raise Conflict(
            f"{row.name} is assigned to {where}" + (" and others" if len(used) > 5 else ""),
            remedy="revoke it there first",
            more={"assigned": [{"identity": one.identity, "scope": one.scope} for one in used]},
        )
    rule = tx.conn.execute(select(_rules.c.id).where(_rules.c.role == row.name)).scalar()
    if rule is not None:
        raise Conflict(f"the mapping rule {rule} gives {row.name}", remedy="remove the rule first")
    tx.conn.execute(delete(_r).where(_r.c.id == row.id))
    names.retire(tx, row.name, NameKind.ROLE)
    tx.change(
        "role", {"role": row.name, "did": "delete", **recorded.rows(recorded.gone(_r, row.name))}, [f"role:{row.name}"]
    )
    tx.audit("role.deleted", details={"role": row.name})
    return message(f"deleted the role {row.name}")


def _custom(tx: Read, name: str) -> Any:
    role = known(tx, name)
    if role.built_in:
        raise Denied(f"{role.name} is built in and cannot be changed or deleted", remedy="clone it under another name")
    row = tx.conn.execute(select(_r).where(_r.c.name == role.name)).first()
    if row is None:
        raise NotFound(f"there is no custom role {role.name}")
    return row


def _places(tx: Read, name: str) -> set[tuple[str, str | None]]:
    """Return where the role is assigned, and to whom; None for whoever a directory names next by a rule."""
    used = tx.conn.execute(select(_a.c.scope, _a.c.identity).where(_a.c.role == name))
    rules = tx.conn.execute(select(_rules.c.project).where(_rules.c.role == name)).scalars()
    # A rule by template gives it in every project, which no project is called.
    return {(row.scope, row.identity) for row in used} | {(one or "every project", None) for one in rules}


def _changes_hands(tx: Read, name: str, values: Mapping[str, Any], places: Iterable[tuple[str, str | None]]) -> bool:
    before = tx.roles[name]
    after = replace(before, permissions=frozenset(map(Permission.parse, values["permissions"])))
    if after.permissions == before.permissions and values["limits"] == dict(before.limits):
        return False
    member = tx.catalog.member_permissions
    return any(is_guarded(one, scope, tx.roles, member) for scope, _ in places for one in (before, after))


def _check_widening(tx: Write, name: str, values: Mapping[str, Any], places: Iterable[tuple[str, str | None]]) -> None:
    if gate.above_roles(tx):
        return
    before = tx.roles[name]
    added = [Permission.parse(text) for text in values["permissions"]]
    added = [one for one in added if not any(had.covers(one) for had in before.permissions)]
    rights = gate.rights(tx)
    missing = sorted(
        {
            f"{permission} in {scope}"
            for scope, _ in places
            for permission in added
            if not any(has.covers(permission) for has in effective(rights, scope, tx.now))
        }
    )
    own = {str(one) for one in gate.own_identities(tx, tx.actor.identity)}
    if any(holder in own for _, holder in places):
        after: Mapping[str, float] = values["limits"]
        missing += [
            f"a looser {kind} limit for yourself"
            for kind, value in before.limits.items()
            if after.get(str(kind), float("inf")) > value
        ]
        # Also what one holds today: the role may be held longer than that.
        missing += [f"{permission} for yourself" for permission in added]
    if missing:
        raise Escalation(
            f"{name} is assigned, and this change would give what you lack: {gate.listed(missing)}",
            remedy="ask somebody who holds these rights, or make a new role",
            more={"missing": missing},
        )


def _checked(permissions: Sequence[str], limits: Mapping[str, float], scopes: Sequence[str]) -> dict[str, Any]:
    faults, kept = [], []
    for index, text in enumerate(permissions):
        try:
            kept.append(str(Permission.parse(text)))
        except ValueError as error:
            faults.append(Fault(f"/permissions/{index}", str(error)))
    kinds = tuple(kind.value for kind in LimitKind)
    for kind, value in limits.items():
        if kind not in kinds:
            faults.append(Fault(f"/limits/{show(str(kind))}", "no such limit", kinds))
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
            faults.append(Fault(f"/limits/{kind}", "a limit is a number that is not negative"))
        elif kind in (LimitKind.PROJECTS, LimitKind.JOBS) and value != int(value):
            faults.append(Fault(f"/limits/{kind}", "a count is a whole number"))
    allowed = tuple(kind.value for kind in ScopeKind)
    for index, scope in enumerate(scopes):
        if scope not in allowed:
            faults.append(Fault(f"/scopes/{index}", "no such kind of scope", allowed))
    if not scopes:
        faults.append(Fault("/scopes", "at least one kind of scope is needed", allowed))
    if faults:
        raise BadInput("the role is not well formed", faults=faults)
    return {"permissions": sorted(set(kept)), "limits": dict(limits), "scopes": sorted(set(scopes))}
