"""The system users file: `add users` and `alter users`, as a whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.names import names
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse_file, sentences, words
from aizen_hub.commands.result import Result, message
from aizen_hub.commands.users_files import Rows, UserEntry, read_users_file
from aizen_hub.problems import BadInput, Conflict, Fault
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_a = tables.assignments


def add(tx: Write, text: str) -> Result:
    """Register the users of a file with their system roles.

    Local accounts get activation links, which the answer shows once.

    Raises
    ------
    Denied
        The permission is missing.
    BadInput
        All faults of the file at once, each with its index and key.
    Escalation
        All roles that the actor may not give, each with its place.
    """
    gate.need_command(tx, "add_users")
    entries = read_users_file(text, tx.catalog, tx.roles, lambda rows: _faults_of_new(tx, rows))
    giver = Giver.of(tx)
    changes = [(index, role, True) for index, entry in enumerate(entries) for role in dict.fromkeys(entry.roles or ())]
    _check_powers(tx, giver, entries, changes)
    if pending.needed(tx, ((role, SYSTEM) for _, role, _ in changes)):
        return pending.hold(tx, "add-users", {"config": text}, f"add users: {_shown(entries)}")
    links, added = [], []
    for entry in entries:
        name = users.register(
            tx,
            entry.id,
            provider=entry.provider,
            display_name=entry.username or "",
            email=entry.email,
            phone=entry.phone,
            alerts=_alerts(entry) or {"email": False, "phone": False},
        )
        added.append(name)
        if users.is_local(tx, name):
            links.append({"user": name, **activation.issue(tx, name).to_json()})
    for index, role, _ in changes:
        assignments.put(tx, role, SYSTEM, Identity.user(added[index]), reason="users file")
    return message(f"registered {len(added)} user{'s' if len(added) != 1 else ''}", added=added, activations=links)


def alter(tx: Write, text: str) -> Result:
    """Update the users of a file; users that are not in it stay as they are.

    A ``roles`` key replaces a user's system roles, without one they stay.

    Raises
    ------
    Denied, BadInput, Escalation
        As for `add`.
    LastHolder
        A protected role would lose its last holder, counted after the whole file.
    """
    gate.need_command(tx, "alter_users")
    entries = read_users_file(text, tx.catalog, tx.roles, lambda rows: _faults_of_known(tx, rows))
    giver = Giver.of(tx)
    changes = []
    for index, entry in enumerate(entries):
        if entry.roles is not None:
            present = _system_roles(tx, entry.id)
            wanted = set(entry.roles)
            changes += [(index, role, True) for role in entry.roles if role not in present]
            changes += [(index, role, False) for role in sorted(present - wanted)]
    changes = list(dict.fromkeys(changes))
    _check_powers(tx, giver, entries, changes)
    if pending.needed(tx, ((role, SYSTEM) for _, role, _ in changes)):
        return pending.hold(tx, "alter-users", {"config": text}, f"alter users: {_shown(entries)}")
    with holders.kept(tx, [(role, SYSTEM) for _, role, gives in changes if not gives]):
        for entry in entries:
            name = names.canonical(entry.id)
            users.write(
                tx, name, display_name=entry.username, email=entry.email, phone=entry.phone, alerts=_alerts(entry)
            )
        for index, role, gives in changes:
            identity = Identity.user(names.canonical(entries[index].id))
            if gives:
                assignments.put(tx, role, SYSTEM, identity, reason="users file")
            else:
                assignments.remove(tx, role, SYSTEM, identity, reason="users file")
    altered = [names.canonical(entry.id) for entry in entries]
    given = [(entries[index].id, role) for index, role, gives in changes if gives]
    taken = [(entries[index].id, role) for index, role, gives in changes if not gives]
    return message(
        f"changed {len(altered)} users: {len(given)} roles given, {len(taken)} taken",
        altered=altered,
        given=given,
        taken=taken,
    )


def _faults_of_new(tx: Read, rows: Rows) -> list[Fault]:
    faults = []
    providers = tuple(one.name for one in tx.settings.providers)
    seen: dict[str, int] = {}
    for index, text, provider in rows:
        try:
            name = names.canonical(text)
            if names.skeleton(name) in seen:
                raise Conflict(f"it is, or looks like, the name at index {seen[names.skeleton(name)]}")
            seen[names.skeleton(name)] = index
            names.check_free(tx, name, names.NameKind.USER)
        except (BadInput, Conflict) as error:
            faults.append(Fault(f"/{index}/id", error.detail))
        if provider is not None and provider not in providers:
            faults.append(Fault(f"/{index}/provider", f"there is no provider `{show(provider)}`", providers))
    return faults


def _faults_of_known(tx: Read, rows: Rows) -> list[Fault]:
    faults = []
    seen: set[str] = set()
    for index, text, provider in rows:
        name = names.known_as(text)
        if name is None or not users.exists(tx, name):
            faults.append(Fault(f"/{index}/id", f"`{show(text)}` is not registered"))
            continue
        if name in seen:
            faults.append(Fault(f"/{index}/id", f"`{name}` stands in the file twice"))
        seen.add(name)
        if provider is not None and provider != users.row_of(tx, name).provider:
            faults.append(Fault(f"/{index}/provider", "a registration keeps its provider"))
    return faults


def _check_powers(
    tx: Write, giver: Giver, entries: Sequence[UserEntry], changes: Sequence[tuple[int, str, bool]]
) -> None:
    faults, lacking = [], set()
    for index, name, gives in changes:
        role, whom = tx.roles[name], Identity.user(names.canonical(entries[index].id))
        if gives:
            missing = giver.missing_to_give(tx, role, SYSTEM, whom, in_file=True)
        else:
            row = assignments.find(tx, name, SYSTEM, whom)
            creator = row is not None and row.creator
            missing = giver.missing_to_take(tx, role, SYSTEM, whom, in_file=True, creator=creator)
        if missing:
            verb = "grant" if gives else "take"
            faults.append(Fault(f"/{index}/roles", f"you may not {verb} {name}: {sentences(missing)}"))
            lacking |= set(words(missing))
    refuse_file(faults, lacking)


def _system_roles(tx: Read, user: str) -> set[str]:
    whom = f"user:{names.canonical(user)}"
    rows = tx.conn.execute(select(_a.c.role).where(_a.c.identity == whom, _a.c.scope == SYSTEM))
    return set(rows.scalars())


def _alerts(entry: UserEntry) -> dict[str, bool] | None:
    alerts: Any = entry.alerts
    if alerts is None:
        return None
    return {"email": bool(alerts.email), "phone": bool(alerts.phone)}


def _shown(entries: Sequence[UserEntry]) -> str:
    shown = ", ".join(show(entry.id) for entry in entries[:5])
    return shown if len(entries) <= 5 else f"{shown} and {len(entries) - 5} more"
