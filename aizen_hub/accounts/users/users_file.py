"""System users file: `add users` and `alter users`, applied completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.names import normalization, reservation
from aizen_hub.accounts.roles import assignments, last_holder
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, join_missing, missing_list, require_file_allowed
from aizen_hub.commands.result import Result, message_result
from aizen_hub.commands.users_files import Rows, UserEntry, alert_channels, read_users_file
from aizen_hub.problems import BadInput, Conflict, Fault
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

_a = tables.assignments
_NO_ALERTS: Mapping[str, bool] = {"email": False, "phone": False}
_MAX_SHOWN = 20


def add_users(tx: WriteTransaction, text: str, *, with_links: bool = True) -> Result:
    """Register the users of a file with their system roles.

    Parameters
    ----------
    with_links : bool
        Local accounts get activation links, returned once; otherwise they are created later.

    Raises
    ------
    Denied
        The permission is missing.
    BadInput
        All faults of the file at once, each with its index and key.
    Escalation
        All roles that the actor may not grant, each with its position.
    """
    entries = check_new_users(tx, text)
    changes = _new_grants(entries)
    if pending_changes.requires_confirmation(tx, ((role, SYSTEM) for _, role, _ in changes)):
        return pending_changes.submit(tx, "add-users", {"config": text}, f"add users: {_summarize(entries)}")
    links, added = [], []
    for entry in entries:
        name = registration.unauthorized_register_user(
            tx,
            entry.id,
            provider=entry.provider,
            display_name=entry.username or "",
            email=entry.email,
            phone=entry.phone,
            alerts=_alerts(entry) or _NO_ALERTS,
            gets_roles=bool(entry.roles),
        )
        added.append(name)
        if with_links and identities.is_local_user(tx, name):
            links.append({"user": name, **activation.issue_link(tx, name).to_json()})
    for index, role, _ in changes:
        assignments.unauthorized_write_assignment(tx, role, SYSTEM, Identity.user(added[index]), reason="users file")
    return message_result(
        f"registered {len(added)} user{'s' if len(added) != 1 else ''}", added=added, activations=links
    )


def check_new_users(tx: ActorTransaction, text: str) -> tuple[UserEntry, ...]:
    """Return the entries of a file for `add_users`, which would accept it; raises what `add_users` raises."""
    checks.require_command(tx, "add_users")
    entries = read_users_file(
        text, tx.catalog, tx.roles, lambda rows: _find_new_user_faults(tx, rows), _find_missing_addresses
    )
    _check_grants(tx, GrantAuthority.of_actor(tx), entries, _new_grants(entries))
    return entries


def _new_grants(entries: Sequence[UserEntry]) -> list[tuple[int, str, bool]]:
    return [(index, role, True) for index, entry in enumerate(entries) for role in dict.fromkeys(entry.roles or ())]


def alter_users(tx: WriteTransaction, text: str) -> Result:
    """Update the users of a file; users that are not in it stay as they are.

    A ``roles`` key replaces a user's system roles; without it they stay.

    Raises
    ------
    Denied, BadInput, Escalation
        As for `add_users`.
    LastHolder
        A protected role would lose its last holder, considering the whole file.
    """
    checks.require_command(tx, "alter_users")
    entries = read_users_file(
        text,
        tx.catalog,
        tx.roles,
        lambda rows: _find_known_user_faults(tx, rows),
        lambda index, row: _find_missing_addresses(index, row, _find_registration(tx, row["id"])),
    )
    profiles_before = {entry.id: identities.get_user(tx, normalization.canonical_name(entry.id)) for entry in entries}
    authority = GrantAuthority.of_actor(tx)
    changes = []
    for index, entry in enumerate(entries):
        if entry.roles is not None:
            current = _system_roles_of(tx, entry.id)
            wanted = set(entry.roles)
            changes += [(index, role, True) for role in entry.roles if role not in current]
            changes += [(index, role, False) for role in sorted(current - wanted)]
    changes = list(dict.fromkeys(changes))
    _check_grants(tx, authority, entries, changes)
    if pending_changes.requires_confirmation(tx, ((role, SYSTEM) for _, role, _ in changes)):
        _require_other_holders(tx, entries, changes)
        return pending_changes.submit(tx, "alter-users", {"config": text}, f"alter users: {_summarize(entries)}")
    with last_holder.last_holder_guard(tx, [(role, SYSTEM) for _, role, is_grant in changes if not is_grant]):
        for entry in entries:
            name = normalization.canonical_name(entry.id)
            profiles.write_profile(
                tx, name, display_name=entry.username, email=entry.email, phone=entry.phone, alerts=_alerts(entry)
            )
        for index, role, is_grant in changes:
            identity = Identity.user(normalization.canonical_name(entries[index].id))
            if is_grant:
                assignments.unauthorized_write_assignment(tx, role, SYSTEM, identity, reason="users file")
            else:
                assignments.unauthorized_delete_assignment(tx, role, SYSTEM, identity, reason="users file")
    altered = [normalization.canonical_name(entry.id) for entry in entries]
    granted = [(entries[index].id, role) for index, role, is_grant in changes if is_grant]
    revoked = [(entries[index].id, role) for index, role, is_grant in changes if not is_grant]
    alerts = {
        normalization.canonical_name(entry.id): channels
        for entry in entries
        if (channels := _alerts(entry)) is not None and channels != {**_NO_ALERTS, **profiles_before[entry.id].alerts}
    }
    return message_result(
        f"changed {len(altered)} user{'' if len(altered) == 1 else 's'}: "
        f"{len(granted)} roles granted, {len(revoked)} revoked{_describe_alerts(alerts)}",
        altered=altered,
        granted=granted,
        revoked=revoked,
        alerts=alerts,
    )


def _require_other_holders(
    tx: ReadTransaction, entries: Sequence[UserEntry], changes: Sequence[tuple[int, str, bool]]
) -> None:
    # A change that could never be confirmed is refused at once.
    for role in {role for _, role, is_grant in changes if not is_grant}:
        users: dict[bool, list[str]] = {True: [], False: []}
        for index, name, is_grant in changes:
            if name == role:
                users[is_grant].append(normalization.canonical_name(entries[index].id))
        last_holder.require_other_holder(tx, [(role, SYSTEM)], users[False], users[True])


def _find_new_user_faults(tx: ReadTransaction, rows: Rows) -> list[Fault]:
    faults = []
    providers = tuple(configured.name for configured in tx.settings.providers)
    seen: dict[str, int] = {}
    for index, text, provider in rows:
        try:
            name = normalization.canonical_name(text)
            if normalization.confusable_skeleton(name) in seen:
                raise Conflict(
                    f"it is, or looks like, the name at index {seen[normalization.confusable_skeleton(name)]}"
                )
            seen[normalization.confusable_skeleton(name)] = index
            reservation.require_name_available(tx, name, normalization.NameKind.USER)
        except (BadInput, Conflict) as error:
            # A fault has no remedy of its own, and a reserved name needs one.
            text = error.detail if error.remedy is None else f"{error.detail}; {error.remedy}"
            faults.append(Fault(f"/{index}/id", text))
        if provider is not None and provider not in providers:
            faults.append(Fault(f"/{index}/provider", f"there is no provider `{excerpt(provider)}`", providers))
    return faults


def _find_known_user_faults(tx: ReadTransaction, rows: Rows) -> list[Fault]:
    faults = []
    seen: set[str] = set()
    for index, text, provider in rows:
        name = normalization.canonical_or_none(text)
        if name is None or not identities.user_exists(tx, name):
            faults.append(Fault(f"/{index}/id", f"`{excerpt(text)}` is not registered"))
            continue
        if name in seen:
            faults.append(Fault(f"/{index}/id", f"`{name}` is in the file twice"))
        seen.add(name)
        if provider is not None and provider != identities.get_user(tx, name).provider:
            faults.append(Fault(f"/{index}/provider", "the provider of a registration cannot change"))
    return faults


def _find_missing_addresses(index: int, row: Mapping[str, Any], registered: Any = None) -> list[Fault]:
    channels = alert_channels(row.get("alerts"))
    missing = profiles.missing_addresses(
        {channel: value is True for channel, value in channels.items()},
        row.get("email") or getattr(registered, "email", None),
        row.get("phone") or getattr(registered, "phone", None),
    )
    in_list = isinstance(row.get("alerts"), list)
    return [Fault(f"/{index}/alerts{'' if in_list else '/' + channel}", text) for channel, text in missing.items()]


def _find_registration(tx: ReadTransaction, user: str) -> Any:
    name = normalization.canonical_or_none(user)
    return identities.get_user(tx, name) if name is not None and identities.user_exists(tx, name) else None


def _describe_alerts(alerts: Mapping[str, Mapping[str, bool]]) -> str:
    """Return the changed alert preferences as the end of a sentence; empty if none changed."""
    texts = [
        f"`{user}` {'by ' + ' and '.join(on) if (on := [name for name in channels if channels[name]]) else 'none'}"
        for user, channels in alerts.items()
    ]
    more = [f"{len(texts) - _MAX_SHOWN} more"] if len(texts) > _MAX_SHOWN else []
    return f"; alerts: {', '.join(texts[:_MAX_SHOWN] + more)}" if texts else ""


def _check_grants(
    tx: ActorTransaction,
    authority: GrantAuthority,
    entries: Sequence[UserEntry],
    changes: Sequence[tuple[int, str, bool]],
) -> None:
    faults, missing_rights = [], set()
    for index, name, is_grant in changes:
        role, user = tx.roles[name], Identity.user(normalization.canonical_name(entries[index].id))
        if is_grant:
            missing = authority.missing_to_grant(tx, role, SYSTEM, user, in_file=True)
        else:
            row = assignments.find_assignment(tx, name, SYSTEM, user)
            is_creator = row is not None and row.creator
            missing = authority.missing_to_revoke(tx, role, SYSTEM, user, in_file=True, creator=is_creator)
        if missing:
            verb = "grant" if is_grant else "revoke"
            faults.append(Fault(f"/{index}/roles", f"you may not {verb} {name}: {join_missing(missing)}"))
            missing_rights |= set(missing_list(missing))
    require_file_allowed(faults, missing_rights)


def _system_roles_of(tx: ReadTransaction, user: str) -> set[str]:
    identity = f"user:{normalization.canonical_name(user)}"
    rows = tx.conn.execute(select(_a.c.role).where(_a.c.identity == identity, _a.c.scope == SYSTEM))
    return set(rows.scalars())


def _alerts(entry: UserEntry) -> dict[str, bool] | None:
    alerts: Any = entry.alerts
    if alerts is None:
        return None
    return {"email": bool(alerts.email), "phone": bool(alerts.phone)}


def _summarize(entries: Sequence[UserEntry]) -> str:
    summary = ", ".join(excerpt(entry.id) for entry in entries[:5])
    return summary if len(entries) <= 5 else f"{summary} and {len(entries) - 5} more"
