"""Creation, default membership, description, listing and deletion of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import erasure, identities, pending_changes
from aizen_hub.accounts.groups.membership import forbid_limit_evasion
from aizen_hub.accounts.identities import get_group
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import BadInput, Conflict, Denied
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

_g = tables.groups
_m = tables.memberships


def create_group(tx: WriteTransaction, name: str, *, description: str = "", provider: str | None = None) -> Result:
    """Create a group. With a provider, its members are the users whom that provider reports in the group of this name.

    Raises
    ------
    Denied
        The permission is missing, or in the panel a recent login for a group mapping.
    BadInput, Conflict
        The name or the provider is invalid; the name is taken, reserved, or looks like another.
    """
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    canonical = normalization.canonical_name(name, NameKind.GROUP)
    if provider is not None:
        identities.resolve_provider(tx, provider)
        if identities.provider_kind(tx, provider) == identities.LOCAL_KIND:
            raise BadInput("local accounts have no directory groups", remedy="leave `provider` out")
    reservation.require_name_available(tx, canonical, NameKind.GROUP)
    if provider is not None and pending_changes.requires_confirmation(tx, always=True):
        arguments = {"name": canonical, "description": description, "provider": provider}
        return pending_changes.submit(tx, "group-mapping", arguments, f"map the group `{canonical}` from {provider}")
    reservation.reserve_name(tx, canonical, NameKind.GROUP)
    description = check_prose(description, "description")
    tx.conn.execute(insert(_g).values(name=canonical, description=description, provider=provider))
    wrote = change_records.change_payload(change_records.row_written(_g, canonical, {"provider": provider}))
    tx.record_change(
        "group", {"group": canonical, "did": "create", "provider": provider, **wrote}, [f"group:{canonical}"]
    )
    tx.audit("group.created", details={"group": canonical, "provider": provider})
    return message_result(f"created group `{canonical}`", group=canonical)


def create_confirmed_group(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed `create_group` with a provider."""
    return create_group(tx, args["name"], description=args["description"], provider=args["provider"])


def set_default_group(tx: WriteTransaction, name: str, is_default: bool) -> Result:
    """Set whether every new user joins a group; turning it on needs every right of the group."""
    # Before the name is looked up: which groups exist is told to those who manage them.
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = get_group(tx, name)
    require_may_set_default(tx, Identity.group(row.name), is_default)
    if is_default and pending_changes.control_requires_confirmation(tx, Identity.group(row.name)):
        summary = f"make `{row.name}` a default group"
        return pending_changes.submit(tx, "default-group", {"name": row.name}, summary)
    tx.conn.execute(update(_g).where(_g.c.id == row.id).values(is_default=is_default))
    wrote = change_records.change_payload(change_records.row_updated(_g, row.name, {"is_default": is_default}))
    tx.record_change(
        "group", {"group": row.name, "did": "default", "default": is_default, **wrote}, [f"group:{row.name}"]
    )
    tx.audit("group.default", details={"group": row.name, "default": is_default})
    return message_result(f"new users {'join' if is_default else 'do not join'} `{row.name}`")


def require_may_set_default(tx: ActorTransaction, group: Identity, is_default: bool) -> None:
    """Require what setting whether every new user joins a group needs."""
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    if is_default:
        checks.require_control_of(tx, group, "make it a default group")


def describe_group(tx: WriteTransaction, name: str, description: str) -> Result:
    """Change the description of a group."""
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = get_group(tx, name)
    tx.conn.execute(update(_g).where(_g.c.id == row.id).values(description=check_prose(description, "description")))
    tx.record_change("group", {"group": row.name, "did": "describe"}, [f"group:{row.name}"])
    tx.audit("group.described", details={"group": row.name})
    return message_result(f"changed `{row.name}`")


def delete_group(tx: WriteTransaction, name: str) -> Result:
    """Delete a group. Its members lose the rights they have through it; its name stays reserved.

    Raises
    ------
    Denied
        A built-in group.
    Conflict
        A mapping rule names the group.
    Escalation
        It holds a protected role that the actor may not revoke, or its limits bind the actor.
    """
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = get_group(tx, name)
    group = Identity.group(row.name)
    if row.built_in:
        raise Denied(f"`{row.name}` is built in and cannot be deleted")
    rules = tables.mapping_rules
    rule_id = tx.conn.execute(
        select(rules.c.id).where(rules.c.provider == row.provider, rules.c.group == row.name)
    ).scalar()
    if rule_id is not None:
        raise Conflict(f"mapping rule {rule_id} names `{row.name}`", remedy="remove the rule first")
    authority = GrantAuthority.of_actor(tx)
    assignments = erasure.list_direct_assignments(tx, group)
    for assignment in assignments:
        role = tx.roles[assignment.role]
        missing = (
            authority.missing_to_revoke(tx, role, assignment.scope, group, deletes_holder=True)
            if role.protected
            else ()
        )
        if missing:
            raise escalation_error(tx, "revoke", role.name, assignment.scope, missing, group)
    memberships = tx.conn.execute(select(_m.c.member, _m.c.provider).where(_m.c.group_id == row.id)).all()
    members = list(dict.fromkeys(membership.member for membership in memberships))
    for member in members:
        forbid_limit_evasion(tx, group, Identity.parse(member))
    if pending_changes.requires_confirmation(tx, ((assignment.role, assignment.scope) for assignment in assignments)):
        return pending_changes.submit(tx, "delete-group", {"name": row.name}, f"delete the group `{row.name}`")
    erasure.unauthorized_erase_identity(tx, group, "group deleted")
    tx.conn.execute(delete(_m).where(_m.c.group_id == row.id))
    tx.conn.execute(delete(_g).where(_g.c.id == row.id))
    reservation.retire_name(tx, row.name, NameKind.GROUP)
    wrote = change_records.change_payload(
        *(
            change_records.row_deleted(_m, membership.member, membership.provider, row.name)
            for membership in memberships
        ),
        change_records.row_deleted(_g, row.name),
    )
    tx.record_change("group", {"group": row.name, "did": "delete", **wrote}, [str(group), *members])
    tx.audit("group.deleted", details={"group": row.name, "members": len(members)})
    return message_result(f"deleted group `{row.name}`")


def list_groups(tx: WriteTransaction) -> Result:
    """List all groups, for users who manage groups."""
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    rows = tx.conn.execute(select(_g).order_by(_g.c.name)).all()
    return table_result(
        ("group", "description", "provider", "default", "built in"),
        [(row.name, row.description, row.provider, row.is_default, row.built_in) for row in rows],
    )
