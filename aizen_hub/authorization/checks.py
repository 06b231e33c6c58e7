"""Whether the actor of a transaction may do this: one gate for every function of the room (R60, R81)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from aizen_hub.problems import Denied, Escalation, NotFound
from aizen_hub.rbac import escalation
from aizen_hub.rbac.decision import Decision, Request
from aizen_hub.rbac.default_denials import covers
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.escalation import Missing
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.rights.memberships import chunks
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write


def above_roles(tx: Write) -> bool:
    """Whether the road itself carries the right: only the service's own machine does."""
    return tx.actor.road is Road.OPERATOR


def ask(tx: Read, identity: Identity, permission: str | Permission, scope: str) -> Decision:
    """Decide one permission for one identity in the present state."""
    asked = Permission.parse(permission) if isinstance(permission, str) else permission
    return decide(tx.rights(identity), Request(asked, scope), tx.now)


def allowed(tx: Write, permission: str, scope: str) -> bool:
    if above_roles(tx):
        return True
    return tx.actor.acting is None and ask(tx, tx.actor.identity, permission, scope).allowed


def need(tx: Write, permission: str, scope: str = SYSTEM) -> None:
    """Refuse unless the actor holds the permission in the scope.

    Raises
    ------
    NotFound
        A project in which the actor has nothing at all (R72).
    Denied
        The permission is missing, or somebody acts for somebody else, which never changes rights (R70).
    """
    need_of(tx, tx.actor, permission, scope)


def need_of(tx: Read, actor: Actor, permission: str, scope: str = SYSTEM) -> None:
    """As `need`, for somebody who only reads."""
    if actor.road is Road.OPERATOR:
        return
    in_person_of(tx, actor)
    decision = ask(tx, actor.identity, permission, scope)
    if decision.allowed:
        return
    if scope != SYSTEM and not visible(tx, actor.identity, scope):
        raise no_project(scope)
    raise Denied(
        decision.sentence, more={"missing": [permission], "reason": decision.reason.value, "role": decision.role}
    )


def in_person(tx: Write) -> None:
    """Refuse an actor who is not registered and active, or for whom somebody else acts (R70)."""
    in_person_of(tx, tx.actor)


def in_person_of(tx: Read, actor: Actor) -> None:
    """As `in_person`, for somebody who only reads."""
    if actor.acting is not None:
        raise Denied("whoever acts for somebody else cannot change or look into access", remedy="sign in as yourself")
    if not tx.rights(actor.identity).active:
        raise Denied(f"`{actor.identity}` is not a registered and active identity")


def visible(tx: Read, identity: Identity, project: str) -> bool:
    """Whether the identity may know that the project exists: it holds what every member of a project holds."""
    return is_project(tx, project) and bool(_scopes(tx, identity) & {project, SYSTEM})


def is_project(tx: Read, name: str) -> bool:
    """Whether there is a project of this name, whoever may know."""
    return tx.conn.execute(select(tables.projects.c.id).where(tables.projects.c.name == name)).first() is not None


def visible_projects(tx: Read, identity: Identity) -> Sequence[Any]:
    """Return the rows of the projects the identity may know of, filtered in the query (R72)."""
    p = tables.projects
    scopes = _scopes(tx, identity)
    if SYSTEM in scopes:
        return tx.conn.execute(select(p).order_by(p.c.name)).all()
    found: list[Any] = []
    for chunk in chunks(sorted(scopes)):
        found += tx.conn.execute(select(p).where(p.c.name.in_(chunk))).all()
    return sorted(found, key=lambda row: str(row.name))


def _scopes(tx: Read, identity: Identity) -> frozenset[str]:
    # A lock stops the commands of a project and says so; it does not make the project unknown to its people.
    rights = tx.rights(identity)
    if not rights.active:
        return frozenset()
    return frozenset(
        held.scope
        for held in rights.held
        if held.interval.holds(tx.now)
        and any(covers(rights.permissions_of(held), one) for one in tx.catalog.member_permissions)
    )


def need_project(tx: Write, project: str) -> None:
    """Refuse a project that does not exist, or of which the actor may not know, in the same words."""
    known = is_project(tx, project) if above_roles(tx) else visible(tx, tx.actor.identity, project)
    if not known:
        raise no_project(project)


def no_project(project: str) -> NotFound:
    return NotFound(
        f"there is no project `{show(project)}` in which you have a role",
        remedy="`list projects` shows the projects you may use; a project's admin can grant you a role",
    )


def own_identities(tx: Read, identity: Identity) -> frozenset[Identity]:
    """Return whatever an identity would give to itself by giving to it (R66, R68).

    Itself, the service accounts that it or a group of its controls or for which one of these made a credential that is
    still good, and every group that one of these is in, or was in when its provider last told: a role of a group
    reaches the service account in it, and through its credentials whoever controls it.
    """
    found: set[Identity] = set()
    front = {identity}
    while front:
        found |= front
        reached = set().union(*(reached_groups(tx, one) | _reported_groups(tx, one) for one in front))
        front = (reached | _usable_accounts(tx, found | reached)) - found
    return frozenset(found)


def _usable_accounts(tx: Read, whose: Iterable[Identity]) -> set[Identity]:
    accounts, credentials = tables.service_accounts, tables.credentials
    names = [str(one) for one in whose]
    made = select(credentials.c.service_account_id).where(
        credentials.c.issued_by.in_(names), credentials.c.expires > tx.now
    )
    rows = tx.conn.execute(
        select(accounts.c.name).where(or_(accounts.c.controller.in_(names), accounts.c.id.in_(made)))
    )
    return {Identity.service_account(row.name) for row in rows}


def _reported_groups(tx: Read, identity: Identity) -> set[Identity]:
    """Return the groups that a provider feeds and last reported of a user: the next sign-in puts the user into them."""
    if identity.kind is not Kind.USER:
        return set()
    reports, users, groups = tables.reported_groups, tables.users, tables.groups
    query = select(reports.c.provider, reports.c.groups).join(users, users.c.id == reports.c.user_id)
    found: set[Identity] = set()
    for row in tx.conn.execute(query.where(users.c.name == identity.name)):
        for chunk in chunks(sorted(row.groups)):
            fed = select(groups.c.name).where(groups.c.provider == row.provider, groups.c.name.in_(chunk))
            found |= {Identity.group(name) for name in tx.conn.execute(fed).scalars()}
    return found


def reached_groups(tx: Read, identity: Identity) -> frozenset[Identity]:
    """Return every group that holds the identity, directly or through others, aged directory memberships included."""
    found: set[Identity] = set()
    front = {identity}
    while front:
        rows = tx.conn.execute(
            select(tables.groups.c.name)
            .join(tables.memberships, tables.memberships.c.group_id == tables.groups.c.id)
            .where(tables.memberships.c.member.in_([str(one) for one in front]))
            .distinct()
        )
        front = {Identity.group(row.name) for row in rows} - found
        found |= front
    return frozenset(found)


def members_below(tx: Read, groups: Iterable[Identity]) -> frozenset[Identity]:
    """Return everybody in the groups, directly or through other groups, the groups themselves included."""
    found: set[Identity] = set(groups)
    front = {one for one in found if one.kind is Kind.GROUP}
    while front:
        rows = tx.conn.execute(
            select(tables.memberships.c.member)
            .join(tables.groups, tables.memberships.c.group_id == tables.groups.c.id)
            .where(tables.groups.c.name.in_([one.name for one in front]))
            .distinct()
        )
        new = {Identity.parse(row.member) for row in rows} - found
        found |= new
        front = {one for one in new if one.kind is Kind.GROUP}
    return frozenset(found)


def need_control(tx: Write, target: Identity, act: str) -> None:
    """Refuse unless the actor holds every right that the target holds: controlling it would give them those rights.

    What comes through a directory's group counts also while that membership is aged: the next sign-in renews it.

    Raises
    ------
    Escalation
        Lists what is missing.
    """
    if above_roles(tx):
        return
    in_person(tx)
    missing = missing_to_control(tx, tx.actor.identity, target)
    if missing:
        raise Escalation(
            f"to {act} you need every right that `{target}` holds: {'; '.join(one.sentence for one in missing[:5])}",
            remedy="ask somebody who holds these rights",
            more={"missing": [one.sentence for one in missing]},
        )


def missing_to_control(tx: Read, giver: Identity, target: Identity, *, or_give: bool = False) -> tuple[Missing, ...]:
    """Return which rights of the target, its own and those of its groups, the giver lacks; nothing for itself.

    With ``or_give`` what the giver might give to somebody else is not missing either.
    """
    if giver == target:
        return ()
    held = tx.rights(giver)
    reached = map(tx.rights, (target, *sorted(reached_groups(tx, target), key=str)))
    found = (escalation.missing_to_control(held, one, tx.now, or_give=or_give) for one in reached)
    return tuple(dict.fromkeys(lack for lacks in found for lack in lacks))


def need_not_own(tx: Write, target: Identity, act: str) -> None:
    """Refuse the actor what would give something back to them through a group or a service account of their own."""
    if above_roles(tx) or target not in own_identities(tx, tx.actor.identity) or not tx.rights(target).held:
        return
    raise Escalation(
        f"nobody {act} a group that they are in, or a service account of their own", remedy="ask somebody else"
    )


def rights(tx: Write) -> Rights:
    return tx.rights(tx.actor.identity)


def listed(missing: Iterable[object], at_most: int = 8) -> str:
    """Return the missing rights as words, bounded."""
    words = [f"`{one}`" for one in missing]
    shown = ", ".join(words[:at_most])
    return shown if len(words) <= at_most else f"{shown} and {len(words) - at_most} more"


def permission(tx: Read, operation: str) -> str:
    """Return what an action that is no command needs, as the catalog's ``endpoints`` say; the loader sees to it."""
    return str(tx.catalog.endpoints[operation])


def command_permission(tx: Read, handler: str) -> str | None:
    """Return the permission of the catalog's command that this account function carries out; None: open to everybody.

    A catalog without that command leaves the function to its endpoint of the same name, else to the operator alone.
    """
    entry = next((one for one in tx.catalog.commands.values() if one.handler == handler), None)
    if entry is not None:
        return None if entry.permission is None else str(entry.permission)
    endpoint = tx.catalog.endpoints.get(handler)
    return NOBODY if endpoint is None else str(endpoint)


NOBODY = "nobody:nothing"


def need_command(tx: Write, handler: str, scope: str = SYSTEM) -> None:
    """Refuse unless the actor may use this account function in the scope; the problems are those of `need`."""
    asked = command_permission(tx, handler)
    if asked is not None:
        need(tx, asked, scope)
    elif not above_roles(tx):
        in_person(tx)
