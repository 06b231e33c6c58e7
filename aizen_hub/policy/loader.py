"""The policy of a policy file: its loader, its checks, and the rights that follow from the file alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import CatalogError, describe_error, inline_catalog, load_catalog
from aizen_hub.catalogs.yaml_source import Source, SourceError, read_source
from aizen_hub.policy.format import PolicyForm
from aizen_hub.problems import Conflict, TooLarge
from aizen_hub.rbac.assignment import Assignment, Interval
from aizen_hub.rbac.group_closure import Membership, group_closure
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, is_assignable_in

MAX_ENTRIES = 150_000
"""Maximum number of scalar values of a policy sent to the service."""
MAX_MEMBERS = 150_000
"""Maximum number of members of all its JSON objects together."""
MAX_BYTES = 4 << 20
"""Maximum size of the request that carries it."""


class PolicyError(SourceError):
    """The policy file is invalid; one fault per line, each with file, line and fix."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The content of a policy file.

    Attributes
    ----------
    form : PolicyForm
        The parsed file.
    roles : mapping of str to Role
        The roles of the catalog, then the custom roles of the file.
    identities : frozenset of Identity
        The identities that the file names in a group or an assignment; only these count as registered.
    """

    form: PolicyForm
    catalog: Catalog
    roles: Mapping[str, Role]
    memberships: tuple[Membership, ...]
    assignments: tuple[Assignment, ...]
    projects: frozenset[str]
    identities: frozenset[Identity]

    def rights(self, identity: Identity) -> Rights:
        """Compile the rights of ``identity`` from the file alone."""
        return compile_rights(
            identity,
            active=identity in self.identities,
            paths=group_closure(identity, self.memberships),
            assignments=self.assignments,
            roles=self.roles,
            member_permissions=self.catalog.member_permissions,
            archive_rule=self.catalog.archive_rule,
        )


def load_policy(path: str | Path, catalog: Catalog | None = None) -> Policy:
    """Load a policy file from the local disk; it may name a catalog file or contain a catalog.

    Parameters
    ----------
    catalog : Catalog, optional
        The catalog of the deployment with its overlays; used if the file names a catalog of the same name.

    Raises
    ------
    PolicyError
        The file is missing or not YAML, has an unknown key, or names a role or project that does not exist.
    """
    source = read_source(Path(path))
    form = _parse_form(source)
    try:
        resolved = _resolve_catalog(form, source, catalog)
    except CatalogError as error:
        raise PolicyError(str(error)) from None
    return _validated(form, resolved, source)


def read_policy(data: dict[str, Any], catalog: Catalog) -> Policy:
    """Read a policy from a request. It never opens a file or builds a catalog (R111, T-28).

    Parameters
    ----------
    data : dict
        The parsed JSON of `validation.strict_json`.
    catalog : Catalog
        The catalog in force; the policy may name it but no other.

    Raises
    ------
    Conflict
        It names or contains another catalog.
    TooLarge
        It has more than `MAX_ENTRIES` values.
    PolicyError
        As `load_policy`.
    """
    # Checked first: the value could be a path on this host, or megabytes of catalog.
    if data.get("catalog", catalog.name) != catalog.name:
        raise Conflict(
            f"this deployment uses the catalog `{catalog.name}`, and a policy cannot replace it",
            remedy="omit `catalog`; `aizen-hub policy test` evaluates the assertions of a file with its own catalog",
        )
    if _count_entries(data) > MAX_ENTRIES:
        raise TooLarge(f"the policy has more than {MAX_ENTRIES} values", remedy="apply it in parts")
    source = Source(data)
    return _validated(_parse_form(source), catalog, source)


def _parse_form(source: Source) -> PolicyForm:
    try:
        return PolicyForm.model_validate(source.data)
    except ValidationError as error:
        raise PolicyError(
            "\n".join(describe_error(source, fault) for fault in error.errors(include_url=False))
        ) from None


def _validated(form: PolicyForm, catalog: Catalog, source: Source) -> Policy:
    policy = _build_policy(form, catalog)
    faults = list(_find_faults(policy, source))
    if faults:
        raise PolicyError("\n".join(faults))
    return policy


def is_sendable(data: dict[str, Any]) -> bool:
    """Return whether a policy is small enough to be sent to the service."""
    # With ASCII escapes, the largest encoding that a client may send.
    body = json.dumps({"policy": data, "prune": False})
    if len(body) > MAX_BYTES or _count_entries(data) > MAX_ENTRIES:
        return False
    return _count_members(data) + 2 <= MAX_MEMBERS


def _count_entries(value: Any) -> int:
    # The strict JSON parser limits the depth of the recursion.
    if isinstance(value, dict):
        return sum(map(_count_entries, value.values()))
    return sum(map(_count_entries, value)) if isinstance(value, list) else 1


def _count_members(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_members, value.values()))
    return sum(map(_count_members, value)) if isinstance(value, list) else 0


def _resolve_catalog(form: PolicyForm, source: Source, deployed: Catalog | None) -> Catalog:
    if isinstance(form.catalog, dict):
        locations = {path[1:]: line for path, line in source.locations.items() if path[:1] == ("catalog",)}
        return inline_catalog(Source(form.catalog, locations))
    if deployed is not None and deployed.name == form.catalog:
        return deployed
    return load_catalog(form.catalog)


def _build_policy(form: PolicyForm, catalog: Catalog) -> Policy:
    custom_roles = {
        name: Role(
            name,
            permissions=frozenset(role.permissions),
            limits=MappingProxyType(dict(role.limits)),
            scopes=frozenset(role.scopes),
            description=role.description,
            category=role.category,
        )
        for name, role in form.roles.items()
    }
    memberships = tuple(
        Membership(member, Identity.group(name)) for name, members in form.groups.items() for member in members
    )
    assignments = tuple(
        Assignment(f"assignments/{index}", entry.role, entry.scope, entry.identity, Interval(entry.starts, entry.ends))
        for index, entry in enumerate(form.assignments)
    )
    assigned_projects = {assignment.scope for assignment in assignments} - {SYSTEM}
    return Policy(
        form=form,
        catalog=catalog,
        roles=MappingProxyType({**catalog.roles, **custom_roles}),
        memberships=memberships,
        assignments=assignments,
        projects=frozenset(assigned_projects if form.projects is None else form.projects),
        identities=frozenset(
            {assignment.identity for assignment in assignments}
            | {membership.member for membership in memberships}
            | {Identity.group(name) for name in form.groups}
        ),
    )


def _find_faults(policy: Policy, source: Source) -> Iterator[str]:
    for name in policy.form.roles:
        if name in policy.catalog.roles:
            yield f"{source.location('roles', name)}: the role `{name}` is one of the catalog: choose another name"
    if SYSTEM in policy.projects:
        yield f"{source.location('projects')}: `{SYSTEM}` is the scope above all projects: choose another name"
    for index, assignment in enumerate(policy.assignments):
        location = source.location("assignments", index)
        role = policy.roles.get(assignment.role)
        if role is None:
            names = ", ".join(policy.roles) or "none"
            yield f"{location}: there is no role `{assignment.role[:80]}`: write one of {names}"
        elif not is_assignable_in(role, assignment.scope):
            scope = assignment.scope[:80]
            yield f"{location}: the role `{assignment.role}` cannot be assigned in `{scope}`: see its `scopes`"
        if assignment.scope != SYSTEM and assignment.scope not in policy.projects:
            yield f"{location}: there is no project `{assignment.scope[:80]}`: add it to `projects`"
