"""What must agree inside a catalog: each check yields the place of a fault, what is wrong, and the fix."""

from __future__ import annotations

from collections.abc import Iterator

from aizen_hub.catalogs.catalog import ENDPOINTS, EVERY_PAIR, Catalog, CommandEntry, CommandScope
from aizen_hub.catalogs.schema import CatalogForm
from aizen_hub.catalogs.yaml_source import Place
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import Role, ScopeKind

Fault = tuple[Place, str]

_ROLE_SETS = ("gives", "takes", "gives_self", "gives_in_file", "takes_in_file")


def faults(form: CatalogForm, catalog: Catalog, *, open_permissions: bool) -> Iterator[Fault]:
    """Yield every fault of the catalog.

    With ``open_permissions`` a command may need what no role holds, and no service has to run by the catalog.
    """
    yield from _role_names(form, catalog)
    if not open_permissions:
        yield from _endpoints(catalog)
    yield from _command_words(form)
    for entry in catalog.commands.values():
        yield from _entry(entry)
        if not open_permissions:
            yield from _holdable(entry, catalog)


def _role_names(form: CatalogForm, catalog: Catalog) -> Iterator[Fault]:
    named: list[tuple[Place, str]] = [
        (("roles", name, key), other)
        for name, role in form.roles.items()
        for key in _ROLE_SETS
        for other in getattr(role, key)
    ]
    named += [((key,), name) for key in ("admin_role", "creator_role") if (name := getattr(form, key)) is not None]
    named += [(("creator_role_removers",), name) for name in form.creator_role_removers]
    named += [(("default_groups", key), name) for key, group in form.default_groups.items() for name in group.roles]
    named += [(("service_accounts", key), name) for key, one in form.service_accounts.items() for name in one.roles]
    known = ", ".join(catalog.roles) or "none"
    for place, name in named:
        if name not in catalog.roles:
            yield place, f"`{'.'.join(map(str, place))}` names the unknown role `{name[:80]}`: write one of {known}"
    for name, role in form.roles.items():
        for beyond in sorted(set(role.gives_self) - set(role.gives) - set(role.takes)):
            yield (
                ("roles", name, "gives_self"),
                f"`roles.{name}.gives_self` holds `{beyond[:80]}`, which is in neither `gives` nor `takes`: add it",
            )
        verbs = {permission.verb for permission in catalog.permissions}
        for verb in role.command_verbs:
            if verb not in verbs:
                yield (
                    ("roles", name, "command_verbs"),
                    f"`roles.{name}.command_verbs` holds `{verb[:80]}`, which no command needs: check its spelling",
                )


def _endpoints(catalog: Catalog) -> Iterator[Fault]:
    lacking = [name for name in ENDPOINTS if name not in catalog.endpoints]
    if lacking:
        yield (
            ("endpoints",),
            f"`endpoints` does not say what these need: {', '.join(lacking)}; add e.g. `{lacking[0]}: verb:noun`",
        )


def _command_words(form: CatalogForm) -> Iterator[Fault]:
    spellings: dict[str, str] = {name: name for name in form.commands}
    for name, command in form.commands.items():
        for also in command.also:
            if also in spellings:
                yield ("commands", name, "also"), f"`{also}` is already a spelling of `{spellings[also]}`: remove one"
            spellings[also] = name
    single = {words for words in spellings if " " not in words}
    for words, name in spellings.items():
        verb, blank, _ = words.partition(" ")
        if blank and verb in single:
            yield (
                ("commands", name),
                f"`{words}` and the one-word command `{verb}` could be read for each other: rename one of them",
            )


def _entry(entry: CommandEntry) -> Iterator[Fault]:
    place: Place = ("commands", entry.name)
    if (entry.permission is None) != (entry.scope is CommandScope.SELF):
        yield place, f"`{entry.name}` needs a `permission`, or `scope: self` without one: give exactly one of them"
    arguments = entry.syntax.arguments
    if entry.project_argument is not None and entry.project_argument not in arguments:
        yield (
            (*place, "project_argument"),
            f"`{entry.name}` has no argument `{entry.project_argument}` in its grammar `{entry.grammar}`: add it there",
        )
    if entry.open_for_self and "user" not in arguments:
        yield (
            (*place, "open_for_self"),
            f"`{entry.name}` is open for oneself but has no argument `user` in its grammar: add `[for <user>]`",
        )
    for name in sorted(entry.secret):
        if name != EVERY_PAIR and name not in arguments and not entry.syntax.takes_pairs:
            yield (
                (*place, "secret"),
                f"`{entry.name}` has no argument `{name}` to keep secret: add it to its grammar",
            )


def _holdable(entry: CommandEntry, catalog: Catalog) -> Iterator[Fault]:
    """Yield a fault for a permission that no role could hold where the command is judged."""
    permission = entry.permission
    if permission is None:
        return
    fitting = [role for role in catalog.roles.values() if _could_answer(role, permission, entry.scope, catalog)]
    if not fitting:
        yield (
            ("commands", entry.name, "permission"),
            f"`{entry.name}` needs `{permission}` and no role could hold it in its scope (`{entry.scope}`): "
            "correct the permission, or add it to a role",
        )
    elif entry.least_role is not None and entry.least_role not in {role.name for role in fitting}:
        yield (
            ("commands", entry.name, "least_role"),
            f"`least_role` of `{entry.name}` is `{entry.least_role[:80]}`, which does not hold `{permission}` there: "
            f"write one of {', '.join(role.name for role in fitting)}",
        )


def _could_answer(role: Role, permission: Permission, scope: CommandScope, catalog: Catalog) -> bool:
    # The system is the parent of every project, so a system role may answer in a project and never the other way (R62).
    if scope is CommandScope.SYSTEM and ScopeKind.SYSTEM not in role.scopes:
        return False
    held = set(role.permissions)
    if held and ScopeKind.PROJECT in role.scopes and scope is not CommandScope.SYSTEM:
        held |= catalog.member_permissions
    return any(one.covers(permission) for one in held)
