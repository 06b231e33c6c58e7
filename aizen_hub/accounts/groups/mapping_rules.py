"""Mapping rules: a group of a provider gives a role in a project, for as long as the rule stands.

A rule acts when the provider reports the groups of a person. It makes the group here, fed by that provider, and an
assignment that the group holds; memberships lapse as those of any directory group do (R63).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.groups import mapping_sync as mapping_reports
from aizen_hub.accounts.groups.mapping_pattern import Pattern
from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.delegation import Giver, refuse, sentences, words
from aizen_hub.commands.result import Result, message, table
from aizen_hub.problems import BadInput, Conflict, Escalation, NotFound
from aizen_hub.rbac.escalation import Lack
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.role import Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write

MAX_RULES = 1_000
EVERY = "every project"
"""Stands for whatever project a template will name; no project can be called so, hence only system roles reach it."""

_SHOWN = 20
_t, _g = tables.mappings, tables.groups


def put(tx: Write, provider: str, group: str, role: str, project: str | None = None) -> Result:
    """Make a rule, and let it act on what the provider reported lately.

    Parameters
    ----------
    group : str
        The exact name of a group at the provider, or a template such as ``aizen-{project}-executors``, which stands for
        every existing project.
    project : str or None
        With an exact name: where the role is given. None with a template.

    Raises
    ------
    Denied, Escalation
        The actor may not manage groups, or not give this role there: as `assignments.grant`. A group in which the
        provider reports the actor counts as the actor's own.
    BadInput, NotFound
        A role of the system, an unknown role, project or provider, a template with a project.
    Conflict
        Another group here has this name, or there are too many rules.
    """
    from aizen_hub.accounts.roles.roles import known

    gate.need(tx, gate.permission(tx, "groups"))
    users.known_provider(tx, provider)
    if users.kind_of(tx, provider) == users.LOCAL:
        raise BadInput("local accounts have no directory groups")
    pattern, found = Pattern.parse(group), known(tx, role)
    if ScopeKind.PROJECT not in found.scopes:
        raise BadInput(f"{found.name} is a role of the system, and a group of a provider gives roles of projects only")
    if pattern.template == (project is not None):
        raise BadInput("a rule has either `{project}` in its group name, or the project beside an exact name")
    scope = EVERY if project is None else assignments.place(tx, found, project)
    if not pattern.template:
        _check_group(tx, provider, pattern.text)
    _check_giver(tx, provider, pattern, found, scope)
    where = (_t.c.provider == provider, _t.c.group == pattern.text, _t.c.role == found.name)
    if any(row.project == (None if pattern.template else scope) for row in tx.conn.execute(select(_t).where(*where))):
        return message(f"`{pattern.text}` of {provider} is mapped to {found.name} already", changed=False)
    if len(tx.conn.execute(select(_t.c.id)).all()) >= MAX_RULES:
        raise Conflict(f"there are {MAX_RULES} rules already", remedy="use a template")
    what = f"map `{pattern.text}` of {provider} to {found.name} in {_where(scope)}"
    if pending.needed(tx, always=True):
        arguments = {"provider": provider, "group": pattern.text, "role": found.name, "project": project}
        return pending.hold(tx, "map-group", arguments, what)
    chosen = None if pattern.template else scope
    values = {"provider": provider, "group": pattern.text, "role": found.name, "project": chosen}
    tx.conn.execute(insert(_t).values(**values, created_by=str(tx.actor.identity), created=tx.now))
    number = tx.conn.execute(select(_t.c.id).where(*where).order_by(_t.c.id.desc()).limit(1)).scalar_one()
    wrote = recorded.rows(recorded.put(_t, number, values))
    tx.change("mapping", {"mapping": number, "did": "put", **values, **wrote}, [])
    tx.audit("mapping.made", project=chosen, details={"mapping": number, **values})
    groups = mapping_reports.meet(tx, provider, pattern)
    people = sum(groups.values())
    return message(
        f"{what}; {_count(len(groups), 'group')} with {_count(people, 'person', 'people')} as last reported",
        mapping=number,
        groups=dict(sorted(groups.items())[:_SHOWN]),
    )


def put_confirmed(tx: Write, args: Mapping[str, Any]) -> Result:
    """Make a rule after its confirmation."""
    return put(tx, args["provider"], args["group"], args["role"], args["project"])


def remove(tx: Write, number: int) -> Result:
    """Delete a rule; what it gave goes at once, unless another rule gives it too.

    Whoever may give a role by a rule may also end that rule, even where the role itself is taken by others only.

    Raises
    ------
    NotFound
        No such rule.
    Denied, Escalation
        As `put`, and for a role whose limits bind the actor.
    """
    gate.need(tx, gate.permission(tx, "groups"))
    row = tx.conn.execute(select(_t).where(_t.c.id == number)).first()
    if row is None:
        raise NotFound(f"there is no mapping rule {number}")
    what = f"remove rule {number}: `{row.group}` of {row.provider} to {row.role} in {_where(row.project or EVERY)}"
    if row.role in tx.roles:
        _check_taker(tx, row, tx.roles[row.role])
    if pending.needed(tx, always=True):
        return pending.hold(tx, "unmap-group", {"number": number}, what)
    tx.conn.execute(delete(_t).where(_t.c.id == number))
    tx.change("mapping", {"mapping": number, "did": "remove", **recorded.rows(recorded.gone(_t, number))}, [])
    tx.audit("mapping.removed", project=row.project, details={"mapping": number, "group": row.group, "role": row.role})
    ended = 0
    for gift in mapping_reports.stale(tx, row.provider, row.role):
        ended += assignments.remove(tx, gift.role, gift.project, Identity.group(gift.group), reason="rule removed")
    return message(f"{what}; {_count(ended, 'assignment')} ended", ended=ended)


def list_rules(tx: Write) -> Result:
    """List the rules with what they give at present, for those who manage groups."""
    gate.need(tx, gate.permission(tx, "groups"))
    rows = tx.conn.execute(select(_t).order_by(_t.c.provider, _t.c.group, _t.c.role)).all()
    return table(
        ("rule", "provider", "group", "role", "project", "by", "since"),
        [(one.id, one.provider, one.group, one.role, one.project, one.created_by, one.created) for one in rows],
    )


def _check_group(tx: Write, provider: str, name: str) -> None:
    row = tx.conn.execute(select(_g.c.provider).where(_g.c.name == name)).first()
    if row is None:
        names.check_free(tx, name, NameKind.GROUP)
    elif row.provider != provider:
        raise Conflict(f"there is a group `{name}` here that {row.provider or 'nobody but us'} fills")


def _check_giver(tx: Write, provider: str, pattern: Pattern, role: Role, scope: str) -> None:
    giver, to = _giver(tx, provider, pattern)
    missing = giver.missing_to_give(tx, role, scope, to)
    if missing and scope == EVERY:
        raise Escalation(
            f"to map groups to {role.name} in every project you must be able to give it in any: {sentences(missing)}",
            remedy="map exact names, or ask somebody who holds a role of the system that gives it",
            more={"missing": words(missing)},
        )
    if missing:
        raise refuse(tx, "grant", role.name, scope, missing, to)


def _check_taker(tx: Write, row: Any, role: Role) -> None:
    pattern = Pattern.parse(row.group)
    giver, to = _giver(tx, row.provider, pattern)
    scope = row.project or EVERY
    missing = giver.missing_to_take(tx, role, scope, to)
    if any(one.lack is Lack.OWN_LIMITS for one in missing) or (missing and giver.missing_to_give(tx, role, scope, to)):
        raise refuse(tx, "revoke", role.name, scope, missing, to)


def _giver(tx: Write, provider: str, pattern: Pattern) -> tuple[Giver, Identity]:
    """Return who gives, and the group to give to: one of the giver's own, if the provider reports such a one."""
    giver = Giver.of(tx)
    if giver.rights is None or tx.actor.identity.kind is not Kind.USER:
        return giver, Identity.group(pattern.text)
    told = mapping_reports.groups_of(tx, tx.actor.identity.name, provider)
    own = frozenset(Identity.group(one) for one in told if pattern.matches(one))
    own |= {one for one in giver.own if one.kind is Kind.GROUP and pattern.matches(one.name)}
    return replace(giver, own=giver.own | own), min(own, default=Identity.group(pattern.text))


def _where(scope: str) -> str:
    return EVERY if scope == EVERY else f"`{scope}`"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
