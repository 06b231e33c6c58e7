"""Loading and validation of a catalog and its overlays; faults are reported with file, line and remedy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from aizen_hub.catalogs.catalog import BuiltInAccount, BuiltInGroup, Catalog, CommandEntry, CommandScope
from aizen_hub.catalogs.check import find_faults
from aizen_hub.catalogs.schema import CatalogModel, CommandModel, RoleModel
from aizen_hub.catalogs.yaml_source import KeyPath, Source, SourceError, read_source
from aizen_hub.rbac.named_permission import NamedPermission
from aizen_hub.rbac.role import Role

FOLDER = Path(__file__).parent
_MERGED = frozenset({"roles", "commands", "endpoints", "permissions", "tasks", "verb_words", "noun_words"})
BUILT_IN = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


class CatalogError(SourceError):
    """An invalid catalog or overlay; one fault per line, each with file, line and remedy."""


def load_catalog(name_or_path: str | Path, overlays: Sequence[str | Path] = ()) -> Catalog:
    """Load a catalog by name (``aizen``, ``aihub``, ``xat``, ``zenml``) or path, and apply overlays.

    Raises
    ------
    CatalogError
        A file is missing or not YAML; a key is unknown or repeated; a command is repeated; no role could have a
        required permission; a role names an unknown role. All faults at once.
    """
    if str(name_or_path) in BUILT_IN and not overlays:
        return _load_built_in(str(name_or_path))
    path = FOLDER / f"{name_or_path}.yaml" if str(name_or_path) in BUILT_IN else Path(name_or_path)
    if isinstance(name_or_path, str) and not path.exists() and not path.suffix:
        raise CatalogError(
            f"there is no catalog `{name_or_path}`: name one of {', '.join(BUILT_IN)}, or a path to a file"
        )
    try:
        source = _key_commands_by_name(read_source(path, is_ours=path.parent == FOLDER))
        for overlay in overlays:
            source = _merge_overlay(source, _key_commands_by_name(read_source(Path(overlay))))
    except SourceError as error:
        raise CatalogError(str(error)) from None
    return build_catalog(source)


@cache  # the files are part of the package, and a catalog cannot be changed
def _load_built_in(name: str) -> Catalog:
    return build_catalog(_key_commands_by_name(read_source(FOLDER / f"{name}.yaml", is_ours=True)))


def inline_catalog(source: Source) -> Catalog:
    """Build the catalog inside a policy file; any ``verb:noun`` may be required and held there."""
    return build_catalog(_key_commands_by_name(source), open_permissions=True)


def build_catalog(source: Source, *, open_permissions: bool = False) -> Catalog:
    """Validate the data and build the catalog; CatalogError with all faults."""
    try:
        model = CatalogModel.model_validate(source.data)
    except ValidationError as error:
        raise CatalogError(
            "\n".join(describe_error(source, detail) for detail in error.errors(include_url=False))
        ) from None
    catalog = _build(model)
    faults = [
        f"{source.location(*path)}: {text}"
        for path, text in find_faults(model, catalog, open_permissions=open_permissions)
    ]
    if faults:
        raise CatalogError("\n".join(faults))
    return catalog


def describe_error(source: Source, error: Any) -> str:
    """Format one pydantic error as ``file:line: fault and remedy``."""
    path: KeyPath = error["loc"]
    key = ".".join(str(part) for part in path) or "the file"
    if error["type"] == "extra_forbidden":
        return f"{source.location(*path)}: `{key}` is not a known key: check the spelling, or remove it"
    if error["type"] == "missing":
        return f"{source.location(*path)}: `{key}` is missing: add it"
    return f"{source.location(*path)}: `{key}`: {error['msg'].removeprefix('Value error, ')}"


def _key_commands_by_name(source: Source) -> Source:
    """Return the source with its list of commands keyed by name, for overlays and for locations."""
    rows = source.data.get("commands", [])
    if not isinstance(rows, list):
        raise CatalogError(
            f"{source.location('commands')}: `commands` must be a list: write `- {{command: verb noun, …}}`"
        )
    commands: dict[str, Any] = {}
    names: list[str] = []
    for index, row in enumerate(rows):
        location = source.location("commands", index)
        name = row.get("command") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise CatalogError(f"{location}: a command needs its words: add `command: verb noun`")
        if name in commands:
            first = source.location("commands", names.index(name)).rpartition(":")[2]
            raise CatalogError(
                f"{location}: the command `{name[:80]}` is also defined in line {first}: remove one of them"
            )
        commands[name] = row
        names.append(name)
    locations = {_with_command_name(path, names): at for path, at in source.locations.items()}
    return Source({**source.data, "commands": commands}, locations)


def _with_command_name(path: KeyPath, names: Sequence[str]) -> KeyPath:
    match path:
        case ("commands", int(index), *rest):
            return ("commands", names[index], *rest)
    return path


def _merge_overlay(base: Source, overlay: Source) -> Source:
    """Merge by role, command, endpoint and named permission: a key of the overlay replaces the same key of the base."""
    data = dict(base.data)
    for key, value in overlay.data.items():
        base_value = data.get(key)
        if key in _MERGED and isinstance(value, dict) and isinstance(base_value, dict):
            data[key] = {**base_value, **{name: _merge_entry(base_value.get(name), new) for name, new in value.items()}}
        else:
            data[key] = value
    return Source(data, {**base.locations, **overlay.locations})


def _merge_entry(base: Any, overlay: Any) -> Any:
    return {**base, **overlay} if isinstance(base, dict) and isinstance(overlay, dict) else overlay


def _build(model: CatalogModel) -> Catalog:
    commands = _build_commands(model)
    content = json.dumps(model.model_dump(mode="json", fallback=str), sort_keys=True, ensure_ascii=True)
    return Catalog(
        name=model.catalog,
        version=model.version,
        description=model.description,
        hash=hashlib.sha256(content.encode()).hexdigest(),
        roles=MappingProxyType(
            {name: _build_role(name, role, model.commands.values()) for name, role in model.roles.items()}
        ),
        commands=MappingProxyType(commands),
        aliases=MappingProxyType(
            {alias: name for name, command in model.commands.items() for alias in command.aliases}
        ),
        member_permissions=frozenset(model.member_permissions),
        admin_role=model.admin_role,
        creator_role=model.creator_role,
        creator_role_removers=frozenset(model.creator_role_removers),
        default_groups=tuple(BuiltInGroup(name, **dict(group)) for name, group in model.default_groups.items()),
        service_accounts=tuple(
            BuiltInAccount(name, **dict(account)) for name, account in model.service_accounts.items()
        ),
        alert_services=model.alert_services,
        endpoints=MappingProxyType(dict(model.endpoints)),
        groups_claim_required=model.groups_claim_required,
        tasks=tuple(dict.fromkeys([*model.tasks, *(entry.task for entry in commands.values())])),
        reading_verbs=frozenset(model.reading_verbs),
        reading_permissions=frozenset(model.reading_permissions),
        verb_words=MappingProxyType(dict(model.verb_words)),
        noun_words=MappingProxyType(dict(model.noun_words)),
        named_permissions=tuple(
            NamedPermission(name, **dict(named), built_in=True) for name, named in model.permissions.items()
        ),
    )


def _build_role(name: str, model: RoleModel, commands: Iterable[CommandModel]) -> Role:
    in_projects = {command.permission for command in commands if command.scope is CommandScope.PROJECT}
    of_commands = {permission for permission in in_projects if permission and permission.verb in model.command_verbs}
    return Role(
        name=name,
        permissions=frozenset(model.permissions) | of_commands,
        limits=MappingProxyType(dict(model.limits)),
        scopes=frozenset(model.scopes),
        can_grant=frozenset(model.can_grant),
        can_revoke=frozenset(model.can_revoke),
        can_grant_to_self=frozenset(model.can_grant_to_self),
        can_grant_in_file=frozenset(model.can_grant_in_file),
        can_revoke_in_file=frozenset(model.can_revoke_in_file),
        assignable_to=frozenset(model.assignable_to),
        can_grant_held_roles=model.can_grant_held_roles,
        grant_table_only=model.grant_table_only,
        protected=model.protected,
        requires_confirmation=model.requires_confirmation,
        description=model.description,
        category=model.category,
        built_in=True,
    )


def _build_commands(model: CatalogModel) -> dict[str, CommandEntry]:
    """Return the commands with their tasks; a group that no task names is a task of its own."""
    task_of = {group: task for task, groups in model.tasks.items() for group in groups}
    entries = [
        _build_command(command, task_of.get(command.group) or _section(command.group))
        for command in model.commands.values()
    ]
    return {entry.name: entry for entry in entries}


def _section(group: str) -> str:
    """Return the last part of a group: `Chapter / Section` is the section."""
    return group.rpartition("/")[2].strip() or "Other"


def _build_command(model: CommandModel, task: str) -> CommandEntry:
    fields = model.model_dump(exclude={"command", "aliases", "secret", "permission"})
    return CommandEntry(
        name=model.command, permission=model.permission, secret=frozenset(model.secret), task=task, **fields
    )
