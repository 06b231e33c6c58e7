"""Service accounts: ordinary holders of roles, with expiring credentials that are shown once and stored as hashes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import erasure as traces
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.service_accounts.credential_binding import Binding
from aizen_hub.accounts.sessions import locks
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse
from aizen_hub.commands.result import Result, message, table
from aizen_hub.problems import BadInput, Denied, NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

DEFAULT_LIFE = timedelta(days=90)
LONGEST_LIFE = timedelta(days=366)
FREE = Binding()
_s = tables.service_accounts
_c = tables.credentials


def create(tx: Write, name: str, *, description: str = "") -> Result:
    """Make a service account without any role; its maker controls it, and so grants it nothing they do not hold."""
    gate.need(tx, gate.permission(tx, "service-accounts"))
    canonical = names.canonical(name, NameKind.SERVICE_ACCOUNT)
    names.reserve(tx, canonical, NameKind.SERVICE_ACCOUNT)
    values = {"controller": str(tx.actor.identity), "active": True}
    tx.conn.execute(insert(_s).values(name=canonical, description=description[:1_000], created=tx.now, **values))
    wrote = recorded.rows(recorded.put(_s, canonical, values))
    tx.change("service-account", {"account": canonical, "did": "create", **wrote}, [f"service-account:{canonical}"])
    tx.audit("service-account.created", details={"account": canonical})
    return message(f"made the service account `{canonical}`", account=canonical)


@dataclass(frozen=True, slots=True)
class Held:
    """A credential that is valid, for whoever also shows what it is bound to.

    Attributes
    ----------
    number : int
    account : str
        Canonical name.
    binding : Binding
    """

    number: int
    account: str
    binding: Binding


def issue(tx: Write, name: str, lifetime: timedelta = DEFAULT_LIFE, binding: Binding = FREE) -> Result:
    """Make a credential; the answer holds it once, as ``data["credential"]``.

    Several may be valid at a time, so that one can be exchanged for another without a gap. Whoever has a credential is
    the account, so the actor needs every right that the account holds, and gives it none as long as the credential is
    good (R66).

    Parameters
    ----------
    binding : Binding
        What a caller must show beside the credential; by default nothing (R58, T-46).

    Raises
    ------
    Denied
        Neither the permission nor control of the account.
    Escalation
        The account holds what the actor lacks.
    BadInput
        The lifetime is not between a minute and a year.
    """
    row = row_of(tx, name)
    if not timedelta(minutes=1) <= lifetime <= LONGEST_LIFE:
        raise BadInput(f"a credential lives between a minute and {LONGEST_LIFE.days} days")
    _need_hold(tx, row)
    gate.need_control(tx, Identity.service_account(row.name), "make a credential")
    if pending.needed(tx, always=True):
        arguments = {"name": row.name, "seconds": int(lifetime.total_seconds()), **binding.to_json()}
        what = f"make a credential for `{row.name}`"
        return pending.hold(tx, "credential", arguments, f"{what}, {binding}" if binding != FREE else what)
    credential = f"aizen-sa-{secrets.token_urlsafe(32)}"
    expires = tx.now + lifetime
    values = {
        "hash": hash_credential(credential),
        "created": tx.now,
        "expires": expires,
        "issued_by": None if gate.above_roles(tx) else str(tx.actor.identity),
        "key": binding.key,
        "networks": list(binding.networks) or None,
    }
    tx.conn.execute(insert(_c).values(service_account_id=row.id, **values))
    number = tx.conn.execute(select(_c.c.id).where(_c.c.hash == hash_credential(credential))).scalar_one()
    wrote = recorded.rows(recorded.put(_c, row.name, values, number))
    tx.change("credential", {"account": row.name, "did": "issue", "credential": number, **wrote}, [])
    tx.audit("credential.issued", details={"account": row.name, "credential": number, **binding.to_json()})
    return message(
        f"a credential for `{row.name}`, shown only now",
        credential=credential,
        id=number,
        account=row.name,
        expires=expires,
        **binding.to_json(),
    )


def issue_confirmed(tx: Write, args: Mapping[str, Any]) -> Result:
    """Make a credential after its confirmation."""
    return issue(tx, args["name"], timedelta(seconds=args["seconds"]), Binding.kept(args))


def revoke(tx: Write, name: str, number: int) -> Result:
    """End one credential now."""
    row = row_of(tx, name)
    _need_hold(tx, row)
    gone = tx.conn.execute(delete(_c).where(_c.c.id == number, _c.c.service_account_id == row.id)).rowcount
    if not gone:
        raise NotFound(f"`{row.name}` has no such credential")
    wrote = recorded.rows(recorded.gone(_c, row.name, number))
    tx.change("credential", {"account": row.name, "did": "revoke", "credential": number, **wrote}, [])
    tx.audit("credential.revoked", details={"account": row.name, "credential": number})
    return message(f"the credential of `{row.name}` is void")


def set_active(tx: Write, name: str, on: bool) -> Result:
    """Switch a service account on or off; switching it on needs every right that it would hold.

    Where one of its roles changes hands only with confirmation, switching it on waits for that.
    """
    row = row_of(tx, name)
    _need_hold(tx, row)
    identity = Identity.service_account(row.name)
    if on:
        gate.need_control(tx, identity, "switch it on")
        if not row.active and pending.needed_to_control(tx, identity):
            return pending.hold(tx, "switch-on", {"name": row.name}, f"switch on the service account `{row.name}`")
    tx.conn.execute(update(_s).where(_s.c.id == row.id).values(active=on))
    wrote = recorded.rows(recorded.altered(_s, row.name, {"active": on}))
    tx.change("service-account", {"account": row.name, "did": "active", "active": on, **wrote}, [str(identity)])
    tx.audit("service-account.active", details={"account": row.name, "active": on})
    return message(f"`{row.name}` is {'on' if on else 'off'}")


def remove(tx: Write, name: str) -> Result:
    """Delete a service account with its credentials and roles; its name stays reserved.

    Raises
    ------
    Denied
        A built-in account.
    Escalation
        It holds a protected role that the actor may not take.
    """
    row = row_of(tx, name)
    _need_hold(tx, row)
    if row.built_in:
        raise Denied(f"`{row.name}` is built in and cannot be deleted", remedy="switch it off")
    identity = Identity.service_account(row.name)
    giver = Giver.of(tx)
    held = traces.assignments_of(tx, identity)
    for one in held:
        role = tx.roles[one.role]
        missing = giver.missing_to_take(tx, role, one.scope, identity) if role.protected else ()
        if missing:
            raise refuse(tx, "revoke", role.name, one.scope, missing, identity)
    if pending.needed(tx, ((one.role, one.scope) for one in held)):
        return pending.hold(tx, "delete-account", {"name": row.name}, f"delete the service account `{row.name}`")
    traces.erase(tx, identity, "service account deleted")
    tx.conn.execute(delete(_c).where(_c.c.service_account_id == row.id))
    tx.conn.execute(delete(_s).where(_s.c.id == row.id))
    names.retire(tx, row.name, NameKind.SERVICE_ACCOUNT)
    wrote = recorded.rows(recorded.gone(_c, row.name), recorded.gone(_s, row.name))
    tx.change("service-account", {"account": row.name, "did": "delete", **wrote}, [str(identity)])
    tx.audit("service-account.deleted", details={"account": row.name})
    return message(f"deleted the service account `{row.name}`")


def list_accounts(tx: Write) -> Result:
    """List the service accounts: all to those who manage them, else those that the asker controls."""
    query = select(_s).order_by(_s.c.name)
    if not gate.allowed(tx, gate.permission(tx, "service-accounts"), SYSTEM):
        gate.in_person(tx)
        query = query.where(_s.c.controller == str(tx.actor.identity))
    rows = tx.conn.execute(query).all()
    return table(
        ("account", "description", "controller", "active", "created"),
        [(row.name, row.description, row.controller, row.active, row.created) for row in rows],
    )


def credentials(tx: Write, name: str) -> Result:
    """List the credentials of an account, never what they are."""
    row = row_of(tx, name)
    _need_hold(tx, row)
    tx.audit("access.read", details={"question": "credentials", "target": f"service-account:{row.name}"})
    rows = tx.conn.execute(select(_c).where(_c.c.service_account_id == row.id).order_by(_c.c.created)).all()
    return table(
        ("id", "created", "expires", "last used", "key", "networks"),
        [
            (one.id, one.created, one.expires, one.last_used, one.key, ", ".join(one.networks or ()) or None)
            for one in rows
        ],
    )


def authenticate(tx: Read, credential: str) -> Held | None:
    """Return the valid credential that this is, or None: unknown, expired, its account off or locked.

    Whether its binding is met, the caller must judge: this reads what is stored and nothing of the request.
    """
    row = tx.conn.execute(
        select(_s.c.name, _s.c.active, _c.c.id, _c.c.expires, _c.c.key, _c.c.networks)
        .join(_c, _c.c.service_account_id == _s.c.id)
        .where(_c.c.hash == hash_credential(credential))
    ).first()
    if row is None or not row.active or row.expires <= tx.now:
        return None
    if locks.is_locked(tx, LockTarget.IDENTITY, f"service-account:{row.name}"):
        return None
    return Held(row.id, str(row.name), Binding(row.key, tuple(row.networks or ())))


def used(tx: Write, credential: str) -> None:
    """Note when a credential was last used."""
    tx.conn.execute(update(_c).where(_c.c.hash == hash_credential(credential)).values(last_used=tx.now))


def row_of(tx: Read, name: str) -> Any:
    """Return the row of a service account; NotFound for anything that is not one."""
    canonical = names.known_as(name, NameKind.SERVICE_ACCOUNT)
    row = None if canonical is None else tx.conn.execute(select(_s).where(_s.c.name == canonical)).first()
    if row is None:
        raise NotFound(f"there is no service account `{show(name)}`")
    return row


def _need_hold(tx: Write, row: Any) -> None:
    if row.controller == str(tx.actor.identity) and not gate.above_roles(tx):
        gate.in_person(tx)
    else:
        gate.need(tx, gate.permission(tx, "service-accounts"))
