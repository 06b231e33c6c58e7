"""A policy: the values that a policy file stands for, and the rights that follow from it alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import CatalogError, describe, inline_catalog, load_catalog
from aizen_hub.catalogs.yaml_source import Source, SourceError, read_source
from aizen_hub.policy.format import PolicyForm
from aizen_hub.problems import Conflict, TooLarge
from aizen_hub.rbac.assignment import Assignment, Interval
from aizen_hub.rbac.group_closure import Membership, reach
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import Rights, compile_rights
from aizen_hub.rbac.role import SYSTEM, Role, fits

MAX_ENTRIES = 20_000
"""Most single values of a policy that is sent."""
MAX_MEMBERS = 20_000
"""Most members of all its objects together."""
MAX_BYTES = 1 << 20
"""Most bytes of the request that carries it."""


class PolicyError(SourceError):
    """A policy file that cannot be used; one fault per line, each with file, line and fix."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file says.

    Attributes
    ----------
    form : PolicyForm
        The file as it is written.
    roles : mapping of str to Role
        The catalog's roles first, then the file's own.
    known : frozenset of Identity
        Everybody whom the file names in a group or an assignment; nobody else is registered.
    """

    form: PolicyForm
    catalog: Catalog
    roles: Mapping[str, Role]
    memberships: tuple[Membership, ...]
    assignments: tuple[Assignment, ...]
    projects: frozenset[str]
    known: frozenset[Identity]

    def rights(self, identity: Identity) -> Rights:
        """Compile what ``identity`` holds according to the file alone."""
        return compile_rights(
            identity,
            active=identity in self.known,
            paths=reach(identity, self.memberships),
            assignments=self.assignments,
            roles=self.roles,
            member_permissions=self.catalog.member_permissions,
        )


def load_policy(path: str | Path, catalog: Catalog | None = None) -> Policy:
    """Read a policy file of the operator's own machine; it may name a catalog's file or carry a catalog.

    Parameters
    ----------
    catalog : Catalog, optional
        The deployment's catalog with its overlays; taken where the file names a catalog of the same name.

    Raises
    ------
    PolicyError
        The file is missing or not YAML, holds an unknown key, or names a role or project that does not exist.
    """
    source = read_source(Path(path))
    form = _form(source)
    try:
        found = _catalog(form, source, catalog)
    except CatalogError as error:
        raise PolicyError(str(error)) from None
    return _checked(form, found, source)


def read_policy(data: dict[str, Any], catalog: Catalog) -> Policy:
    """Read a policy that somebody sent. It opens no file and builds no catalog, whatever it names (R111, T-28).

    Parameters
    ----------
    data : dict
        As the strict JSON reader gives it.
    catalog : Catalog
        The one in force; the policy names it or none.

    Raises
    ------
    Conflict
        It names or carries another catalog.
    TooLarge
        It lists more than `MAX_ENTRIES` things.
    PolicyError
        As `load_policy`.
    """
    # Before anything else looks at it: what stands here could be a path on this machine, or megabytes of catalog.
    if data.get("catalog", catalog.name) != catalog.name:
        raise Conflict(
            f"this deployment runs the catalog `{catalog.name}`, and a policy never brings another one",
            remedy="leave `catalog` out; `aizen-hub policy test` answers the assertions of a file with its own catalog",
        )
    if _entries(data) > MAX_ENTRIES:
        raise TooLarge(f"the policy lists more than {MAX_ENTRIES} things", remedy="apply it in parts")
    source = Source(data)
    return _checked(_form(source), catalog, source)


def _form(source: Source) -> PolicyForm:
    try:
        return PolicyForm.model_validate(source.data)
    except ValidationError as error:
        raise PolicyError("\n".join(describe(source, one) for one in error.errors(include_url=False))) from None


def _checked(form: PolicyForm, catalog: Catalog, source: Source) -> Policy:
    policy = _policy(form, catalog)
    faults = list(_faults(policy, source))
    if faults:
        raise PolicyError("\n".join(faults))
    return policy


def travels(data: dict[str, Any]) -> bool:
    """Whether a policy is small enough to be sent to a service."""
    # Escaped, as the widest of all clients would send it.
    body = json.dumps({"policy": data, "prune": False})
    if len(body) > MAX_BYTES or _entries(data) > MAX_ENTRIES:
        return False
    return _members(data) + 2 <= MAX_MEMBERS


def _entries(value: Any) -> int:
    # As deep as the strict JSON reader lets anything be.
    if isinstance(value, dict):
        return sum(map(_entries, value.values()))
    return sum(map(_entries, value)) if isinstance(value, list) else 1


def _members(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0


def _catalog(form: PolicyForm, source: Source, deployed: Catalog | None) -> Catalog:
    if isinstance(form.catalog, dict):
        places = {place[1:]: at for place, at in source.places.items() if place[:1] == ("catalog",)}
        return inline_catalog(Source(form.catalog, places))
    if deployed is not None and deployed.name == form.catalog:
        return deployed
    return load_catalog(form.catalog)


def _policy(form: PolicyForm, catalog: Catalog) -> Policy:
    own = {
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
        Assignment(f"assignments/{index}", one.role, one.scope, one.identity, Interval(one.starts, one.ends))
        for index, one in enumerate(form.assignments)
    )
    named = {one.scope for one in assignments} - {SYSTEM}
    return Policy(
        form=form,
        catalog=catalog,
        roles=MappingProxyType({**catalog.roles, **own}),
        memberships=memberships,
        assignments=assignments,
        projects=frozenset(named if form.projects is None else form.projects),
        known=frozenset(
            {one.identity for one in assignments}
            | {one.member for one in memberships}
            | {Identity.group(name) for name in form.groups}
        ),
    )


def _faults(policy: Policy, source: Source) -> Iterator[str]:
    for name in policy.form.roles:
        if name in policy.catalog.roles:
            yield f"{source.at('roles', name)}: the role `{name}` is one of the catalog: choose another name"
    if SYSTEM in policy.projects:
        yield f"{source.at('projects')}: `{SYSTEM}` is the scope above all projects: choose another name"
    for index, one in enumerate(policy.assignments):
        here = source.at("assignments", index)
        role = policy.roles.get(one.role)
        if role is None:
            yield f"{here}: there is no role `{one.role[:80]}`: write one of {', '.join(policy.roles) or 'none'}"
        elif not fits(role, one.scope):
            yield f"{here}: the role `{one.role}` cannot be assigned in `{one.scope[:80]}`: see its `scopes`"
        if one.scope != SYSTEM and one.scope not in policy.projects:
            yield f"{here}: there is no project `{one.scope[:80]}`: add it to `projects`"
