"""The members of a project as one file: replaced as a whole, or not at all (reference of the project users file)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.roles import last_holder as holders
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse_file, sentences, words
from aizen_hub.commands.result import Result, message
from aizen_hub.commands.users_files import MemberEntry, Rows, read_project_file
from aizen_hub.problems import BadInput, Fault, Stale
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import Role
from aizen_hub.store import tables
from aizen_hub.validation import strict_json
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write

_a = tables.assignments
_alerts = tables.project_alerts
_p = tables.projects
Wanted = Mapping[str, MemberEntry]


def replace(tx: Write, name: str, text: str, *, if_match: int | None = None) -> Result:
    """Replace users, roles and alert services of a project in their entirety: it grants and revokes.

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
        Somebody changed the project in between.
    BadInput
        All faults of the file at once, each with its index and key.
    Escalation
        All roles that the actor may not give or take, each with its place in the file.
    LastHolder
        The file leaves the project without an admin.
    """
    canonical = names.known_as(name, NameKind.PROJECT) or ""
    gate.need_project(tx, canonical)
    gate.need_command(tx, "alter_project", canonical)
    _check_version(tx, canonical, if_match)
    return _apply(tx, canonical, text, keep_others=False)


def add(tx: Write, project: str, text: str) -> None:
    """Give the members of a file their roles in a project that was just made; who made it keeps what they have."""
    _apply(tx, project, text, keep_others=True)


def restore(tx: Write, name: str, text: str, *, if_match: int | None = None) -> Result:
    """Import what `projects.export` returned; its ``version`` must be the present one, unless it is left out.

    A plain list is read as a project users file.
    """
    canonical = names.known_as(name, NameKind.PROJECT) or ""
    gate.need_project(tx, canonical)
    gate.need_command(tx, "importconfig_project", canonical)
    value = strict_json.loads(text)
    if isinstance(value, list):
        _check_version(tx, canonical, if_match)
        return _apply(tx, canonical, text, keep_others=False)
    _check_shape(value, canonical)
    _check_version(tx, canonical, value.get("version") if if_match is None else if_match)
    if "description" in value:
        projects.describe(tx, canonical, value["description"])
    if "members" not in value:
        return message(f"imported the configuration of `{canonical}`", project=canonical, version=_touch(tx, canonical))
    return _apply(tx, canonical, json.dumps(value["members"], ensure_ascii=False), keep_others=False)


def listed(tx: Read, project: str) -> list[dict[str, Any]]:
    """Return the users of a project as its file has them."""
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


def _apply(tx: Write, project: str, text: str, *, keep_others: bool) -> Result:
    entries = read_project_file(text, tx.catalog, tx.roles, lambda rows: _faults_of(tx, rows))
    wanted = {names.canonical(entry.id): entry for entry in entries}
    giver = Giver.of(tx)
    rows = tx.conn.execute(select(_a).where(_a.c.scope == project, _a.c.identity.like("user:%"))).all()
    present = {(row.identity, row.role) for row in rows}
    target = {(f"user:{name}", role) for name, entry in wanted.items() for role in entry.roles}
    given = sorted(target - present)
    taken = [] if keep_others else sorted(present - target)
    _check_powers(tx, giver, project, entries, given, [row for row in rows if (row.identity, row.role) in set(taken)])
    if pending.needed(tx, {(role, project) for _, role in [*given, *taken]}):
        return pending.hold(tx, "alter-project", {"name": project, "config": text}, f"alter project {project}")
    with holders.kept(tx, [(role, project) for _, role in taken]):
        for identity, role in taken:
            assignments.remove(tx, role, project, Identity.parse(identity), reason="project users file")
        for identity, role in given:
            assignments.put(tx, role, project, Identity.parse(identity), reason="project users file")
    _put_alerts(tx, project, wanted, keep_others)
    version = _touch(tx, project)
    return message(
        f"`{project}`: {len(given)} roles given, {len(taken)} taken",
        project=project,
        version=version,
        given=[list(one) for one in given],
        taken=[list(one) for one in taken],
    )


def _faults_of(tx: Read, rows: Rows) -> list[Fault]:
    seen: set[str] = set()
    faults = []
    for index, text, _ in rows:
        name = names.known_as(text)
        if name is None or not users.exists(tx, name):
            faults.append(Fault(f"/{index}/id", f"`{show(text)}` is not registered"))
        elif name in seen:
            faults.append(Fault(f"/{index}/id", f"`{name}` stands in the file twice"))
        else:
            seen.add(name)
    return faults


def _check_powers(
    tx: Write,
    giver: Giver,
    project: str,
    entries: Sequence[MemberEntry],
    given: Sequence[tuple[str, str]],
    taken: Sequence[Any],
) -> None:
    index_of = {f"user:{names.known_as(entry.id)}": index for index, entry in enumerate(entries)}
    faults, lacking = [], set()
    for identity, name in given:
        index = index_of[identity]
        missing = giver.missing_to_give(tx, tx.roles[name], project, Identity.parse(identity), in_file=False)
        if missing:
            place = entries[index].roles.index(name)
            faults.append(Fault(f"/{index}/roles/{place}", f"you may not grant {name}: {sentences(missing)}"))
            lacking |= set(words(missing))
    for row in taken:
        role: Role = tx.roles[row.role]
        missing = giver.missing_to_take(
            tx, role, project, Identity.parse(row.identity), in_file=False, creator=row.creator
        )
        if missing:
            where = f"/{index_of[row.identity]}/roles" if row.identity in index_of else ""
            who = row.identity.partition(":")[2]
            faults.append(Fault(where, f"you may not take {role.name} from `{who}`: {sentences(missing)}"))
            lacking |= set(words(missing))
    refuse_file(faults, lacking)


def _put_alerts(tx: Write, project: str, wanted: Wanted, keep_others: bool) -> None:
    after = {(name, service) for name, entry in wanted.items() for service in entry.alerts}
    rows = tx.conn.execute(select(_alerts.c.user, _alerts.c.service).where(_alerts.c.project == project)).all()
    before = {(row.user, row.service) for row in rows}
    for user, service in sorted(after - before):
        tx.conn.execute(insert(_alerts).values(project=project, user=user, service=service))
    gone = set() if keep_others else before - after
    for user, service in sorted(gone):
        tx.conn.execute(
            delete(_alerts).where(_alerts.c.project == project, _alerts.c.user == user, _alerts.c.service == service)
        )
    if after - before or gone:
        tx.change("alerts", {"project": project, "added": len(after - before), "removed": len(gone)}, [])
        tx.audit("alerts.changed", project=project)


def _touch(tx: Write, project: str) -> int:
    tx.change("project", {"project": project, "did": "alter"}, [f"project:{project}"])
    tx.conn.execute(update(_p).where(_p.c.name == project).values(version=tx.revision))
    return tx.revision


def _check_version(tx: Read, project: str, if_match: object) -> None:
    if if_match is None:
        return
    version = tx.conn.execute(select(_p.c.version).where(_p.c.name == project)).scalar_one()
    if if_match != version:
        raise Stale(
            f"`{project}` was changed in between",
            remedy="export it again and repeat your change",
            more={"version": version},
        )


def _check_shape(value: object, project: str) -> None:
    allowed = ("project", "description", "version", "members")
    if not isinstance(value, dict):
        raise BadInput("expected the object that `exportconfig project` shows, or a list of members")
    faults = [Fault(f"/{show(key)}", "unknown key", allowed) for key in value if key not in allowed]
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
