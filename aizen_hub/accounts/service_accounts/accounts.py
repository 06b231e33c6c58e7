"""Creation, activation, listing and deletion of service accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import erasure, pending_changes
from aizen_hub.accounts.identities import get_service_account
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import Denied
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

_s = tables.service_accounts
_c = tables.credentials


def create_service_account(tx: WriteTransaction, name: str, *, description: str = "") -> Result:
    """Create a service account without any role, controlled by its creator, who can grant it only what they hold."""
    checks.require(tx, checks.endpoint_permission(tx, "service-accounts"))
    canonical = normalization.canonical_name(name, NameKind.SERVICE_ACCOUNT)
    reservation.reserve_name(tx, canonical, NameKind.SERVICE_ACCOUNT)
    values = {"controller": str(tx.actor.identity), "active": True}
    tx.conn.execute(insert(_s).values(name=canonical, description=description[:1_000], created=tx.now, **values))
    wrote = change_records.change_payload(change_records.row_written(_s, canonical, values))
    tx.record_change(
        "service-account", {"account": canonical, "did": "create", **wrote}, [f"service-account:{canonical}"]
    )
    tx.audit("service-account.created", details={"account": canonical})
    return message_result(f"created service account `{canonical}`", account=canonical)


def set_service_account_active(tx: WriteTransaction, name: str, active: bool) -> Result:
    """Activate or deactivate a service account; activating it needs every right that it would have.

    If one of its roles is protected, activating it waits for confirmation.
    """
    row = get_service_account(tx, name)
    _require_may_manage(tx, row)
    identity = Identity.service_account(row.name)
    if active:
        checks.require_control_of(tx, identity, "activate it")
        if not row.active and pending_changes.control_requires_confirmation(tx, identity):
            return pending_changes.submit(tx, "switch-on", {"name": row.name}, f"activate service account `{row.name}`")
    tx.conn.execute(update(_s).where(_s.c.id == row.id).values(active=active))
    wrote = change_records.change_payload(change_records.row_updated(_s, row.name, {"active": active}))
    tx.record_change(
        "service-account", {"account": row.name, "did": "active", "active": active, **wrote}, [str(identity)]
    )
    tx.audit("service-account.active", details={"account": row.name, "active": active})
    return message_result(f"`{row.name}` is {'active' if active else 'inactive'}")


def delete_service_account(tx: WriteTransaction, name: str) -> Result:
    """Delete a service account with its credentials and roles; its name stays reserved.

    Raises
    ------
    Denied
        A built-in account.
    Escalation
        It holds a protected role that the actor may not revoke.
    """
    row = get_service_account(tx, name)
    _require_may_manage(tx, row)
    if row.built_in:
        raise Denied(f"`{row.name}` is built in and cannot be deleted", remedy="deactivate it")
    identity = Identity.service_account(row.name)
    authority = GrantAuthority.of_actor(tx)
    assignments = erasure.list_direct_assignments(tx, identity)
    for assignment in assignments:
        role = tx.roles[assignment.role]
        missing = authority.missing_to_revoke(tx, role, assignment.scope, identity) if role.protected else ()
        if missing:
            raise escalation_error(tx, "revoke", role.name, assignment.scope, missing, identity)
    if pending_changes.requires_confirmation(tx, ((assignment.role, assignment.scope) for assignment in assignments)):
        return pending_changes.submit(
            tx, "delete-account", {"name": row.name}, f"delete the service account `{row.name}`"
        )
    erasure.erase_identity(tx, identity, "service account deleted")
    tx.conn.execute(delete(_c).where(_c.c.service_account_id == row.id))
    tx.conn.execute(delete(_s).where(_s.c.id == row.id))
    reservation.retire_name(tx, row.name, NameKind.SERVICE_ACCOUNT)
    wrote = change_records.change_payload(
        change_records.row_deleted(_c, row.name), change_records.row_deleted(_s, row.name)
    )
    tx.record_change("service-account", {"account": row.name, "did": "delete", **wrote}, [str(identity)])
    tx.audit("service-account.deleted", details={"account": row.name})
    return message_result(f"deleted service account `{row.name}`")


def list_service_accounts(tx: WriteTransaction) -> Result:
    """List all service accounts for users who manage them, otherwise those that the actor controls."""
    query = select(_s).order_by(_s.c.name)
    if not checks.is_allowed(tx, checks.endpoint_permission(tx, "service-accounts"), SYSTEM):
        checks.forbid_impersonation(tx)
        query = query.where(_s.c.controller == str(tx.actor.identity))
    rows = tx.conn.execute(query).all()
    return table_result(
        ("account", "description", "controller", "active", "created"),
        [(row.name, row.description, row.controller, row.active, row.created) for row in rows],
    )


def _require_may_manage(tx: WriteTransaction, row: Any) -> None:
    if row.controller == str(tx.actor.identity) and not checks.is_operator(tx):
        checks.forbid_impersonation(tx)
    else:
        checks.require(tx, checks.endpoint_permission(tx, "service-accounts"))
