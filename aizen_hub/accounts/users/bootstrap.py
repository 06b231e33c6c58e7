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
from aizen_hub.problems import BadInput, Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import Settings
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.email_address import short_name

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
    name = normalization.canonical_name(short_name(external))
    identity = Identity.user(name)
    link = None
    if not identities.user_exists(tx, name):
        if reservation.is_name_retired(tx, name, NameKind.USER):
            # An administrator deleted this user on purpose; `recover-admin` restores access.
            return None
        registration.unauthorized_register_user(tx, external, provider=provider)
        if identities.is_local_user(tx, name):
            link = activation.issue_link(tx, name)
        role = tx.catalog.admin_role
        if role is not None:
            assignments.unauthorized_write_assignment(
                tx, role, SYSTEM, identity, reason="admin_user of the configuration"
            )
    return link


def recover_admin(tx: WriteTransaction, name: str, provider: str | None = None) -> tuple[str, ActivationLink | None]:
    """Grant the admin role to a user on the service's own host, registering and unlocking the user if needed.

    Parameters
    ----------
    name : str
        The name of a user, or ``provider:name``.
    provider : str, optional
        The provider by which the user signs in; by default that of ``name``, or of the registration.

    Returns
    -------
    user : str
    link : ActivationLink or None
        For a local account.

    Raises
    ------
    BadInput
        There is no such provider, or two are named.
    Conflict
        The user is registered with another provider.
    """
    provider, external = _split_provider(tx, name, provider)
    canonical = normalization.canonical_name(short_name(external))
    if not identities.user_exists(tx, canonical):
        registration.unauthorized_register_user(tx, external, provider=provider)
    elif provider is not None and (registered := identities.get_user(tx, canonical).provider) != provider:
        raise Conflict(
            f"`{canonical}` signs in by `{registered}`, not by `{provider}`",
            remedy=f"choose a name that is not registered, for example `recover-admin {provider}:rescue`",
        )
    role = tx.catalog.admin_role
    if role is not None:
        assignments.unauthorized_write_assignment(
            tx, role, SYSTEM, Identity.user(canonical), reason="recovered on the service's machine"
        )
    unlocked = locks.discard_lock(tx, LockTarget.IDENTITY, f"user:{canonical}")
    tx.audit("admin.recovered", details={"user": canonical, "unlocked": unlocked})
    return canonical, activation.issue_link(tx, canonical) if identities.is_local_user(tx, canonical) else None


def withdraw_admin(tx: WriteTransaction, name: str) -> tuple[str, str]:
    """Revoke the admin role of a user, on the service's own host; return the names of user and role.

    Raises
    ------
    NotFound
        There is no such user, or the user does not hold the role directly.
    Conflict
        The catalog has no admin role, the user signs in by another provider, or is the role's last holder.
    """
    role = tx.catalog.admin_role
    if role is None:
        raise Conflict("the catalog has no admin role")
    provider, external = _split_provider(tx, name, None)
    row = identities.get_user(tx, short_name(external))
    user = row.name
    if provider not in (None, row.provider):
        raise Conflict(
            f"`{user}` signs in by `{row.provider}`, not by `{provider}`", remedy=f"name `{row.provider}:{user}`"
        )
    assignments.revoke_roles(tx, [role], SYSTEM, Identity.user(user), reason="withdrawn on the service's machine")
    return user, role


def _split_provider(tx: WriteTransaction, name: str, provider: str | None) -> tuple[str | None, str]:
    """Return the provider and the name of ``provider:name``; a name may contain a colon of its own."""
    prefix, colon, external = name.partition(":")
    named = prefix if colon and any(configured.name == prefix for configured in tx.settings.providers) else None
    if named is not None and provider not in (None, named):
        raise BadInput(f"`{name}` names the provider `{named}`, and --provider names `{provider}`")
    chosen = named or provider
    return (None if chosen is None else identities.resolve_provider(tx, chosen)), (external if named else name)


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
        assignments.unauthorized_write_assignment(tx, role, SYSTEM, Identity.group(canonical), reason="catalog")


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
        assignments.unauthorized_write_assignment(
            tx, role, SYSTEM, Identity.service_account(canonical), reason="catalog"
        )
