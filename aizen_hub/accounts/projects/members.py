"""Members of a project as one file, replaced completely or not at all (project users file)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.projects import lookup
from aizen_hub.accounts.roles import assignments, last_holder
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, join_missing, missing_list, require_file_allowed
from aizen_hub.commands.result import Result, message_result
from aizen_hub.commands.users_files import MemberEntry, Rows, read_project_file
from aizen_hub.problems import BadInput, Fault, Stale
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import Role
from aizen_hub.store import tables
from aizen_hub.validation import strict_json
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_a = tables.assignments
_alerts = tables.project_alerts
_p = tables.projects
WantedMembers = Mapping[str, MemberEntry]


def replace_members(tx: WriteTransaction, name: str, text: str, *, if_match: int | None = None) -> Result:
    """Replace users, roles and alert services of a project completely, by granting and revoking.

    Roles of groups and service accounts are not part of the file and stay. A role that stays keeps its interval.

    Parameters
    ----------
    text : str
        The project users file.
    if_match : int, optional
        The version that the file was made from (T-48).

    Raises
    ------
    NotFound, Denied
        The project does not exist for the actor; the permission is missing.
    Stale
        The project was changed in between.
    BadInput
        All faults of the file at once, each with its index and key.
    Escalation
        All roles that the actor may not grant or revoke, each with its position in the file.
    LastHolder
        The file leaves the project without an admin.
    """
    canonical = normalization.canonical_or_none(name, NameKind.PROJECT) or ""
    checks.require_visible_project(tx, canonical)
    checks.require_command(tx, "alter_project", canonical)
    _check_version(tx, canonical, if_match)
    return _apply_file(tx, canonical, text, keep_others=False)


def add_members(tx: WriteTransaction, project: str, text: str) -> None:
    """Grant the members of a file their roles in a new project; roles that its creator has there stay."""
    _apply_file(tx, project, text, keep_others=True)


def import_project(tx: WriteTransaction, name: str, text: str, *, if_match: int | None = None) -> Result:
    """Import what `queries.export_project` returned; its ``version`` must be current, unless it is left out.

    A plain list is read as a project users file.
    """
    canonical = normalization.canonical_or_none(name, NameKind.PROJECT) or ""
    checks.require_visible_project(tx, canonical)
    checks.require_command(tx, "importconfig_project", canonical)
    value = strict_json.loads(text)
    if isinstance(value, list):
        _check_version(tx, canonical, if_match)
        return _apply_file(tx, canonical, text, keep_others=False)
    _check_shape(value, canonical)
    _check_version(tx, canonical, value.get("version") if if_match is None else if_match)
    if "description" in value:
        lookup.set_project_description(tx, canonical, value["description"])
    if "members" not in value:
        return message_result(
            f"imported the configuration of `{canonical}`", project=canonical, version=_update_version(tx, canonical)
        )
    return _apply_file(tx, canonical, json.dumps(value["members"], ensure_ascii=False), keep_others=False)


def list_members(tx: ReadTransaction, project: str) -> list[dict[str, Any]]:
    """Return the users of a project in the form of its users file."""
    members: dict[str, dict[str, Any]] = {}

    def member(name: str) -> dict[str, Any]:
        return members.setdefault(name, {"id": name, "roles": [], "alerts": []})

    rows = tx.conn.execute(
        select(_a.c.identity, _a.c.role).where(_a.c.scope == project).order_by(_a.c.identity, _a.c.role)
    )
    for row in rows:
        kind, _, name = row.identity.partition(":")
        if kind == "user":
            member(name)["roles"].append(row.role)
    for row in tx.conn.execute(select(_alerts).where(_alerts.c.project == project).order_by(_alerts.c.service)):
        member(row.user)["alerts"].append(row.service)
    return [members[name] for name in sorted(members)]


def _apply_file(tx: WriteTransaction, project: str, text: str, *, keep_others: bool) -> Result:
    entries = read_project_file(text, tx.catalog, tx.roles, lambda rows: _find_faults(tx, rows))
    wanted = {normalization.canonical_name(entry.id): entry for entry in entries}
    authority = GrantAuthority.of_actor(tx)
    rows = tx.conn.execute(select(_a).where(_a.c.scope == project, _a.c.identity.like("user:%"))).all()
    current_grants = {(row.identity, row.role) for row in rows}
    wanted_grants = {(f"user:{name}", role) for name, entry in wanted.items() for role in entry.roles}
    added = sorted(wanted_grants - current_grants)
    removed = [] if keep_others else sorted(current_grants - wanted_grants)
    _check_grants(
        tx, authority, project, entries, added, [row for row in rows if (row.identity, row.role) in set(removed)]
    )
    if pending_changes.requires_confirmation(tx, {(role, project) for _, role in [*added, *removed]}):
        return pending_changes.submit(
            tx, "alter-project", {"name": project, "config": text}, f"alter project {project}"
        )
    with last_holder.last_holder_guard(tx, [(role, project) for _, role in removed]):
        for identity, role in removed:
            assignments.delete_assignment(tx, role, project, Identity.parse(identity), reason="project users file")
        for identity, role in added:
            assignments.write_assignment(tx, role, project, Identity.parse(identity), reason="project users file")
    _write_alerts(tx, project, wanted, keep_others)
    version = _update_version(tx, project)
    return message_result(
        f"`{project}`: {len(added)} roles granted, {len(removed)} revoked",
        project=project,
        version=version,
        given=[list(grant) for grant in added],
        taken=[list(grant) for grant in removed],
    )


def _find_faults(tx: ReadTransaction, rows: Rows) -> list[Fault]:
    seen: set[str] = set()
    faults = []
    for index, text, _ in rows:
        name = normalization.canonical_or_none(text)
        if name is None or not identities.user_exists(tx, name):
            faults.append(Fault(f"/{index}/id", f"`{excerpt(text)}` is not registered"))
        elif name in seen:
            faults.append(Fault(f"/{index}/id", f"`{name}` is in the file twice"))
        else:
            seen.add(name)
    return faults


def _check_grants(
    tx: WriteTransaction,
    authority: GrantAuthority,
    project: str,
    entries: Sequence[MemberEntry],
    added: Sequence[tuple[str, str]],
    removed: Sequence[Any],
) -> None:
    entry_index = {f"user:{normalization.canonical_or_none(entry.id)}": index for index, entry in enumerate(entries)}
    faults, missing_rights = [], set()
    for identity, name in added:
        index = entry_index[identity]
        missing = authority.missing_to_grant(tx, tx.roles[name], project, Identity.parse(identity), in_file=False)
        if missing:
            role_index = entries[index].roles.index(name)
            faults.append(Fault(f"/{index}/roles/{role_index}", f"you may not grant {name}: {join_missing(missing)}"))
            missing_rights |= set(missing_list(missing))
    for row in removed:
        role: Role = tx.roles[row.role]
        missing = authority.missing_to_revoke(
            tx, role, project, Identity.parse(row.identity), in_file=False, creator=row.creator
        )
        if missing:
            pointer = f"/{entry_index[row.identity]}/roles" if row.identity in entry_index else ""
            user = row.identity.partition(":")[2]
            faults.append(Fault(pointer, f"you may not revoke {role.name} from `{user}`: {join_missing(missing)}"))
            missing_rights |= set(missing_list(missing))
    require_file_allowed(faults, missing_rights)


def _write_alerts(tx: WriteTransaction, project: str, wanted: WantedMembers, keep_others: bool) -> None:
    after = {(name, service) for name, entry in wanted.items() for service in entry.alerts}
    rows = tx.conn.execute(select(_alerts.c.user, _alerts.c.service).where(_alerts.c.project == project)).all()
    before = {(row.user, row.service) for row in rows}
    for user, service in sorted(after - before):
        tx.conn.execute(insert(_alerts).values(project=project, user=user, service=service))
    removed = set() if keep_others else before - after
    for user, service in sorted(removed):
        tx.conn.execute(
            delete(_alerts).where(_alerts.c.project == project, _alerts.c.user == user, _alerts.c.service == service)
        )
    if after - before or removed:
        tx.record_change("alerts", {"project": project, "added": len(after - before), "removed": len(removed)}, [])
        tx.audit("alerts.changed", project=project)


def _update_version(tx: WriteTransaction, project: str) -> int:
    tx.record_change("project", {"project": project, "did": "alter"}, [f"project:{project}"])
    tx.conn.execute(update(_p).where(_p.c.name == project).values(version=tx.revision))
    return tx.revision


def _check_version(tx: ReadTransaction, project: str, if_match: object) -> None:
    if if_match is None:
        return
    version = tx.conn.execute(select(_p.c.version).where(_p.c.name == project)).scalar_one()
    if if_match != version:
        raise Stale(
            f"`{project}` was changed in between",
            remedy="export it again and repeat your change",
            extensions={"version": version},
        )


def _check_shape(value: object, project: str) -> None:
    allowed = ("project", "description", "version", "members")
    if not isinstance(value, dict):
        raise BadInput("expected the object that `exportconfig project` shows, or a list of members")
    faults = [Fault(f"/{excerpt(key)}", "unknown key", allowed) for key in value if key not in allowed]
    if "project" in value and value["project"] != project:
        faults.append(Fault("/project", f"this is the configuration of another project, not of `{project}`"))
    if not isinstance(value.get("description", ""), str):
        faults.append(Fault("/description", "expected text"))
    if type(value.get("version", 0)) is not int:
        faults.append(Fault("/version", "expected a whole number"))
    if not isinstance(value.get("members", []), list):
        faults.append(Fault("/members", "expected a list"))
    if faults:
        raise BadInput("the configuration has faults, so nothing was changed", faults=faults)
