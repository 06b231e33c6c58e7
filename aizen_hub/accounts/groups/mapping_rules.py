"""Mapping rules: a group of a provider gets a role in a project for as long as the rule exists.

A rule takes effect when the provider reports the groups of a user. It creates the group here, fed by that provider, and
an assignment that the group holds; memberships expire as those of any directory group do (R63).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.groups import mapping_sync
from aizen_hub.accounts.groups.mapping_pattern import GroupPattern
from aizen_hub.accounts.names import reservation
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.roles import assignments
from aizen_hub.authorization import checks
from aizen_hub.authorization.delegation import (
    GrantAuthority,
    escalation_error,
    join_missing,
    missing_list,
    self_grant_remedy,
)
from aizen_hub.commands.result import Result, message_result, table_result
from aizen_hub.problems import BadInput, Conflict, Escalation, NotFound
from aizen_hub.rbac.escalation import MissingRightKind
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.role import Role, ScopeKind
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

MAX_RULES = 1_000
EVERY_PROJECT = "every project"
"""Scope of a template rule; no project can have this name, so only system roles apply in it."""

_MAX_SHOWN = 20
_t, _g = tables.mapping_rules, tables.groups


def create_rule(tx: WriteTransaction, provider: str, group: str, role: str, project: str | None = None) -> Result:
    """Create a rule, and apply it to the groups that the provider reported recently.

    Parameters
    ----------
    group : str
        The exact name of a group at the provider, or a template such as ``aizen-{project}-executors``, which stands
        for every existing project.
    project : str or None
        With an exact name: the scope of the role. None with a template.

    Raises
    ------
    Denied, Escalation
        The actor may not manage groups, or may not grant this role there, see `assignments.grant_roles`. A group in
        which the provider reports the actor counts as the actor's own.
    BadInput, NotFound
        A system role, an unknown role, project or provider, or a template with a project.
    Conflict
        Another group here has this name, or there are too many rules.
    """
    from aizen_hub.accounts.roles.lookup import get_role

    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    identities.resolve_provider(tx, provider)
    if identities.provider_kind(tx, provider) == identities.LOCAL_KIND:
        raise BadInput("local accounts have no directory groups")
    pattern, rule_role = GroupPattern.parse(group), get_role(tx, role)
    if ScopeKind.PROJECT not in rule_role.scopes:
        raise BadInput(f"{rule_role.name} is a system role, and a mapping rule can grant project roles only")
    if pattern.is_template == (project is not None):
        raise BadInput("a rule needs either `{project}` in its group name, or an exact name and a project")
    scope = EVERY_PROJECT if project is None else assignments.resolve_scope(tx, rule_role, project)
    if not pattern.is_template:
        _check_group(tx, provider, pattern.text)
    _check_may_grant(tx, provider, pattern, rule_role, scope)
    condition = (_t.c.provider == provider, _t.c.group == pattern.text, _t.c.role == rule_role.name)
    if any(
        row.project == (None if pattern.is_template else scope) for row in tx.conn.execute(select(_t).where(*condition))
    ):
        return message_result(f"`{pattern.text}` of {provider} is already mapped to {rule_role.name}", changed=False)
    if len(tx.conn.execute(select(_t.c.id)).all()) >= MAX_RULES:
        raise Conflict(f"there are already {MAX_RULES} rules", remedy="use a template")
    summary = f"map `{pattern.text}` of {provider} to {rule_role.name} in {_scope_label(scope)}"
    if pending_changes.requires_confirmation(tx, always=True):
        arguments = {"provider": provider, "group": pattern.text, "role": rule_role.name, "project": project}
        return pending_changes.submit(tx, "map-group", arguments, summary)
    rule_project = None if pattern.is_template else scope
    values = {"provider": provider, "group": pattern.text, "role": rule_role.name, "project": rule_project}
    tx.conn.execute(insert(_t).values(**values, created_by=str(tx.actor.identity), created=tx.now))
    rule_id = tx.conn.execute(select(_t.c.id).where(*condition).order_by(_t.c.id.desc()).limit(1)).scalar_one()
    wrote = change_records.change_payload(change_records.row_written(_t, rule_id, values))
    tx.record_change("mapping", {"mapping": rule_id, "did": "put", **values, **wrote}, [])
    tx.audit("mapping.made", project=rule_project, details={"mapping": rule_id, **values})
    groups = mapping_sync.apply_rules_to_matching(tx, provider, pattern)
    people = sum(groups.values())
    return message_result(
        f"{summary}; {_pluralize(len(groups), 'group')} with {_pluralize(people, 'person', 'people')} as last reported",
        mapping=rule_id,
        groups=dict(sorted(groups.items())[:_MAX_SHOWN]),
    )


def create_confirmed_rule(tx: WriteTransaction, args: Mapping[str, Any]) -> Result:
    """Execute a confirmed `create_rule`."""
    return create_rule(tx, args["provider"], args["group"], args["role"], args["project"])


def delete_rule(tx: WriteTransaction, rule_id: int) -> Result:
    """Delete a rule. Its assignments end at once, unless another rule makes them too.

    An actor who may grant a role by a rule may also delete the rule, even if they could not revoke the role itself.

    Raises
    ------
    NotFound
        There is no such rule.
    Denied, Escalation
        As `create_rule`, and for a role whose limits bind the actor.
    """
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    row = tx.conn.execute(select(_t).where(_t.c.id == rule_id)).first()
    if row is None:
        raise NotFound(f"there is no mapping rule {rule_id}")
    scope = _scope_label(row.project or EVERY_PROJECT)
    summary = f"delete rule {rule_id}: `{row.group}` of {row.provider} to {row.role} in {scope}"
    if row.role in tx.roles:
        _check_may_revoke(tx, row, tx.roles[row.role])
    if pending_changes.requires_confirmation(tx, always=True):
        return pending_changes.submit(tx, "unmap-group", {"number": rule_id}, summary)
    tx.conn.execute(delete(_t).where(_t.c.id == rule_id))
    tx.record_change(
        "mapping",
        {"mapping": rule_id, "did": "remove", **change_records.change_payload(change_records.row_deleted(_t, rule_id))},
        [],
    )
    tx.audit("mapping.removed", project=row.project, details={"mapping": rule_id, "group": row.group, "role": row.role})
    ended = 0
    for grant in mapping_sync.stale_grants(tx, row.provider, row.role):
        ended += assignments.unauthorized_delete_assignment(
            tx, grant.role, grant.project, Identity.group(grant.group), reason="rule removed"
        )
    return message_result(f"{summary}; {_pluralize(ended, 'assignment')} ended", ended=ended)


def change_rule(
    tx: WriteTransaction, rule_id: int, provider: str, group: str, role: str, project: str | None = None
) -> Result:
    """Replace a rule by another one in one step: what both give never ends in between.

    Raises
    ------
    NotFound, BadInput, Denied, Escalation, Conflict
        As `create_rule` and `delete_rule`; and BadInput where nothing would change.
    """
    if pending_changes.requires_confirmation(tx, always=True):
        raise BadInput("a rule can be changed in the panel only", remedy="delete it and create another one")
    row = tx.conn.execute(select(_t).where(_t.c.id == rule_id)).first()
    if row is None:
        raise NotFound(f"there is no mapping rule {rule_id}")
    if (row.provider, row.group, row.role, row.project) == (provider, GroupPattern.parse(group).text, role, project):
        raise BadInput("the rule says this already")
    created = create_rule(tx, provider, group, role, project)
    deleted = delete_rule(tx, rule_id)
    return message_result(f"{created.message}; {deleted.message}", ended=deleted.data["ended"])


def list_rules(tx: ActorTransaction) -> Result:
    """List the rules, for users who manage groups."""
    checks.require(tx, checks.endpoint_permission(tx, "groups"))
    rows = tx.conn.execute(select(_t).order_by(_t.c.provider, _t.c.group, _t.c.role)).all()
    return table_result(
        ("rule", "provider", "group", "role", "project", "by", "since"),
        [(row.id, row.provider, row.group, row.role, row.project, row.created_by, row.created) for row in rows],
    )


def _check_group(tx: WriteTransaction, provider: str, name: str) -> None:
    row = tx.conn.execute(select(_g.c.provider).where(_g.c.name == name)).first()
    if row is None:
        reservation.require_name_available(tx, name, NameKind.GROUP)
    elif row.provider != provider:
        raise Conflict(f"there is a group `{name}` here with members from {row.provider or 'local management'}")


def _check_may_grant(tx: WriteTransaction, provider: str, pattern: GroupPattern, role: Role, scope: str) -> None:
    authority, grantee = _grant_authority(tx, provider, pattern)
    missing = authority.missing_to_grant(tx, role, scope, grantee)
    if missing and scope == EVERY_PROJECT:
        raise Escalation(
            f"to map groups to {role.name} in all projects you need the right to grant it: {join_missing(missing)}",
            remedy=self_grant_remedy(tx, role.name, scope)
            or "map exact names, or ask a user whose system role allows it",
            extensions={"missing": missing_list(missing)},
        )
    if missing:
        raise escalation_error(tx, "grant", role.name, scope, missing, grantee)


def _check_may_revoke(tx: WriteTransaction, row: Any, role: Role) -> None:
    pattern = GroupPattern.parse(row.group)
    authority, grantee = _grant_authority(tx, row.provider, pattern)
    scope = row.project or EVERY_PROJECT
    missing = authority.missing_to_revoke(tx, role, scope, grantee)
    if any(right.kind is MissingRightKind.OWN_LIMITS for right in missing) or (
        missing and authority.missing_to_grant(tx, role, scope, grantee)
    ):
        raise escalation_error(tx, "revoke", role.name, scope, missing, grantee)


def _grant_authority(tx: WriteTransaction, provider: str, pattern: GroupPattern) -> tuple[GrantAuthority, Identity]:
    """Return the authority of the actor, and the group to grant to: an own group of the actor if one matches."""
    authority = GrantAuthority.of_actor(tx)
    if authority.rights is None or tx.actor.identity.kind is not IdentityKind.USER:
        return authority, Identity.group(pattern.text)
    reported = mapping_sync.reported_groups_of(tx, tx.actor.identity.name, provider)
    own_groups = frozenset(Identity.group(group) for group in reported if pattern.matches(group))
    own_groups |= {
        identity
        for identity in authority.controlled
        if identity.kind is IdentityKind.GROUP and pattern.matches(identity.name)
    }
    return replace(authority, controlled=authority.controlled | own_groups), min(
        own_groups, default=Identity.group(pattern.text)
    )


def _scope_label(scope: str) -> str:
    return EVERY_PROJECT if scope == EVERY_PROJECT else f"`{scope}`"


def _pluralize(count: int, singular: str, plural: str | None = None) -> str:
    return f"{count} {singular if count == 1 else plural or singular + 's'}"
