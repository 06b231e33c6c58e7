"""The first start: the admin user, and the groups and service accounts of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.credentials.activation import Link
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write


def first_start(tx: Write, settings: Settings) -> Link | None:
    """Make what must be there before anybody can sign in; doing it again changes nothing.

    The actor is on the operator's road. A local ``admin_user`` gets an activation link, which is returned once.
    """
    for group in tx.catalog.default_groups:
        _group(tx, group.name, group.description, group.joins_new_users, group.roles)
    for account in tx.catalog.service_accounts:
        _account(tx, account.name, account.description, account.roles)
    provider, _, external = settings.admin_user.partition(":")
    name = names.canonical(names.short_name(external))
    identity = Identity.user(name)
    link = None
    if not users.exists(tx, name):
        if names.is_retired(tx, name, NameKind.USER):
            # An administrator deleted this person on purpose; `recover-admin` is the way back in.
            return None
        users.register(tx, external, provider=provider)
        if users.is_local(tx, name):
            link = activation.issue(tx, name)
        role = tx.catalog.admin_role
        if role is not None:
            assignments.put(tx, role, SYSTEM, identity, reason="admin_user of the configuration")
    return link


def recover_admin(tx: Write, name: str) -> Link | None:
    """Give the admin role to a user from the service's own machine, registering them where needed (`recover-admin`).

    Returns an activation link for a local account.
    """
    canonical = names.canonical(names.short_name(name))
    if not users.exists(tx, canonical):
        users.register(tx, name, provider=None)
    role = tx.catalog.admin_role
    if role is not None:
        assignments.put(tx, role, SYSTEM, Identity.user(canonical), reason="recovered on the service's machine")
    tx.audit("admin.recovered", details={"user": canonical})
    return activation.issue(tx, canonical) if users.is_local(tx, canonical) else None


def _group(tx: Write, name: str, description: str, is_default: bool, roles: tuple[str, ...]) -> None:
    g = tables.groups
    canonical = names.canonical(name, NameKind.GROUP)
    if tx.conn.execute(select(g.c.id).where(g.c.name == canonical)).first() is not None:
        return
    names.reserve(tx, canonical, NameKind.GROUP)
    values = {"is_default": is_default, "built_in": True}
    tx.conn.execute(insert(g).values(name=canonical, description=description, **values))
    wrote = recorded.rows(recorded.put(g, canonical, values))
    tx.change("group", {"group": canonical, "did": "create", "default": is_default, **wrote}, [f"group:{canonical}"])
    tx.audit("group.created", details={"group": canonical, "default": is_default})
    for role in roles:
        assignments.put(tx, role, SYSTEM, Identity.group(canonical), reason="catalog")


def _account(tx: Write, name: str, description: str, roles: tuple[str, ...]) -> None:
    s = tables.service_accounts
    canonical = names.canonical(name, NameKind.SERVICE_ACCOUNT)
    if tx.conn.execute(select(s.c.id).where(s.c.name == canonical)).first() is not None:
        return
    names.reserve(tx, canonical, NameKind.SERVICE_ACCOUNT)
    values = {"active": True, "built_in": True}
    tx.conn.execute(insert(s).values(name=canonical, description=description, created=tx.now, **values))
    wrote = recorded.rows(recorded.put(s, canonical, values))
    tx.change("service-account", {"account": canonical, "did": "create", **wrote}, [f"service-account:{canonical}"])
    tx.audit("service-account.created", details={"account": canonical})
    for role in roles:
        assignments.put(tx, role, SYSTEM, Identity.service_account(canonical), reason="catalog")
