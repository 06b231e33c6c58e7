"""Credentials of service accounts: they expire, are shown once and are stored as hashes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.identities import get_service_account
from aizen_hub.accounts.service_accounts.accounts import (
    BY_SECOND_PERSON,
    catalog_entry,
    needs_second_person,
    require_may_manage,
)
from aizen_hub.accounts.service_accounts.credential_binding import CredentialBinding
from aizen_hub.alerts.message import AlertEvent
from aizen_hub.alerts.outbox import alert_users
from aizen_hub.authorization import checks, lock_state
from aizen_hub.commands.result import Result, message_result, table_result, to_json_value
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records
from aizen_hub.tokens.opaque_token import hash_credential

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

DEFAULT_LIFETIME = timedelta(days=90)
MAX_LIFETIME = timedelta(days=366)
UNBOUND = CredentialBinding()
_s = tables.service_accounts
_c = tables.credentials


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """A valid credential; its binding is still to be checked.

    Attributes
    ----------
    credential_id : int
    account : str
        Canonical name.
    binding : CredentialBinding
    """

    credential_id: int
    account: str
    binding: CredentialBinding


def issue_credential(
    tx: WriteTransaction,
    name: str,
    lifetime: timedelta = DEFAULT_LIFETIME,
    binding: CredentialBinding = UNBOUND,
    *,
    requested_by: Identity | None = None,
    second_person: bool = False,
) -> Result:
    """Issue a credential, returned once as ``data["credential"]``.

    Several can be valid at a time, so that one can be replaced without a gap. The holder of a credential acts as the
    account, so the user who sees it needs every right of the account, and grants it nothing more while the credential
    is valid (R66). An actor who lacks one of these rights asks: a second user who has them all confirms, and sees the
    credential. For a built-in account the catalog can name roles whose holders issue its credentials.

    Parameters
    ----------
    binding : CredentialBinding
        What a request must fulfil besides presenting the credential; by default nothing (R58, T-46).
    requested_by : Identity, optional
        The user who asked for the credential that the actor confirms; they must still be allowed to manage the account.
    second_person : bool
        The change was stored for the confirmation of a second user.

    Raises
    ------
    Denied
        The actor has neither the permission nor control of the account.
    Escalation
        The account has rights that the confirming actor lacks.
    BadInput
        The lifetime is not between a minute and a year.
    """
    row = get_service_account(tx, name)
    if not timedelta(minutes=1) <= lifetime <= MAX_LIFETIME:
        raise BadInput(f"the lifetime of a credential is between one minute and {MAX_LIFETIME.days} days")
    require_may_manage(tx, row, requested_by, second_person=second_person)
    by_second_person = needs_second_person(tx, row, "issue a credential", confirmed=requested_by is not None)
    if pending_changes.requires_confirmation(tx, always=True, second_person=by_second_person):
        arguments = {"name": row.name, "seconds": int(lifetime.total_seconds()), **binding.to_json()}
        arguments |= {"requested_by": str(tx.actor.identity), "second_person": by_second_person}
        summary = f"issue a credential for `{row.name}`" + (f", {binding}" if binding != UNBOUND else "")
        summary += BY_SECOND_PERSON if by_second_person else ""
        return pending_changes.submit(tx, "credential", arguments, summary)
    credential = f"aizen-sa-{secrets.token_urlsafe(32)}"
    expires = tx.now + lifetime
    values = {
        "hash": hash_credential(credential),
        "created": tx.now,
        "expires": expires,
        "issued_by": None if checks.is_operator(tx) else str(tx.actor.identity),
        "key": binding.key,
        "networks": list(binding.networks) or None,
    }
    tx.conn.execute(insert(_c).values(service_account_id=row.id, **values))
    credential_id = tx.conn.execute(select(_c.c.id).where(_c.c.hash == hash_credential(credential))).scalar_one()
    wrote = change_records.change_payload(change_records.row_written(_c, row.name, values, credential_id))
    tx.record_change("credential", {"account": row.name, "did": "issue", "credential": credential_id, **wrote}, [])
    tx.audit("credential.issued", details={"account": row.name, "credential": credential_id, **binding.to_json()})
    _alert_issuers(tx, row, expires)
    return message_result(
        f"credential for `{row.name}`, shown only this once",
        credential=credential,
        id=credential_id,
        account=row.name,
        expires=expires,
        **binding.to_json(),
    )


def issue_confirmed_credential(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed `issue_credential`."""
    return issue_credential(
        tx,
        args["name"],
        timedelta(seconds=args["seconds"]),
        CredentialBinding.from_json(args),
        requested_by=Identity.parse(args["requested_by"]),
        second_person=args["second_person"],
    )


def _alert_issuers(tx: WriteTransaction, row: Any, expires: datetime) -> None:
    # Every user who may issue credentials of a built-in account learns of each one, also of one that a program issued.
    account = catalog_entry(tx, row)
    if account is None or not account.credential_issuers:
        return
    a = tables.assignments
    query = select(a.c.identity).where(a.c.scope == SYSTEM, a.c.role.in_(account.credential_issuers))
    holders = checks.transitive_members(tx, {Identity.parse(holder) for holder in tx.conn.execute(query).scalars()})
    users = sorted(holder.name for holder in holders if holder.kind is IdentityKind.USER)
    payload = {"user": row.name, "by": tx.actor.identity.name, "until": to_json_value(expires)}
    alert_users(tx, users, AlertEvent.CREDENTIAL_ISSUED, payload)


def revoke_credential(tx: WriteTransaction, name: str, credential_id: int) -> Result:
    """Revoke one credential now."""
    row = get_service_account(tx, name)
    require_may_manage(tx, row)
    deleted = tx.conn.execute(delete(_c).where(_c.c.id == credential_id, _c.c.service_account_id == row.id)).rowcount
    if not deleted:
        raise NotFound(f"`{row.name}` has no such credential")
    wrote = change_records.change_payload(change_records.row_deleted(_c, row.name, credential_id))
    tx.record_change("credential", {"account": row.name, "did": "revoke", "credential": credential_id, **wrote}, [])
    tx.audit("credential.revoked", details={"account": row.name, "credential": credential_id})
    return message_result(f"revoked the credential of `{row.name}`")


def list_credentials(tx: WriteTransaction, name: str) -> Result:
    """List the credentials of an account, without their secrets."""
    row = get_service_account(tx, name)
    require_may_manage(tx, row)
    tx.audit("access.read", details={"query": "credentials", "target": f"service-account:{row.name}"})
    rows = tx.conn.execute(select(_c).where(_c.c.service_account_id == row.id).order_by(_c.c.created)).all()
    return table_result(
        ("id", "created", "expires", "last used", "key", "networks"),
        [
            (
                credential.id,
                credential.created,
                credential.expires,
                credential.last_used,
                credential.key,
                ", ".join(credential.networks or ()) or None,
            )
            for credential in rows
        ],
    )


def authenticate_credential(tx: ReadTransaction, credential: str) -> CredentialRecord | None:
    """Return the record of a valid credential, or None: unknown, expired, or its account inactive or locked.

    The caller must check the binding: this function reads what is stored, and nothing of the request.
    """
    row = tx.conn.execute(
        select(_s.c.name, _s.c.active, _c.c.id, _c.c.expires, _c.c.key, _c.c.networks)
        .join(_c, _c.c.service_account_id == _s.c.id)
        .where(_c.c.hash == hash_credential(credential))
    ).first()
    if row is None or not row.active or row.expires <= tx.now:
        return None
    if lock_state.is_locked(tx, LockTarget.IDENTITY, f"service-account:{row.name}"):
        return None
    return CredentialRecord(row.id, str(row.name), CredentialBinding(row.key, tuple(row.networks or ())))


def mark_credential_used(tx: WriteTransaction, credential: str) -> None:
    """Record the time of the last use of a credential."""
    tx.conn.execute(update(_c).where(_c.c.hash == hash_credential(credential)).values(last_used=tx.now))
