"""Users: registration, contact data, deletion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import erasure as traces
from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import activation, passwords
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse
from aizen_hub.commands.result import Result, message, table
from aizen_hub.problems import BadInput, NotFound
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.email_address import is_mail_address
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

LOCAL = "local"
_u = tables.users
_NO_ALERTS: Mapping[str, bool] = {"email": False, "phone": False}


def create(
    tx: Write,
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

    A local account without a password gets an activation link, which the answer shows once, as ``data["activation"]``.

    Raises
    ------
    Denied
        The permission to manage users is missing.
    BadInput
        The name, the provider, a role, the contact data or the password cannot be.
    Conflict
        The name is taken, reserved, or looks like another.
    Escalation
        A system role that the actor may not give, or default groups that hold what the actor lacks.
    """
    gate.need(tx, gate.permission(tx, "users"))
    name = register(
        tx, name, provider=provider, display_name=display_name, email=email, phone=phone, alerts=alerts or _NO_ALERTS
    )
    identity = Identity.user(name)
    data: dict[str, Any] = {"user": name}
    if is_local(tx, name):
        if password is not None:
            gate.need_control(tx, identity, "set the password of an account")
            passwords.put(tx, name, password)
        else:
            data["activation"] = activation.issue(tx, name).to_json()
    elif password is not None:
        raise BadInput("a password is for local accounts only", remedy="leave it out, the provider checks it")
    if roles:
        answer = assignments.grant(tx, roles, SYSTEM, identity, in_file=True)
        data |= {key: value for key, value in answer.data.items() if key in ("pending", "granted", "what")}
    return message(f"registered `{name}`", **data)


def register(
    tx: Write,
    name: str,
    *,
    provider: str | None,
    display_name: str = "",
    email: str | None = None,
    phone: str | None = None,
    alerts: Mapping[str, bool] = _NO_ALERTS,
    subject: str | None = None,
) -> str:
    """Write a new user without asking who may; return the canonical name. For the functions of this room.

    A name written as a mail address is registered by its local part, for a login with exactly this address.
    """
    domain = names.mail_domain(name)
    name = names.canonical(names.short_name(name), NameKind.USER)
    provider = known_provider(tx, provider)
    names.reserve(tx, name, NameKind.USER)
    local = kind_of(tx, provider) == LOCAL
    values = {
        "provider": provider,
        "domain": None if local else domain,
        # The subject of a local account is its name, which is never given to anybody else.
        "subject": name if local else subject,
        "display_name": display_name[:200],
        "email": _mail(email),
        "phone": phone,
        "alerts": dict(alerts),
        "active": not local,
        "created": tx.now,
    }
    tx.conn.execute(insert(_u).values(name=name, **values))
    groups = tx.conn.execute(select(tables.groups.c.id, tables.groups.c.name).where(tables.groups.c.is_default)).all()
    for group in groups:
        tx.conn.execute(insert(tables.memberships).values(group_id=group.id, member=f"user:{name}"))
    joined = [group.name for group in groups]
    wrote = recorded.rows(
        recorded.put(_u, name, values),
        *(recorded.put(tables.memberships, f"user:{name}", {}, None, group) for group in joined),
    )
    payload = {"user": name, "did": "create", "provider": provider, "groups": joined, **wrote}
    tx.change("user", payload, [f"user:{name}"])
    tx.audit("user.created", details={"user": name, "provider": provider, "groups": joined})
    return name


def alter(
    tx: Write,
    name: str,
    *,
    display_name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    alerts: Mapping[str, bool] | None = None,
) -> Result:
    """Change contact data and alert preferences; what is None or not among ``alerts`` stays, an empty text removes.

    Everybody may change their own, unless the catalog has a permission ``profile`` for that; others' need the
    permission to manage users.
    """
    row = row_of(tx, name)
    if Identity.user(row.name) != tx.actor.identity:
        gate.need(tx, gate.permission(tx, "users"))
    elif (own := tx.catalog.endpoints.get("profile")) is not None:
        gate.need(tx, str(own))
    else:
        gate.in_person(tx)
    wanted = None if alerts is None else {**row.alerts, **alerts}
    write(tx, row.name, display_name=display_name, email=email, phone=phone, alerts=wanted)
    return message(f"changed `{row.name}`", user=row.name)


def write(
    tx: Write,
    name: str,
    *,
    display_name: str | None,
    email: str | None,
    phone: str | None,
    alerts: Mapping[str, bool] | None,
) -> None:
    """Write contact data without asking who may. For the functions of this room."""
    values: dict[str, Any] = {}
    if display_name is not None:
        values["display_name"] = display_name[:200]
    if email is not None:
        values["email"] = _mail(email)
    if phone is not None:
        values["phone"] = phone or None
    if alerts is not None:
        values["alerts"] = dict(alerts)
    if not values:
        return
    tx.conn.execute(update(_u).where(_u.c.name == name).values(**values))
    # Which fields changed is recorded, their contents are personal and would outlive an erasure.
    tx.change("user", {"user": name, "did": "alter", "fields": sorted(values)}, [f"user:{name}"])
    tx.audit("user.changed", details={"user": name, "fields": sorted(values)})


def _mail(email: str | None) -> str | None:
    if email and not is_mail_address(email):
        raise BadInput(f"`{show(email)}` is not one mail address", remedy="write it as name@example.org")
    return email or None


def list_users(tx: Write, project: str | None) -> Result:
    """List the registered users: contact data and system roles for those who manage users, names for the others."""
    gate.need_command(tx, "list_users", project or SYSTEM)
    tx.audit("access.read", project=project, details={"question": "users"})
    rows = tx.conn.execute(select(_u).order_by(_u.c.name)).all()
    if not gate.allowed(tx, gate.permission(tx, "users"), SYSTEM):
        return table(("id", "username"), [(row.name, row.display_name) for row in rows])
    a = tables.assignments
    system: dict[str, list[str]] = {}
    for row in tx.conn.execute(select(a.c.identity, a.c.role).where(a.c.scope == SYSTEM).order_by(a.c.role)):
        system.setdefault(row.identity, []).append(row.role)
    return table(
        ("id", "username", "provider", "email", "phone", "alerts", "roles", "active", "last seen"),
        [
            (
                row.name,
                row.display_name,
                row.provider,
                row.email,
                row.phone,
                row.alerts,
                system.get(f"user:{row.name}", []),
                row.active,
                row.last_seen,
            )
            for row in rows
        ],
    )


def remove(tx: Write, users: Sequence[str]) -> Result:
    """Delete users, all of them or none: registration, contact data, preferences, every role, session, lock and token.

    Raises
    ------
    NotFound
        Names those who are not registered, at most 20 of them.
    LastHolder
        Somebody is the last holder of a protected role.
    Escalation
        Somebody holds a role that changes hands only with confirmation, and that the actor may not take.
    """
    gate.need_command(tx, "delete_users")
    given = [(text, names.known_as(text)) for text in dict.fromkeys(users)]
    wanted = [name for _, name in given if name is not None and exists(tx, name)]
    unknown = [text for text, name in given if name is None or name not in wanted]
    if unknown:
        raise NotFound(f"not registered: {', '.join(f'`{show(one)}`' for one in unknown[:20])}")
    identities = [Identity.user(name) for name in dict.fromkeys(wanted)]
    giver = Giver.of(tx)
    places = []
    for identity in identities:
        for row in traces.assignments_of(tx, identity):
            role = tx.roles[row.role]
            places.append((role.name, row.scope))
            if not (role.protected and role.confirmed):
                continue
            missing = giver.missing_to_take(tx, role, row.scope, identity, in_file=True, creator=False)
            if missing:
                raise refuse(tx, "revoke", role.name, row.scope, missing, identity)
    held = holders.places_of(tx, identities)
    holders.check_without(tx, held, [one.name for one in identities])
    if pending.needed(tx, places):
        shown = ", ".join(f"`{one.name}`" for one in identities[:5])
        return pending.hold(tx, "delete-users", {"users": [one.name for one in identities]}, f"delete {shown}")
    with holders.kept(tx, held):
        for identity in identities:
            traces.erase(tx, identity, "user-deleted")
            tx.conn.execute(delete(_u).where(_u.c.name == identity.name))
            names.retire(tx, identity.name, NameKind.USER)
            wrote = recorded.rows(recorded.gone(_u, identity.name))
            tx.change("user", {"user": identity.name, "did": "delete", **wrote}, [str(identity)])
            tx.audit("user.deleted", details={"user": identity.name})
    deleted = [one.name for one in identities]
    return message(f"deleted {', '.join(f'`{one}`' for one in deleted)}", deleted=deleted)


def exists(tx: Read, name: str) -> bool:
    return tx.conn.execute(select(_u.c.id).where(_u.c.name == name)).first() is not None


def row_of(tx: Read, name: str) -> Any:
    """Return the row of a user; NotFound for anything that is not one."""
    canonical = names.known_as(name)
    row = None if canonical is None else tx.conn.execute(select(_u).where(_u.c.name == canonical)).first()
    if row is None:
        raise NotFound(f"there is no user `{show(name)}`", remedy="`list users` shows who is registered")
    return row


def is_local(tx: Read, name: str) -> bool:
    return kind_of(tx, row_of(tx, name).provider) == LOCAL


def kind_of(tx: Read, provider: str) -> str | None:
    return next((one.kind for one in tx.settings.providers if one.name == provider), None)


def known_provider(tx: Read, provider: str | None) -> str:
    """Return the provider of a registration; BadInput for one that is not configured."""
    chosen = provider or tx.settings.registration_provider
    allowed = [one.name for one in tx.settings.providers]
    if chosen not in allowed:
        raise BadInput(f"there is no provider `{show(chosen)}`", remedy=f"the providers are {', '.join(allowed)}")
    return chosen
