"""Custom roles: created, changed, cloned and deleted at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles.lookup import get_role
from aizen_hub.accounts.roles.role_content import check_role_content
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import Conflict, Denied, Escalation, NotFound, Stale
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.protected_roles import role_requires_confirmation
from aizen_hub.rbac.role import Role
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_r = tables.roles
_a = tables.assignments
_rules = tables.mapping_rules


def create_role(
    tx: WriteTransaction,
    name: str,
    *,
    permissions: Sequence[str],
    limits: Mapping[str, float] | None = None,
    scopes: Sequence[str] | None = None,
    description: str = "",
    category: str = "",
    template: Role | None = None,
) -> Result:
    """Create a custom role. It has no effect until it is granted, which requires every right in it.

    Parameters
    ----------
    permissions : sequence of str
        ``verb:noun``, bare verbs, and names of permissions.
    scopes : sequence of str, optional
        The kinds of scope in which it can be granted; by default those of the built-in roles if they all have the same,
        else projects.
    template : Role, optional
        The role that it is a copy of.

    Raises
    ------
    BadInput
        All faults in permissions, limits and scopes at once.
    Conflict
        The name is taken, was used before, or looks like another (T-53).
    """
    checks.require(tx, checks.endpoint_permission(tx, "roles"))
    name = normalization.canonical_name(name, NameKind.ROLE)
    if scopes is None:
        scopes = sorted(map(str, tx.catalog.custom_role_scopes))
    present = frozenset() if template is None else template.permissions
    values = check_role_content(tx, permissions, limits or {}, scopes, present=present)
    reservation.reserve_name(tx, name, NameKind.ROLE)
    tx.conn.execute(
        insert(_r).values(
            name=name, description=description, category=category, version=tx.state.revision + 1, **values
        )
    )
    wrote = change_records.change_payload(change_records.row_written(_r, name, values))
    tx.record_change("role", {"role": name, "did": "create", **wrote}, [f"role:{name}"])
    tx.audit("role.created", details={"role": name, **values})
    return message_result(f"created role {name}", role=name, version=tx.revision)


def update_role(
    tx: WriteTransaction,
    name: str,
    *,
    permissions: Sequence[str] | None = None,
    limits: Mapping[str, float] | None = None,
    description: str | None = None,
    category: str | None = None,
    if_match: int | None = None,
) -> Result:
    """Change a custom role; arguments that are None leave it as it is.

    If the role is assigned, and is protected before or after the change, the change waits for confirmation.

    Raises
    ------
    Denied
        A built-in role (R75).
    Escalation
        The role is assigned, and the change would give a right in a scope where the actor lacks it, or relax a
        limit that binds the actor (R67, T-04).
    Stale
        The role was changed in between.
    """
    checks.require(tx, checks.endpoint_permission(tx, "roles"))
    row = _get_custom_role(tx, name)
    if if_match is not None and row.version != if_match:
        raise Stale(f"{row.name} was changed in between", remedy="read it again", extensions={"version": row.version})
    values = check_role_content(
        tx,
        list(row.permissions) if permissions is None else permissions,
        row.limits if limits is None else limits,
        row.scopes,
        present=tx.roles[row.name].permissions,
    )
    assigned = _list_assigned(tx, row.name)
    _check_widening(tx, row.name, values, assigned)
    if _affects_protected(tx, row.name, values, assigned) and pending_changes.requires_confirmation(tx, always=True):
        arguments = {
            "name": row.name,
            "permissions": values["permissions"],
            "limits": values["limits"],
            "description": description,
            "category": category,
            "if_match": row.version,
        }
        return pending_changes.submit(tx, "alter-role", arguments, f"change the role {row.name}, which is assigned")
    if description is not None:
        values["description"] = description
    if category is not None:
        values["category"] = category
    tx.conn.execute(update(_r).where(_r.c.id == row.id).values(version=tx.state.revision + 1, **values))
    wrote = change_records.change_payload(change_records.row_updated(_r, row.name, values))
    tx.record_change("role", {"role": row.name, "did": "alter", **wrote}, [f"role:{row.name}"])
    tx.audit("role.changed", details={"role": row.name, **values, **_former_content(row, values)})
    return message_result(f"changed role {row.name}", role=row.name, version=tx.revision)


def _former_content(row: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit tells of the content that a role had before, where it differs."""
    former = {
        f"former-{name}": getattr(row, name)
        for name in ("limits", "description", "category")
        if name in values and getattr(row, name) != values[name]
    }
    added = [name for name in values["permissions"] if name not in row.permissions]
    removed = [name for name in row.permissions if name not in values["permissions"]]
    return {**former, **{name: listed for name, listed in (("added", added), ("removed", removed)) if listed}}


def clone_role(tx: WriteTransaction, name: str, new_name: str) -> Result:
    """Create a custom role with the permissions and limits of any role; its authority to grant is not copied (T-04)."""
    role = get_role(tx, name)
    return create_role(
        tx,
        new_name,
        permissions=sorted(map(str, role.permissions)),
        limits={str(kind): value for kind, value in role.limits.items()},
        scopes=sorted(map(str, role.scopes)),
        description=role.description,
        category=role.category,
        template=role,
    )


def delete_role(tx: WriteTransaction, name: str) -> Result:
    """Delete a custom role that is not assigned; the Conflict lists where it is."""
    checks.require(tx, checks.endpoint_permission(tx, "roles"))
    row = _get_custom_role(tx, name)
    assignments = tx.conn.execute(select(_a.c.identity, _a.c.scope).where(_a.c.role == row.name).limit(20)).all()
    if assignments:
        examples = ", ".join(f"`{assignment.identity}` in `{assignment.scope}`" for assignment in assignments[:5])
        raise Conflict(
            f"{row.name} is assigned to {examples}" + (" and others" if len(assignments) > 5 else ""),
            remedy="revoke it there first",
            extensions={
                "assigned": [{"identity": assignment.identity, "scope": assignment.scope} for assignment in assignments]
            },
        )
    rule_id = tx.conn.execute(select(_rules.c.id).where(_rules.c.role == row.name)).scalar()
    if rule_id is not None:
        raise Conflict(f"mapping rule {rule_id} grants {row.name}", remedy="remove the rule first")
    tx.conn.execute(delete(_r).where(_r.c.id == row.id))
    reservation.retire_name(tx, row.name, NameKind.ROLE)
    tx.record_change(
        "role",
        {"role": row.name, "did": "delete", **change_records.change_payload(change_records.row_deleted(_r, row.name))},
        [f"role:{row.name}"],
    )
    tx.audit("role.deleted", details={"role": row.name})
    return message_result(f"deleted role {row.name}")


def _get_custom_role(tx: ReadTransaction, name: str) -> Any:
    role = get_role(tx, name)
    if role.built_in:
        raise Denied(f"{role.name} is built in and cannot be changed or deleted", remedy="clone it under another name")
    row = tx.conn.execute(select(_r).where(_r.c.name == role.name)).first()
    if row is None:
        raise NotFound(f"there is no custom role {role.name}")
    return row


def _list_assigned(tx: ReadTransaction, name: str) -> set[tuple[str, str | None]]:
    """Return scopes and holders of the role; the holder is None for future members of a mapped group."""
    assigned = tx.conn.execute(select(_a.c.scope, _a.c.identity).where(_a.c.role == name))
    rules = tx.conn.execute(select(_rules.c.project).where(_rules.c.role == name)).scalars()
    # A template rule applies to every project; no project can have this name.
    return {(row.scope, row.identity) for row in assigned} | {(project or "every project", None) for project in rules}


def _affects_protected(
    tx: ReadTransaction, name: str, values: Mapping[str, Any], assigned: Iterable[tuple[str, str | None]]
) -> bool:
    before = tx.roles[name]
    after = replace(before, permissions=frozenset(map(Permission.parse, values["permissions"])))
    if after.permissions == before.permissions and values["limits"] == dict(before.limits):
        return False
    member = tx.catalog.member_permissions
    return any(
        role_requires_confirmation(version, scope, tx.roles, member)
        for scope, _ in assigned
        for version in (before, after)
    )


def _check_widening(
    tx: WriteTransaction, name: str, values: Mapping[str, Any], assigned: Iterable[tuple[str, str | None]]
) -> None:
    if checks.is_operator(tx):
        return
    before = tx.roles[name]
    added = [Permission.parse(text) for text in values["permissions"]]
    added = [
        permission
        for permission in added
        if not any(old_permission.covers(permission) for old_permission in before.permissions)
    ]
    rights = checks.actor_rights(tx)
    missing = sorted(
        {
            f"{permission} in {scope}"
            for scope, _ in assigned
            for permission in added
            if not any(
                own_permission.covers(permission) for own_permission in effective_permissions(rights, scope, tx.now)
            )
        }
    )
    controlled = {str(identity) for identity in checks.controlled_identities(tx, tx.actor.identity)}
    if any(holder in controlled for _, holder in assigned):
        after: Mapping[str, float] = values["limits"]
        missing += [
            f"a relaxed {kind} limit for yourself"
            for kind, value in before.limits.items()
            if after.get(str(kind), float("inf")) > value
        ]
        # Permissions that the actor holds today count too: the role may be held longer than those.
        missing += [f"{permission} for yourself" for permission in added]
    if missing:
        raise Escalation(
            f"{name} is assigned, and this change would give rights that you lack: {checks.format_missing(missing)}",
            remedy="ask a user who has these rights, or create a new role",
            extensions={"missing": missing},
        )
