"""Members of a project as one file, replaced completely or not at all (project users file)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from aizen_hub.accounts import pending_changes
from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.projects import lookup, member_names
from aizen_hub.accounts.roles import assignments, last_holder
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import GrantAuthority, join_missing, missing_list, require_file_allowed
from aizen_hub.commands.result import Result, message_result
from aizen_hub.commands.users_files import GROUP_PREFIX, MemberEntry, read_project_file
from aizen_hub.problems import BadInput, Fault, Stale
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import Role
from aizen_hub.store import tables
from aizen_hub.validation import strict_json
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_MAX_SHOWN = 20
_a = tables.assignments
_alerts = tables.project_alerts
_p = tables.projects
WantedMembers = Mapping[str, MemberEntry]


def replace_members(tx: WriteTransaction, name: str, text: str, *, if_match: int | None = None) -> Result:
    """Replace users, roles and alert services of a project completely, by granting and revoking.

    A group is a member as ``group:NAME``. Roles of groups that the file does not name stay, and so do those of mapping
    rules and of service accounts; an entry with empty ``roles`` takes a group's. A role that stays keeps its interval.

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


def change_confirmed_members(tx: WriteTransaction, arguments: Mapping[str, Any]) -> Result:
    """Apply the file of a pending change that was confirmed; the project must be as it was when that was requested.

    Raises the errors of `replace_members`.
    """
    name = arguments["name"]
    checks.require_visible_project(tx, name)
    checks.require_command(tx, "alter_project", name)
    _check_version(tx, name, arguments["version"])
    return _apply_file(tx, name, arguments["config"], keep_others=arguments["keep_others"])


def add_members(tx: WriteTransaction, project: str, text: str) -> Result:
    """Grant the members of a file their roles in a new project; roles that its creator has there stay."""
    return _apply_file(tx, project, text, keep_others=True)


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
    """Return the users and groups of a project in the form of its users file, without the roles of mapping rules."""
    members: dict[str, dict[str, Any]] = {}

    def member(name: str) -> dict[str, Any]:
        return members.setdefault(name, {"id": name, "roles": [], "alerts": []})

    rows = tx.conn.execute(select(_a.c.identity, _a.c.role).where(_of_file(project)).order_by(_a.c.identity, _a.c.role))
    for row in rows:
        member(member_names.member_id(row.identity))["roles"].append(row.role)
    for row in tx.conn.execute(select(_alerts).where(_alerts.c.project == project).order_by(_alerts.c.service)):
        member(row.user)["alerts"].append(row.service)
    return [members[name] for name in sorted(members)]


def _apply_file(tx: WriteTransaction, project: str, text: str, *, keep_others: bool) -> Result:
    entries = read_project_file(text, tx.catalog, tx.roles, lambda rows: member_names.find_faults(tx, rows))
    members = {identity: entries[index] for identity, index in member_names.index_members(entries).items()}
    wanted = {identity.name: entry for identity, entry in members.items() if identity.kind is IdentityKind.USER}
    authority = GrantAuthority.of_actor(tx)
    named_groups = {str(identity) for identity in members if identity.kind is IdentityKind.GROUP}
    rows = [
        row
        for row in tx.conn.execute(select(_a).where(_of_file(project))).all()
        if row.identity in named_groups or not row.identity.startswith(GROUP_PREFIX)
    ]
    current_grants = {(row.identity, row.role) for row in rows}
    wanted_grants = {(str(identity), role) for identity, entry in members.items() for role in entry.roles}
    added = sorted(wanted_grants - current_grants)
    removed = [] if keep_others else sorted(current_grants - wanted_grants)
    _check_grants(
        tx, authority, project, entries, added, [row for row in rows if (row.identity, row.role) in set(removed)]
    )
    if pending_changes.requires_confirmation(tx, {(role, project) for _, role in [*added, *removed]}):
        for role in {role for _, role in removed}:
            users_of = [[name for name, other in changed if other == role] for changed in (removed, added)]
            # A change that could never be confirmed is refused at once.
            last_holder.require_other_holder(
                tx, [(role, project)], *([name.removeprefix("user:") for name in names] for names in users_of)
            )
        # The roles that are granted until it is confirmed are not in the file, and would be revoked.
        version = tx.conn.execute(select(_p.c.version).where(_p.c.name == project)).scalar_one()
        arguments = {"name": project, "config": text, "keep_others": keep_others, "version": version}
        return pending_changes.submit(tx, "alter-project", arguments, f"alter project {project}")
    with last_holder.last_holder_guard(tx, [(role, project) for _, role in removed]):
        for identity, role in removed:
            assignments.unauthorized_delete_assignment(
                tx, role, project, Identity.parse(identity), reason="project users file"
            )
        for identity, role in added:
            assignments.unauthorized_write_assignment(
                tx, role, project, Identity.parse(identity), reason="project users file"
            )
    subscribed, unsubscribed = _write_alerts(tx, project, wanted, keep_others)
    version = _update_version(tx, project)
    alert_texts = [
        *_describe_alerts("alerts added for ", subscribed),
        *_describe_alerts("alerts removed for ", unsubscribed),
        *_describe_unreachable(tx, {user for user, _ in subscribed}),
    ]
    return message_result(
        "; ".join([f"`{project}`: {len(added)} roles granted, {len(removed)} revoked", *alert_texts]),
        project=project,
        version=version,
        granted=[list(grant) for grant in added],
        revoked=[list(grant) for grant in removed],
        alerts={"added": [list(pair) for pair in subscribed], "removed": [list(pair) for pair in unsubscribed]},
    )


def _of_file(project: str) -> ColumnElement[bool]:
    """Return the condition for the assignments in a project that its users file describes."""
    direct_group = and_(_a.c.identity.like(f"{GROUP_PREFIX}%"), _a.c.mapped.is_(False))
    return and_(_a.c.scope == project, or_(_a.c.identity.like("user:%"), direct_group))


def _check_grants(
    tx: WriteTransaction,
    authority: GrantAuthority,
    project: str,
    entries: Sequence[MemberEntry],
    added: Sequence[tuple[str, str]],
    removed: Sequence[Any],
) -> None:
    entry_index = {str(identity): index for identity, index in member_names.index_members(entries).items()}
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


def _write_alerts(
    tx: WriteTransaction, project: str, wanted: WantedMembers, keep_others: bool
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Write who is alerted by which services; return the pairs of user and service that were added and removed."""
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
    return sorted(after - before), sorted(removed)


def _describe_alerts(what: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    texts = [
        f"`{user}` ({', '.join(service for _, service in of_user)})"
        for user, of_user in groupby(pairs, key=lambda pair: pair[0])
    ]
    return [what + _join_some(texts)] if texts else []


def _describe_unreachable(tx: ReadTransaction, users: Collection[str]) -> list[str]:
    u = tables.users
    rows = tx.conn.execute(select(u.c.name, u.c.email, u.c.phone).where(u.c.name.in_(sorted(users))).order_by(u.c.name))
    names = [f"`{row.name}`" for row in rows if not (row.email or row.phone)]
    return [f"no alert can reach {_join_some(names)}: no e-mail address or phone number is registered"] if names else []


def _join_some(texts: Sequence[str]) -> str:
    more = [f"{len(texts) - _MAX_SHOWN} more"] if len(texts) > _MAX_SHOWN else []
    return ", ".join([*texts[:_MAX_SHOWN], *more])


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
