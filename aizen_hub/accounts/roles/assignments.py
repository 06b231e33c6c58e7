"""Granting and revoking of roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.identities import require_identity
from aizen_hub.accounts.roles import assignment_alerts, last_holder, request_settlement
from aizen_hub.accounts.roles.lookup import custom_role_versions, get_roles
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, escalation_error, format_names
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import BadInput, Conflict, NotFound, ProjectRequired, Stale
from aizen_hub.rbac import messages
from aizen_hub.rbac.assignment import ALWAYS, Interval
from aizen_hub.rbac.escalation import MissingRightKind
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import SYSTEM, Role, ScopeKind, project_of
from aizen_hub.store import tables
from aizen_hub.validation.end_time import describe_end
from aizen_hub.wording import NAME_PROJECT

if TYPE_CHECKING:
    from sqlalchemy import Row

    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction, WriteTransaction

_a, _rows = tables.assignments, tables.assignment_rows


def grant_roles(
    tx: WriteTransaction,
    roles: Sequence[str],
    scope: str | None,
    grantee: Identity,
    *,
    interval: Interval = ALWAYS,
    reason: str = "",
    in_file: bool = False,
    confirmed: bool = False,
    versions: Mapping[str, int] | None = None,
) -> Result:
    """Grant roles to an identity.

    A role that the actor does not have, for a service account that the actor controls, waits for the confirmation of a
    second user who may grant it.

    Parameters
    ----------
    scope : str or None
        The project for project roles, None if none is set; a role that exists only in the system is granted there.
    interval : Interval
        From when (inclusive) until when (exclusive); the answer shows the end in the zone in which it is given.
    confirmed : bool
        This executes a pending change, so it cannot wait for a second user.
    versions : mapping of str to int, optional
        The versions of the custom roles among them when the change was requested.

    Raises
    ------
    BadInput
        Unknown role, a role that does not exist in that scope, an empty interval.
    NotFound
        The identity or the project does not exist for the actor.
    Escalation
        The actor may not grant this; lists what is missing and who could.
    LastHolder
        The new interval would end the last permanent assignment of a protected role.
    Stale
        A custom role was changed since the change was requested.
    """
    check_interval(tx, interval)
    until = "" if interval.ends is None else f" until {describe_end(interval.ends)}"
    interval = interval.to_utc()
    grants = [(role, resolve_scope(tx, role, scope)) for role in get_roles(tx, roles)]
    present_versions = custom_role_versions(tx, [role.name for role, _ in grants])
    if versions is not None and versions != present_versions:
        changed = sorted(dict(versions.items() ^ present_versions.items()))
        raise Stale(f"{', '.join(changed)} was changed in between", remedy="reject the change, and request it again")
    authority, by_second_person, able = GrantAuthority.of_actor(tx), False, ""
    for role, role_scope in grants:
        _check_shortening(tx, authority, role, role_scope, grantee, interval, in_file)
        missing = authority.missing_to_grant(tx, role, role_scope, grantee, in_file=in_file, ends=interval.ends)
        needs_second_person = any(right.kind is MissingRightKind.SECOND_PERSON for right in missing)
        if missing and (confirmed or not needs_second_person):
            raise escalation_error(tx, "grant", role.name, role_scope, missing, grantee)
        if needs_second_person:
            by_second_person = True
            names = who_can_grant(tx, role.name, role_scope, recipient=grantee, besides=(tx.actor.identity,))
            able = f", such as {format_names(names)}" if names else ""
    # Only now: those who may not grant do not learn who exists (R72).
    require_identity(tx, grantee)
    summary = f"grant {', '.join(roles)} to `{grantee}`"
    if by_second_person:
        summary += f", to be confirmed by a second user who may grant it{able}: the requester controls this account"
    if pending_changes.requires_confirmation(
        tx, ((role.name, role_scope) for role, role_scope in grants), second_person=by_second_person
    ):
        if interval.ends is not None or (interval.starts is not None and interval.starts > tx.now):
            _require_other_holder(tx, grants, grantee)
        arguments: dict[str, object] = {"roles": list(roles), "scope": scope, "to": str(grantee), "reason": reason}
        arguments |= {
            "in_file": in_file,
            **interval_to_json(interval),
            "second_person": by_second_person,
            "versions": present_versions,
        }
        return pending_changes.submit(tx, "grant", arguments, summary)
    granted = []
    with last_holder.last_holder_guard(tx, [(role.name, role_scope) for role, role_scope in grants]):
        for role, role_scope in grants:
            if unauthorized_write_assignment(tx, role.name, role_scope, grantee, interval=interval, reason=reason):
                granted.append(role.name)
    if not granted:
        return message_result(f"`{grantee.name}` already has {', '.join(role.name for role, _ in grants)}", granted=[])
    sentence = f"granted {', '.join(granted)} to `{grantee.name}`{until}"
    return message_result(sentence, granted=granted, identity=str(grantee))


def revoke_roles(
    tx: WriteTransaction,
    roles: Sequence[str],
    scope: str | None,
    holder: Identity,
    *,
    reason: str = "",
    in_file: bool = False,
) -> Result:
    """Revoke roles of an identity; raises as `grant_roles` does, and NotFound for a role that it does not have.

    A revocation that could never be confirmed, since it concerns the last holder, is refused at once.
    """
    grants = [(role, resolve_scope(tx, role, scope)) for role in get_roles(tx, roles)]
    authority = GrantAuthority.of_actor(tx)
    for role, role_scope in grants:
        row = find_assignment(tx, role.name, role_scope, holder)
        is_creator = row is not None and row.creator
        missing = authority.missing_to_revoke(tx, role, role_scope, holder, in_file=in_file, creator=is_creator)
        if missing:
            raise escalation_error(tx, "revoke", role.name, role_scope, missing, holder)
        if row is None:
            if checks.is_allowed(tx, checks.endpoint_permission(tx, "users"), SYSTEM):
                require_identity(tx, holder)  # others do not learn who exists (R72)
            raise NotFound(
                f"`{holder.name}` has no direct assignment of {role.name} in {messages.describe_scope(role_scope)}",
                remedy=_inherited_remedy(tx, role, holder),
            )
        if row.mapped:
            raise Conflict(
                f"a mapping rule grants {role.name} to `{holder.name}`, and would do so again",
                remedy="delete the rule, or remove the users from the group at its provider",
            )
    if pending_changes.requires_confirmation(tx, ((role.name, role_scope) for role, role_scope in grants)):
        _require_other_holder(tx, grants, holder)
        arguments = {"roles": list(roles), "scope": scope, "from": str(holder), "reason": reason}
        return pending_changes.submit(tx, "revoke", arguments, f"revoke {', '.join(roles)} from `{holder}`")
    with last_holder.last_holder_guard(tx, [(role.name, role_scope) for role, role_scope in grants]):
        for role, role_scope in grants:
            unauthorized_delete_assignment(tx, role.name, role_scope, holder, reason=reason)
    names = [role.name for role, _ in grants]
    return message_result(f"revoked {', '.join(names)} from `{holder.name}`", revoked=names, identity=str(holder))


def find_assignment(tx: ReadTransaction, role: str, scope: str, identity: Identity) -> Row[tuple[object, ...]] | None:
    return tx.conn.execute(
        select(_a).where(_a.c.role == role, _a.c.scope == scope, _a.c.identity == str(identity))
    ).first()


def unauthorized_write_assignment(
    tx: WriteTransaction,
    role: str,
    scope: str,
    grantee: Identity,
    *,
    interval: Interval = ALWAYS,
    reason: str = "",
    creator: bool = False,
    mapped: bool = False,
) -> bool:
    """Insert or change one assignment, without an authorization check; return whether anything changed.

    ``mapped`` marks an assignment of a mapping rule; a grant that a user makes too stays when the rule goes.
    """
    row = find_assignment(tx, role, scope, grantee)
    if row is not None and (row.starts, row.ends) == (interval.starts, interval.ends) and (mapped or not row.mapped):
        return False
    values = {
        "mapped": mapped,
        "starts": interval.starts,
        "ends": interval.ends,
        "reason": reason,
        "granted_by": str(tx.actor.identity),
        "granted": tx.now,
        "revision": tx.revision,
    }
    if row is not None:
        tx.conn.execute(update(_rows).where(_rows.c.id == row.id).values(**values))
        assignment_id = row.id
    else:
        tx.conn.execute(insert(_rows).values(role=role, scope=scope, identity=str(grantee), creator=creator, **values))
        assignment_id = tx.conn.execute(
            select(_a.c.id).where(_a.c.role == role, _a.c.scope == scope, _a.c.identity == str(grantee))
        ).scalar_one()
    payload = {
        "assignment": assignment_id,
        "role": role,
        "scope": scope,
        "identity": str(grantee),
        "reason": reason,
        **interval_to_json(interval),
        "mapped": mapped,
    }
    if row is None:
        payload["creator"] = creator
    tx.record_change("grant", payload, [str(grantee)])
    _update_project_version(tx, scope)
    before = None if row is None else Interval(row.starts, row.ends)
    details = {**payload, **former_times(before, interval)}
    tx.audit("role.granted", project=project_of(scope), target=str(grantee), details=details)
    assignment_alerts.alert_of_grant(tx, role, scope, grantee, reason, interval.ends)
    request_settlement.settle_granted_requests(tx, role, scope, grantee, interval, before)
    return True


def former_times(before: Interval | None, interval: Interval) -> dict[str, str | bool | None]:
    """Return what the audit tells of the times that an assignment had before; nothing of a new one."""
    if before is None or before == interval:
        return {}
    old, new = interval_to_json(before), interval_to_json(interval)
    former: dict[str, str | bool | None] = {
        f"former-{name}": value for name, value in old.items() if value != new[name]
    }
    if "former-until" in former:
        former["changed"] = True
    return former


def unauthorized_delete_assignment(
    tx: WriteTransaction, role: str, scope: str, holder: Identity, *, reason: str = ""
) -> bool:
    """Delete one assignment, without an authorization check; return whether there was one."""
    row = find_assignment(tx, role, scope, holder)
    if row is None:
        return False
    tx.conn.execute(delete(_rows).where(_rows.c.id == row.id))
    payload = {"assignment": row.id, "role": role, "scope": scope, "identity": str(holder), "reason": reason}
    tx.record_change("revoke", payload, [str(holder)])
    _update_project_version(tx, scope)
    tx.audit("role.revoked", project=project_of(scope), target=str(holder), details=payload)
    assignment_alerts.alert_of_revocation(tx, role, scope, holder, reason)
    return True


def _update_project_version(tx: WriteTransaction, scope: str) -> None:
    # A file exported before this change is stale (T-48).
    if scope != SYSTEM:
        projects = tables.projects
        tx.conn.execute(update(projects).where(projects.c.name == scope).values(version=tx.revision))


def resolve_scope(tx: ActorTransaction, role: Role, scope: str | None) -> str:
    """Return the scope in which the role is to be granted: the system for a role that exists only there.

    Raises
    ------
    ProjectRequired
        A project role, and no project is set.
    NotFound
        The project does not exist for the actor.
    BadInput
        The role does not exist in that scope.
    """
    if scope is None or scope == SYSTEM:
        if ScopeKind.SYSTEM in role.scopes:
            return SYSTEM
        if scope == SYSTEM:
            raise BadInput(f"{role.name} is a project role and cannot be granted in the system")
        raise ProjectRequired(f"{role.name} is a project role", remedy=NAME_PROJECT)
    if ScopeKind.PROJECT not in role.scopes:
        return SYSTEM
    checks.require_visible_project(tx, scope)
    return scope


def check_interval(tx: ReadTransaction, interval: Interval) -> None:
    """Refuse an interval that is empty or over."""
    if interval.ends is not None and interval.ends <= (interval.starts or tx.now):
        raise BadInput("the assignment would end before it begins, or has ended already")


def shortens(tx: ReadTransaction, interval: Interval, before: Interval) -> bool:
    """Return whether a new interval of an assignment takes something away, from now on."""
    if interval.ends is not None and (before.ends is None or interval.ends < before.ends):
        return True
    later_start = interval.starts is not None and (before.starts is None or before.starts < interval.starts)
    return later_start and interval.starts is not None and interval.starts > tx.now


def _check_shortening(
    tx: WriteTransaction,
    authority: GrantAuthority,
    role: Role,
    scope: str,
    grantee: Identity,
    interval: Interval,
    in_file: bool,
) -> None:
    # Granting again with a shorter interval takes something away, so it needs the right to revoke.
    row = find_assignment(tx, role.name, scope, grantee)
    if row is None:
        return
    if not shortens(tx, interval, Interval(row.starts, row.ends)):
        return
    missing = authority.missing_to_revoke(tx, role, scope, grantee, in_file=in_file, creator=row.creator)
    if missing:
        raise escalation_error(tx, "revoke", role.name, scope, missing, grantee)
    if row.creator and interval.ends is not None and authority.rights is None:
        raise Conflict(f"the {role.name} of the project's creator cannot have an end")


def _require_other_holder(tx: ReadTransaction, grants: Sequence[tuple[Role, str]], holder: Identity) -> None:
    # A change that could never be confirmed is refused at once.
    if holder.kind is IdentityKind.USER:
        last_holder.require_other_holder(tx, [(role.name, scope) for role, scope in grants], [holder.name])


def _inherited_remedy(tx: ReadTransaction, role: Role, identity: Identity) -> str | None:
    groups = [str(group) for group in checks.transitive_groups(tx, identity)]
    row = tx.conn.execute(select(_a.c.identity).where(_a.c.role == role.name, _a.c.identity.in_(groups))).first()
    return f"the role comes through `{row.identity}`: revoke it from the group, or remove the member" if row else None


def interval_to_json(interval: Interval) -> dict[str, str | None]:
    """Return an interval as change records and audit rows hold it."""
    return {
        "from": interval.starts.isoformat() if interval.starts else None,
        "until": interval.ends.isoformat() if interval.ends else None,
    }


def parse_time(text: str | None) -> datetime | None:
    """Parse a time as `grant_roles` stores it in a pending change."""
    return None if text is None else datetime.fromisoformat(text)
