"""Registration and deletion of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import erasure, pending_changes
from aizen_hub.accounts.credentials import activation, passwords
from aizen_hub.accounts.identities import LOCAL_KIND, is_local_user, provider_kind, resolve_provider, user_exists
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import assignments, last_holder
from aizen_hub.accounts.users.profiles import check_email, require_addresses
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.email_address import email_domain, short_name
from aizen_hub.validation.printable import excerpt
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_u = tables.users


_NO_ALERTS: Mapping[str, bool] = {"email": False, "phone": False}


def create_user(
    tx: WriteTransaction,
    name: str,
    *,
    provider: str | None = None,
    display_name: str = "",
    email: str | None = None,
    phone: str | None = None,
    alerts: Mapping[str, bool] | None = None,
    roles: Sequence[str] = (),
    password: str | passwords.NewPassword | None = None,
) -> Result:
    """Register a user, who joins the default groups.

    A local account without a password gets an activation link, returned once as ``data["activation"]``.

    Raises
    ------
    Denied
        The permission to manage users is missing.
    BadInput
        The name, the provider, a role, the contact data or the password is invalid.
    Conflict
        The name is taken, reserved, or looks like another.
    Escalation
        A system role that the actor may not grant, or default groups with rights that the actor lacks.
    """
    checks.require(tx, checks.endpoint_permission(tx, "users"))
    require_addresses(alerts or _NO_ALERTS, email=email, phone=phone)
    name = unauthorized_register_user(
        tx,
        name,
        provider=provider,
        display_name=display_name,
        email=email,
        phone=phone,
        alerts=alerts or _NO_ALERTS,
        gets_roles=bool(roles),
    )
    identity = Identity.user(name)
    data: dict[str, Any] = {"user": name}
    if is_local_user(tx, name):
        if password is not None:
            checks.require_control_of(tx, identity, "set the password of an account")
            passwords.set_password(tx, name, password)
        else:
            data["activation"] = activation.issue_link(tx, name).to_json()
    elif password is not None:
        raise BadInput("only local accounts have a password", remedy="leave it out: the provider checks passwords")
    if roles:
        grant_result = assignments.grant_roles(tx, roles, SYSTEM, identity, in_file=True)
        data |= {key: value for key, value in grant_result.data.items() if key in ("pending", "granted", "what")}
    return message_result(f"registered `{name}`", **data)


def unauthorized_register_user(
    tx: WriteTransaction,
    name: str,
    *,
    provider: str | None,
    display_name: str = "",
    email: str | None = None,
    phone: str | None = None,
    alerts: Mapping[str, bool] = _NO_ALERTS,
    subject: str | None = None,
    gets_roles: bool = False,
) -> str:
    """Insert a user, without an authorization check; return the canonical name.

    A name that is an e-mail address is registered by its local part, for a login with exactly this address. With
    ``gets_roles``, the user does not join the default groups whose roles others given at creation replace.
    """
    domain = email_domain(name)
    name = normalization.canonical_name(short_name(name), NameKind.USER)
    provider = resolve_provider(tx, provider)
    reservation.reserve_name(tx, name, NameKind.USER)
    is_local = provider_kind(tx, provider) == LOCAL_KIND
    values = {
        "provider": provider,
        "domain": None if is_local else domain,
        # The subject of a local account is its name, which no other user can get.
        "subject": name if is_local else subject,
        "display_name": check_prose(display_name, "display name"),
        "email": check_email(email),
        "email_set_by": None if checks.is_operator(tx) or not email else str(tx.actor.identity),
        "email_unconfirmed": False,
        "phone": phone,
        "alerts": dict(alerts),
        "active": not is_local,
        "created": tx.now,
    }
    tx.conn.execute(insert(_u).values(name=name, **values))
    default = tx.conn.execute(select(tables.groups.c.id, tables.groups.c.name).where(tables.groups.c.is_default)).all()
    replaced = groups_replaced_by_roles(tx) if gets_roles else frozenset()
    groups = [group for group in default if group.name not in replaced]
    for group in groups:
        tx.conn.execute(insert(tables.memberships).values(group_id=group.id, member=f"user:{name}"))
    joined = [group.name for group in groups]
    wrote = change_records.change_payload(
        change_records.row_written(_u, name, values),
        *(change_records.row_written(tables.memberships, f"user:{name}", {}, None, group) for group in joined),
    )
    payload = {"user": name, "did": "create", "provider": provider, "groups": joined, **wrote}
    tx.record_change("user", payload, [f"user:{name}"])
    tx.audit("user.created", details={"user": name, "provider": provider, "groups": joined})
    return name


def groups_replaced_by_roles(tx: ReadTransaction) -> frozenset[str]:
    """Return the names of the default groups that those who are registered with a role do not join."""
    return frozenset(
        normalization.canonical_name(group.name, NameKind.GROUP)
        for group in tx.catalog.default_groups
        if group.replaced_by_roles
    )


def delete_users(tx: WriteTransaction, users: Sequence[str]) -> Result:
    """Delete users, all or none, with their registration, contact data, roles, sessions, locks and tokens.

    Raises
    ------
    NotFound
        Names the users who are not registered, at most 20.
    LastHolder
        A user is the last holder of a protected role.
    Escalation
        A user holds a protected role that the actor may not revoke.
    """
    checks.require_command(tx, "delete_users")
    requested = [(text, normalization.canonical_or_none(text)) for text in dict.fromkeys(users)]
    registered = [name for _, name in requested if name is not None and user_exists(tx, name)]
    unknown = [text for text, name in requested if name is None or name not in registered]
    if unknown:
        raise NotFound(f"not registered: {', '.join(f'`{excerpt(name)}`' for name in unknown[:20])}")
    identities = [Identity.user(name) for name in dict.fromkeys(registered)]
    authority = GrantAuthority.of_actor(tx)
    grants = []
    for identity in identities:
        for row in erasure.list_direct_assignments(tx, identity):
            role = tx.roles[row.role]
            grants.append((role.name, row.scope))
            if not (role.protected and role.requires_confirmation):
                continue
            missing = authority.missing_to_revoke(tx, role, row.scope, identity, in_file=True, deletes_holder=True)
            if missing:
                raise escalation_error(tx, "revoke", role.name, row.scope, missing, identity)
    protected_grants = last_holder.protected_grants_of(tx, identities)
    last_holder.require_other_holder(tx, protected_grants, [identity.name for identity in identities])
    if pending_changes.requires_confirmation(tx, grants):
        names_shown = ", ".join(f"`{identity.name}`" for identity in identities[:5])
        return pending_changes.submit(
            tx, "delete-users", {"users": [identity.name for identity in identities]}, f"delete {names_shown}"
        )
    with last_holder.last_holder_guard(tx, protected_grants):
        for identity in identities:
            erasure.unauthorized_erase_identity(tx, identity, "user-deleted")
            tx.conn.execute(delete(_u).where(_u.c.name == identity.name))
            reservation.retire_name(tx, identity.name, NameKind.USER)
            wrote = change_records.change_payload(change_records.row_deleted(_u, identity.name))
            tx.record_change("user", {"user": identity.name, "did": "delete", **wrote}, [str(identity)])
            tx.audit("user.deleted", details={"user": identity.name})
    deleted = [identity.name for identity in identities]
    return message_result(f"deleted {', '.join(f'`{name}`' for name in deleted)}", deleted=deleted)
