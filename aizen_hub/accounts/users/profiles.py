"""Contact data and alert preferences of users, and the list of users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, update

from aizen_hub.accounts.identities import get_user
from aizen_hub.accounts.names import normalization
from aizen_hub.authorization import checks
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from aizen_hub.store.audit_log import change_records
from aizen_hub.validation.email_address import is_email_address
from aizen_hub.validation.printable import excerpt
from aizen_hub.validation.prose import check_prose

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction

_u = tables.users


def update_user(
    tx: WriteTransaction,
    name: str,
    *,
    display_name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    alerts: Mapping[str, bool] | None = None,
) -> Result:
    """Change contact data and alert preferences; None, and alerts not named, stay as they are; an empty text deletes.

    Users may change their own data, unless the catalog has a permission ``profile`` for that; for other users' data the
    permission to manage users is needed.
    """
    is_own = str(tx.actor.identity) == f"user:{normalization.canonical_or_none(name)}"
    if not is_own:
        # Before the user is looked up: who exists is told to those who manage users (R72).
        checks.require(tx, checks.endpoint_permission(tx, "users"))
    row = get_user(tx, name)
    if is_own:
        if (profile_permission := tx.catalog.endpoints.get("profile")) is not None:
            checks.require(tx, str(profile_permission))
        else:
            checks.forbid_impersonation(tx)
    merged_alerts = None if alerts is None else {**row.alerts, **alerts}
    if not (merged_alerts is None and email is None and phone is None):
        require_addresses(
            row.alerts if merged_alerts is None else merged_alerts,
            email=row.email if email is None else email,
            phone=row.phone if phone is None else phone,
        )
    write_profile(tx, row.name, display_name=display_name, email=email, phone=phone, alerts=merged_alerts)
    return message_result(f"changed `{row.name}`", user=row.name)


def write_profile(
    tx: WriteTransaction,
    name: str,
    *,
    display_name: str | None,
    email: str | None,
    phone: str | None,
    alerts: Mapping[str, bool] | None,
) -> None:
    """Write contact data, without an authorization check."""
    values: dict[str, Any] = {}
    if display_name is not None:
        values["display_name"] = check_prose(display_name, "display name")
    if email is not None:
        values["email"] = check_email(email)
        row, provenance = get_user(tx, name), _address_provenance(tx, get_user(tx, name))
        # A user who sets the same address again confirms it, also one that another user registered.
        confirms = row.email_unconfirmed or (
            row.email_set_by is not None and provenance["email_set_by"] == str(Identity.user(row.name))
        )
        if values["email"] != row.email or (confirms and not provenance["email_unconfirmed"]):
            values |= provenance
    if phone is not None:
        values["phone"] = phone or None
    if alerts is not None:
        values["alerts"] = dict(alerts)
    if not values:
        return
    tx.conn.execute(update(_u).where(_u.c.name == name).values(**values))
    # Only the names of changed fields are recorded: their contents are personal and would outlive an erasure.
    fields = sorted(values.keys() - {"email_set_by", "email_unconfirmed"})
    wrote = change_records.change_payload(change_records.row_updated(_u, name, values))
    tx.record_change("user", {"user": name, "did": "alter", "fields": fields, **wrote}, [f"user:{name}"])
    tx.audit("user.changed", details={"user": name, "fields": fields})


def _address_provenance(tx: WriteTransaction, row: Any) -> dict[str, Any]:
    """Return who sets an address, and whether that is too little to send activation links there."""
    if checks.is_operator(tx):
        return {"email_set_by": None, "email_unconfirmed": False}
    in_person = tx.actor.identity == Identity.user(row.name) and tx.actor.channel in (Channel.PANEL, Channel.CLI)
    return {"email_set_by": str(tx.actor.identity), "email_unconfirmed": not in_person}


def require_addresses(alerts: Mapping[str, bool], *, email: str | None, phone: str | None) -> None:
    """Raise BadInput if alerts are to be sent to an address that is not registered."""
    faults = [Fault(f"/alerts/{channel}", fault) for channel, fault in missing_addresses(alerts, email, phone).items()]
    if faults:
        raise BadInput(
            "; ".join(fault.detail for fault in faults),
            remedy="register the address in the same change, or turn these alerts off",
            faults=faults,
        )


def missing_addresses(alerts: Mapping[str, bool], email: str | None, phone: str | None) -> dict[str, str]:
    """Return for each channel by which alerts cannot be delivered, since its address is missing, a sentence on why."""
    addresses = (("email", email, "an e-mail address"), ("phone", phone, "a phone number"))
    return {
        channel: f"alerts by {channel} need {what}, and none is registered"
        for channel, address, what in addresses
        if alerts.get(channel) and not address
    }


def check_email(email: str | None) -> str | None:
    """Return the address, or None for an empty one; raises BadInput if it is not one e-mail address."""
    if email and not is_email_address(email):
        raise BadInput(f"`{excerpt(email)}` is not an e-mail address", remedy="write it as name@example.org")
    return email or None


def list_users(tx: WriteTransaction, project: str | None, search: str | None = None) -> Result:
    """List the registered users: all data and system roles for actors who manage users, only names for others.

    Parameters
    ----------
    search : str, optional
        Part of a name or displayed name, and for actors who manage users of an address; the case does not matter.
    """
    checks.require_command(tx, "list_users", project or SYSTEM)
    tx.audit("access.read", project=project, details={"query": "users"})
    manages_users = checks.is_allowed(tx, checks.endpoint_permission(tx, "users"), SYSTEM)
    query = select(_u).order_by(_u.c.name)
    if search is not None:
        fields = [_u.c.name, _u.c.display_name, *([_u.c.email] if manages_users else [])]
        query = query.where(or_(*(func.lower(field).contains(search.lower(), autoescape=True) for field in fields)))
    rows = tx.conn.execute(query).all()
    if not manages_users:
        return table_result(("id", "username"), [(row.name, row.display_name) for row in rows])
    a = tables.assignments
    system_roles: dict[str, list[str]] = {}
    for row in tx.conn.execute(select(a.c.identity, a.c.role).where(a.c.scope == SYSTEM).order_by(a.c.role)):
        system_roles.setdefault(row.identity, []).append(row.role)
    return table_result(
        ("id", "username", "provider", "email", "phone", "alerts", "roles", "active", "last seen"),
        [
            (
                row.name,
                row.display_name,
                row.provider,
                row.email,
                row.phone,
                row.alerts,
                system_roles.get(f"user:{row.name}", []),
                row.active,
                row.last_seen,
            )
            for row in rows
        ],
    )
