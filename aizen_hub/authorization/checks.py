"""Authorization checks for the actor of a transaction (R60, R81)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from aizen_hub.authorization.activity import inactive_remedy
from aizen_hub.problems import Denied, Escalation, NotFound
from aizen_hub.rbac import escalation
from aizen_hub.rbac.decision import AuthorizationRequest, Decision
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.escalation import MissingRight
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.rights.memberships import chunked
from aizen_hub.validation.printable import excerpt
from aizen_hub.wording import LIST_PROJECTS

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction


def is_operator(tx: ActorTransaction) -> bool:
    """Return whether the request came by the operator channel, which needs no role: the service's own host."""
    return tx.actor.channel is Channel.OPERATOR


def decide_now(tx: ReadTransaction, identity: Identity, permission: str | Permission, scope: str) -> Decision:
    """Decide one permission of one identity on the current state."""
    required = _parse_permission(permission) if isinstance(permission, str) else permission
    return decide(tx.rights(identity), AuthorizationRequest(required, scope), tx.now)


_parse_permission = lru_cache(maxsize=1024)(Permission.parse)


def is_allowed(tx: ActorTransaction, permission: str, scope: str) -> bool:
    """Return whether the actor holds the permission in the scope; never while impersonating another user."""
    if is_operator(tx):
        return True
    return tx.actor.acting is None and decide_now(tx, tx.actor.identity, permission, scope).allowed


def require(tx: ActorTransaction, permission: str, scope: str = SYSTEM) -> None:
    """Require that the actor holds a permission in a scope.

    Raises
    ------
    NotFound
        A project in which the actor holds nothing (R72).
    Denied
        The permission is missing, or the actor is impersonated: impersonation never changes access (R70).
    """
    require_for(tx, tx.actor, permission, scope)


def require_for(tx: ReadTransaction, actor: Actor, permission: str, scope: str = SYSTEM) -> None:
    """Require a permission of an actor in a read transaction; raises the errors of `require`."""
    if actor.channel is Channel.OPERATOR:
        return
    forbid_impersonation_of(tx, actor)
    decision = decide_now(tx, actor.identity, permission, scope)
    if decision.allowed:
        return
    if scope != SYSTEM and not can_see_project(tx, actor.identity, scope):
        raise project_not_found(scope)
    raise Denied(
        decision.sentence, extensions={"missing": [permission], "reason": decision.reason.value, "role": decision.role}
    )


def forbid_impersonation(tx: ActorTransaction) -> None:
    """Require an actor that is registered, active, and not impersonated by another user (R70)."""
    forbid_impersonation_of(tx, tx.actor)


def forbid_impersonation_of(tx: ReadTransaction, actor: Actor) -> None:
    """Do the same as `forbid_impersonation` in a read transaction."""
    if actor.acting is not None:
        raise Denied(
            "access cannot be changed or inspected while acting for another user", remedy="sign in as yourself"
        )
    if not tx.rights(actor.identity).active:
        remedy = inactive_remedy(tx, actor.identity)
        raise Denied(f"`{actor.identity}` is not a registered and active identity", remedy=remedy)


def can_see_project(tx: ReadTransaction, identity: Identity, project: str) -> bool:
    """Return whether the project exists and the identity holds one of the permissions that every member holds."""
    return project_exists(tx, project) and bool(member_scopes(tx, identity) & {project, SYSTEM})


def project_exists(tx: ReadTransaction, name: str) -> bool:
    """Return whether a project of this name exists, independent of who may see it."""
    return tx.conn.execute(select(tables.projects.c.id).where(tables.projects.c.name == name)).first() is not None


def visible_projects(tx: ReadTransaction, identity: Identity) -> Sequence[Any]:
    """Return the rows of the projects that the identity can see, filtered in the query (R72)."""
    p = tables.projects
    scopes = member_scopes(tx, identity)
    if SYSTEM in scopes:
        return tx.conn.execute(select(p).order_by(p.c.name)).all()
    rows: list[Any] = []
    for chunk in chunked(sorted(scopes)):
        rows += tx.conn.execute(select(p).where(p.c.name.in_(chunk))).all()
    return sorted(rows, key=lambda row: str(row.name))


def member_scopes(tx: ReadTransaction, identity: Identity) -> frozenset[str]:
    """Return the scopes whose projects the identity can see; the system stands for all projects.

    Locked projects are included: a lock denies commands with its reason, it does not hide the project.
    """
    rights = tx.rights(identity)
    if not rights.active:
        return frozenset()
    return frozenset(
        held.scope
        for held in rights.held_roles
        if held.interval.includes(tx.now)
        and any(any_covers(rights.permissions_of(held), permission) for permission in tx.catalog.member_permissions)
    )


def require_visible_project(tx: ActorTransaction, project: str) -> None:
    """Raise the same error for a project that does not exist and for one that the actor cannot see (R72)."""
    is_visible = project_exists(tx, project) if is_operator(tx) else can_see_project(tx, tx.actor.identity, project)
    if not is_visible:
        raise project_not_found(project)


def project_not_found(project: str) -> NotFound:
    """Return the error for a project that does not exist or is not visible to the actor."""
    return NotFound(
        f"there is no project `{excerpt(project)}` in which you have a role",
        remedy=LIST_PROJECTS,
    )


def controlled_identities(tx: ReadTransaction, identity: Identity) -> frozenset[Identity]:
    """Return the identities through which a grant would come back to this identity (R66, R68).

    These are the identity itself; the service accounts that it or one of its groups controls, or for which one of these
    issued a credential that has not expired; and every group that contains one of these, now or in the last report of
    its provider. A role of a group reaches the service accounts in it, and through their credentials their controllers.
    A service account acts for the users who control it, so what they get comes back to it too.
    """
    controlled: set[Identity] = set()
    front = {identity, *_controllers(tx, identity)}
    while front:
        controlled |= front
        groups = set().union(*(transitive_groups(tx, member) | _reported_groups(tx, member) for member in front))
        front = (groups | _usable_accounts(tx, controlled | groups)) - controlled
    return frozenset(controlled)


def _controllers(tx: ReadTransaction, identity: Identity) -> set[Identity]:
    """Return the identities that control a service account, directly or through other accounts."""
    accounts, credentials = tables.service_accounts, tables.credentials
    controllers: set[Identity] = set()
    front = {identity}
    while names := [member.name for member in front if member.kind is IdentityKind.SERVICE_ACCOUNT]:
        issuers = select(credentials.c.issued_by).join(accounts, accounts.c.id == credentials.c.service_account_id)
        rows = [
            *tx.conn.execute(select(accounts.c.controller).where(accounts.c.name.in_(names))).scalars(),
            *tx.conn.execute(issuers.where(accounts.c.name.in_(names), credentials.c.expires > tx.now)).scalars(),
        ]
        front = {Identity.parse(name) for name in rows if name is not None} - controllers - {identity}
        controllers |= front
    return controllers


def _usable_accounts(tx: ReadTransaction, controllers: Iterable[Identity]) -> set[Identity]:
    accounts, credentials = tables.service_accounts, tables.credentials
    names = [str(controller) for controller in controllers]
    with_credential = select(credentials.c.service_account_id).where(
        credentials.c.issued_by.in_(names), credentials.c.expires > tx.now
    )
    rows = tx.conn.execute(
        select(accounts.c.name).where(or_(accounts.c.controller.in_(names), accounts.c.id.in_(with_credential)))
    )
    return {Identity.service_account(row.name) for row in rows}


def _reported_groups(tx: ReadTransaction, identity: Identity) -> set[Identity]:
    """Return the provider's groups that it last reported for a user: the next login makes the user a member again."""
    if identity.kind is not IdentityKind.USER:
        return set()
    reports, users, groups = tables.reported_groups, tables.users, tables.groups
    query = select(reports.c.provider, reports.c.groups).join(users, users.c.id == reports.c.user_id)
    reported: set[Identity] = set()
    for row in tx.conn.execute(query.where(users.c.name == identity.name)):
        for chunk in chunked(sorted(row.groups)):
            fed_groups = select(groups.c.name).where(groups.c.provider == row.provider, groups.c.name.in_(chunk))
            reported |= {Identity.group(name) for name in tx.conn.execute(fed_groups).scalars()}
    return reported


def transitive_groups(tx: ReadTransaction, identity: Identity) -> frozenset[Identity]:
    """Return every group that contains the identity, directly or nested, expired directory memberships included."""
    groups: set[Identity] = set()
    front = {identity}
    while front:
        rows = tx.conn.execute(
            select(tables.groups.c.name)
            .join(tables.memberships, tables.memberships.c.group_id == tables.groups.c.id)
            .where(tables.memberships.c.member.in_([str(member) for member in front]))
            .distinct()
        )
        front = {Identity.group(row.name) for row in rows} - groups
        groups |= front
    return frozenset(groups)


def transitive_members(tx: ReadTransaction, groups: Iterable[Identity]) -> frozenset[Identity]:
    """Return all members of the groups, direct and nested, the groups themselves included."""
    members: set[Identity] = set(groups)
    front = {group for group in members if group.kind is IdentityKind.GROUP}
    while front:
        rows = tx.conn.execute(
            select(tables.memberships.c.member)
            .join(tables.groups, tables.memberships.c.group_id == tables.groups.c.id)
            .where(tables.groups.c.name.in_([group.name for group in front]))
            .distinct()
        )
        new = {Identity.parse(row.member) for row in rows} - members
        members |= new
        front = {member for member in new if member.kind is IdentityKind.GROUP}
    return frozenset(members)


def require_control_of(tx: ActorTransaction, target: Identity, act: str, *, except_roles: Collection[str] = ()) -> None:
    """Require that the actor holds every right of the target, since control of the target gives these rights.

    Rights through a directory group count even while that membership is expired: the next login renews it.

    Parameters
    ----------
    act : str
        The operation for the message, as a verb phrase such as ``link a login``.
    except_roles : collection of str
        System roles of the target that the actor need not have.

    Raises
    ------
    Escalation
        Lists the missing rights.
    """
    if is_operator(tx):
        return
    forbid_impersonation(tx)
    missing = [
        right
        for right in missing_for_control(tx, tx.actor.identity, target)
        if not (right.scope == SYSTEM and right.role in except_roles)
    ]
    if missing:
        raise Escalation(
            f"to {act} you need every right of `{target}`: {'; '.join(right.sentence for right in missing[:5])}",
            remedy="ask a user who has these rights",
            extensions={"missing": [right.sentence for right in missing]},
        )


def missing_for_control(
    tx: ReadTransaction, identity: Identity, target: Identity, *, include_grantable: bool = False
) -> tuple[MissingRight, ...]:
    """Return the rights of the target, its own and those of its groups, that another identity lacks to control it.

    Parameters
    ----------
    include_grantable : bool
        Rights that ``identity`` may grant to other users do not count as missing.
    """
    if identity == target:
        return ()
    own_rights = tx.rights(identity)
    target_rights = map(tx.rights, (target, *sorted(transitive_groups(tx, target), key=str)))
    missing = (
        escalation.missing_for_control(own_rights, rights, tx.now, include_grantable=include_grantable)
        for rights in target_rights
    )
    return tuple(dict.fromkeys(right for rights in missing for right in rights))


def forbid_self_grant(tx: ActorTransaction, target: Identity, act: str) -> None:
    """Forbid an operation that gives rights back to the actor through one of their groups or service accounts.

    Parameters
    ----------
    act : str
        The operation for the message, in the third person such as ``unlocks``.
    """
    if (
        is_operator(tx)
        or target not in controlled_identities(tx, tx.actor.identity)
        or not tx.rights(target).held_roles
    ):
        return
    raise Escalation(f"a user never {act} a group or service account of their own", remedy="ask another administrator")


def actor_rights(tx: ActorTransaction) -> Rights:
    """Return the compiled rights of the actor."""
    return tx.rights(tx.actor.identity)


def format_missing(missing: Iterable[object], limit: int = 8) -> str:
    """Return up to ``limit`` missing rights as text."""
    names = [f"`{right}`" for right in missing]
    text = ", ".join(names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def endpoint_permission(tx: ReadTransaction, endpoint: str) -> str:
    """Return the permission of an endpoint from the catalog's ``endpoints``; the catalog loader requires each one."""
    return str(tx.catalog.endpoints[endpoint])


def command_permission(tx: ReadTransaction, handler: str) -> str | None:
    """Return the permission of the catalog command with this handler; None if it is open to every active identity.

    Without such a command the endpoint of the same name decides, else only the operator is allowed.
    """
    entry = next((command for command in tx.catalog.commands.values() if command.handler == handler), None)
    if entry is not None:
        return None if entry.permission is None else str(entry.permission)
    endpoint = tx.catalog.endpoints.get(handler)
    return NEVER_GRANTED if endpoint is None else str(endpoint)


NEVER_GRANTED = "never:granted"
"""A permission that no role contains."""


def require_command(tx: ActorTransaction, handler: str, scope: str = SYSTEM) -> None:
    """Require that the actor may run the command with this handler in the scope; raises the errors of `require`."""
    permission = command_permission(tx, handler)
    if permission is not None:
        require(tx, permission, scope)
    elif not is_operator(tx):
        forbid_impersonation(tx)
