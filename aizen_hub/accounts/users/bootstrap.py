"""First start: the admin user, and the groups and service accounts of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from aizen_hub.accounts import identities
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.credentials.activation import ActivationLink
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction


def bootstrap_installation(tx: WriteTransaction, settings: Settings) -> ActivationLink | None:
    """Create what must exist before any user can sign in; idempotent.

    The actor is the operator. A local ``admin_user`` gets an activation link, which is returned once.
    """
    for group in tx.catalog.default_groups:
        _create_group(tx, group.name, group.description, group.includes_new_users, group.roles)
    for account in tx.catalog.service_accounts:
        _create_service_account(tx, account.name, account.description, account.roles)
    provider, _, external = settings.admin_user.partition(":")
    name = normalization.canonical_name(normalization.short_name(external))
    identity = Identity.user(name)
    link = None
    if not identities.user_exists(tx, name):
        if reservation.is_name_retired(tx, name, NameKind.USER):
            # An administrator deleted this user on purpose; `recover-admin` restores access.
            return None
        registration.register_user(tx, external, provider=provider)
        if identities.is_local_user(tx, name):
            link = activation.issue_link(tx, name)
        role = tx.catalog.admin_role
        if role is not None:
            assignments.write_assignment(tx, role, SYSTEM, identity, reason="admin_user of the configuration")
    return link


def recover_admin(tx: WriteTransaction, name: str) -> ActivationLink | None:
    """Grant the admin role to a user on the service's own host, registering and unlocking the user if needed.

    Returns an activation link for a local account.
    """
    canonical = normalization.canonical_name(normalization.short_name(name))
    if not identities.user_exists(tx, canonical):
        registration.register_user(tx, name, provider=None)
    role = tx.catalog.admin_role
    if role is not None:
        assignments.write_assignment(
            tx, role, SYSTEM, Identity.user(canonical), reason="recovered on the service's machine"
        )
    unlocked = locks.discard_lock(tx, LockTarget.IDENTITY, f"user:{canonical}")
    tx.audit("admin.recovered", details={"user": canonical, "unlocked": unlocked})
    return activation.issue_link(tx, canonical) if identities.is_local_user(tx, canonical) else None


def _create_group(tx: WriteTransaction, name: str, description: str, is_default: bool, roles: tuple[str, ...]) -> None:
    g = tables.groups
    canonical = normalization.canonical_name(name, NameKind.GROUP)
    if tx.conn.execute(select(g.c.id).where(g.c.name == canonical)).first() is not None:
        return
    reservation.reserve_name(tx, canonical, NameKind.GROUP)
    values = {"is_default": is_default, "built_in": True}
    tx.conn.execute(insert(g).values(name=canonical, description=description, **values))
    wrote = change_records.change_payload(change_records.row_written(g, canonical, values))
    tx.record_change(
        "group", {"group": canonical, "did": "create", "default": is_default, **wrote}, [f"group:{canonical}"]
    )
    tx.audit("group.created", details={"group": canonical, "default": is_default})
    for role in roles:
        assignments.write_assignment(tx, role, SYSTEM, Identity.group(canonical), reason="catalog")


def _create_service_account(tx: WriteTransaction, name: str, description: str, roles: tuple[str, ...]) -> None:
    s = tables.service_accounts
    canonical = normalization.canonical_name(name, NameKind.SERVICE_ACCOUNT)
    if tx.conn.execute(select(s.c.id).where(s.c.name == canonical)).first() is not None:
        return
    reservation.reserve_name(tx, canonical, NameKind.SERVICE_ACCOUNT)
    values = {"active": True, "built_in": True}
    tx.conn.execute(insert(s).values(name=canonical, description=description, created=tx.now, **values))
    wrote = change_records.change_payload(change_records.row_written(s, canonical, values))
    tx.record_change(
        "service-account", {"account": canonical, "did": "create", **wrote}, [f"service-account:{canonical}"]
    )
    tx.audit("service-account.created", details={"account": canonical})
    for role in roles:
        assignments.write_assignment(tx, role, SYSTEM, Identity.service_account(canonical), reason="catalog")
