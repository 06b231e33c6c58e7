"""Consistency checks of a catalog; each yields the location of a fault and a message with the remedy."""

from __future__ import annotations

from collections.abc import Iterator

from aizen_hub.catalogs.catalog import ALL_KEY_VALUES, ENDPOINTS, Catalog, CommandEntry, CommandScope
from aizen_hub.catalogs.schema import CatalogModel
from aizen_hub.catalogs.yaml_source import KeyPath
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import Role, ScopeKind

CatalogFault = tuple[KeyPath, str]

_ROLE_LISTS = ("can_grant", "can_revoke", "can_grant_to_self", "can_grant_in_file", "can_revoke_in_file")


def find_faults(source_model: CatalogModel, catalog: Catalog, *, open_permissions: bool) -> Iterator[CatalogFault]:
    """Yield every fault of the catalog.

    With ``open_permissions``, commands may require permissions that no role has, and the endpoints may be missing:
    such a catalog is for policy tests, not for a service.
    """
    yield from _check_roles(source_model, catalog)
    yield from _check_named_permissions(catalog)
    if not open_permissions:
        yield from _check_endpoints(catalog)
    yield from _check_command_words(source_model)
    yield from _check_tasks(source_model)
    for entry in catalog.commands.values():
        yield from _check_entry(entry)
        yield from _check_reading(entry, catalog)
        if not open_permissions:
            yield from _check_permission_is_held(entry, catalog)


def _check_roles(model: CatalogModel, catalog: Catalog) -> Iterator[CatalogFault]:
    named: list[tuple[KeyPath, str]] = [
        (("roles", name, key), other)
        for name, role in model.roles.items()
        for key in _ROLE_LISTS
        for other in getattr(role, key)
    ]
    named += [((key,), name) for key in ("admin_role", "creator_role") if (name := getattr(model, key)) is not None]
    named += [(("creator_role_removers",), name) for name in model.creator_role_removers]
    named += [(("default_groups", key), name) for key, group in model.default_groups.items() for name in group.roles]
    named += [
        (("service_accounts", key), name)
        for key, account in model.service_accounts.items()
        for name in (*account.roles, *account.credential_issuers)
    ]
    role_names = ", ".join(catalog.roles) or "none"
    for path, name in named:
        if name not in catalog.roles:
            yield path, f"`{'.'.join(map(str, path))}` names the unknown role `{name[:80]}`: write one of {role_names}"
    for name, role in model.roles.items():
        for role_name in sorted(set(role.can_grant_to_self) - set(role.can_grant) - set(role.can_revoke)):
            yield (
                ("roles", name, "can_grant_to_self"),
                f"`roles.{name}.can_grant_to_self` holds `{role_name[:80]}`, "
                "which is in neither `can_grant` nor `can_revoke`: add it",
            )
        verbs = {permission.verb for permission in catalog.permissions}
        for verb in role.command_verbs:
            if verb not in verbs:
                yield (
                    ("roles", name, "command_verbs"),
                    f"`roles.{name}.command_verbs` holds `{verb[:80]}`, which no command needs: check the spelling",
                )


def _check_named_permissions(catalog: Catalog) -> Iterator[CatalogFault]:
    names: dict[str, str] = {}
    contents: dict[str, str] = {}
    for named in catalog.named_permissions:
        for seen, key in ((names, named.name.casefold()), (contents, named.content)):
            if seen.setdefault(key, named.name) != named.name:
                yield (
                    ("permissions", named.name),
                    f"`permissions.{named.name}` is the same as `{seen[key]}` (`{named.content}`): remove one of them",
                )


def _check_endpoints(catalog: Catalog) -> Iterator[CatalogFault]:
    missing = [name for name in ENDPOINTS if name not in catalog.endpoints]
    if missing:
        yield (
            ("endpoints",),
            f"`endpoints` does not declare the permission of: {', '.join(missing)}; add e.g. `{missing[0]}: verb:noun`",
        )


def _check_command_words(model: CatalogModel) -> Iterator[CatalogFault]:
    spellings: dict[str, str] = {name: name for name in model.commands}
    for name, command in model.commands.items():
        for alias in command.aliases:
            if alias in spellings:
                yield (
                    ("commands", name, "aliases"),
                    f"`{alias}` is already a spelling of `{spellings[alias]}`: remove one",
                )
            spellings[alias] = name
    single = {words for words in spellings if " " not in words}
    for words, name in spellings.items():
        verb, blank, _ = words.partition(" ")
        if blank and verb in single:
            yield (
                ("commands", name),
                f"`{words}` and the one-word command `{verb}` are ambiguous: rename one of them",
            )


def _check_tasks(model: CatalogModel) -> Iterator[CatalogFault]:
    groups = {command.group for command in model.commands.values()}
    tasks: dict[str, str] = {}
    for task, names in model.tasks.items():
        for name in names:
            if name not in groups:
                text = f"`tasks.{task}` holds `{name[:80]}`, the group of no command: check the spelling"
                yield ("tasks", task), text
            if tasks.setdefault(name, task) != task:
                text = f"`{name[:80]}` is in `tasks.{tasks[name]}` and `tasks.{task}`: remove one of them"
                yield ("tasks", task), text


def _check_entry(entry: CommandEntry) -> Iterator[CatalogFault]:
    path: KeyPath = ("commands", entry.name)
    if (entry.permission is None) != (entry.scope is CommandScope.SELF):
        yield path, f"`{entry.name}` needs a `permission`, or `scope: self` without one: give exactly one of them"
    arguments = entry.syntax.arguments
    if entry.project_argument is not None and entry.project_argument not in arguments:
        yield (
            (*path, "project_argument"),
            f"`{entry.name}` has no argument `{entry.project_argument}` in its grammar `{entry.grammar}`: add it there",
        )
    if entry.open_for_self and "user" not in arguments:
        yield (
            (*path, "open_for_self"),
            f"`{entry.name}` is `open_for_self` but has no argument `user` in its grammar: add `[for <user>]`",
        )
    for name in sorted(entry.secret):
        if name != ALL_KEY_VALUES and name not in arguments and not entry.syntax.accepts_key_values:
            yield (
                (*path, "secret"),
                f"`{entry.name}` has no argument `{name}` to keep secret: add it to its grammar",
            )


def _check_reading(entry: CommandEntry, catalog: Catalog) -> Iterator[CatalogFault]:
    """Yield a fault for a command that changes something although its permission is one of those that only read."""
    if entry.permission is None or not catalog.archive_rule.allows(entry.permission):
        return
    if entry.job is not None or entry.grants_roles:
        yield (
            ("reading_permissions",),
            f"`reading_permissions` covers `{entry.permission}`, with which `{entry.name}` changes something: "
            "take it out, or give that command another permission",
        )


def _check_permission_is_held(entry: CommandEntry, catalog: Catalog) -> Iterator[CatalogFault]:
    """Yield a fault for a permission that no role could have in the scope where the command is authorized."""
    permission = entry.permission
    if permission is None:
        return
    fitting = [role for role in catalog.roles.values() if _could_allow(role, permission, entry.scope, catalog)]
    if not fitting:
        yield (
            ("commands", entry.name, "permission"),
            f"`{entry.name}` needs `{permission}` and no role could have it in its scope (`{entry.scope}`): "
            "correct the permission, or add it to a role",
        )
    elif entry.least_role is not None and entry.least_role not in {role.name for role in fitting}:
        yield (
            ("commands", entry.name, "least_role"),
            f"`least_role` of `{entry.name}` is `{entry.least_role[:80]}`, which does not have `{permission}` there: "
            f"write one of {', '.join(role.name for role in fitting)}",
        )


def _could_allow(role: Role, permission: Permission, scope: CommandScope, catalog: Catalog) -> bool:
    # The system is the parent of every project: system roles apply in projects, never the other way around (R62).
    if scope is CommandScope.SYSTEM and ScopeKind.SYSTEM not in role.scopes:
        return False
    held = set(role.permissions)
    if held and ScopeKind.PROJECT in role.scopes and scope is not CommandScope.SYSTEM:
        held |= catalog.member_permissions
    return any(candidate.covers(permission) for candidate in held)
