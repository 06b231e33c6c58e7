"""Load a catalog and its overlays, and refuse every file that would surprise: with file, line and fix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from aizen_hub.catalogs.catalog import BuiltInAccount, BuiltInGroup, Catalog, CommandEntry, CommandScope
from aizen_hub.catalogs.check import faults
from aizen_hub.catalogs.schema import CatalogForm, CommandForm, RoleForm
from aizen_hub.catalogs.yaml_source import Place, Source, SourceError, read_source
from aizen_hub.rbac.role import Role

FOLDER = Path(__file__).parent
BUILT_IN = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


class CatalogError(SourceError):
    """A catalog or an overlay that cannot be used; one fault per line, each with file, line and fix."""


def load_catalog(name_or_path: str | Path, overlays: Sequence[str | Path] = ()) -> Catalog:
    """Load a catalog by name (``aizen``, ``aihub``, ``xat``, ``zenml``) or path, and lay overlays over it.

    Raises
    ------
    CatalogError
        A file is missing or not YAML; a key is unknown or stands twice; a command stands twice; a permission that no
        role could hold; a role that names an unknown role. All faults at once.
    """
    path = FOLDER / f"{name_or_path}.yaml" if str(name_or_path) in BUILT_IN else Path(name_or_path)
    if isinstance(name_or_path, str) and not path.exists() and not path.suffix:
        raise CatalogError(
            f"there is no catalog `{name_or_path}`: name one of {', '.join(BUILT_IN)}, or a path to a file"
        )
    try:
        source = _keyed(read_source(path))
        for overlay in overlays:
            source = _laid_over(source, _keyed(read_source(Path(overlay))))
    except SourceError as error:
        raise CatalogError(str(error)) from None
    return build_catalog(source)


def inline_catalog(source: Source) -> Catalog:
    """Build the catalog that a policy file carries; any ``verb:noun`` may be asked and held there."""
    return build_catalog(_keyed(source), open_permissions=True)


def build_catalog(source: Source, *, open_permissions: bool = False) -> Catalog:
    """Check the data and turn it into values; CatalogError with all faults."""
    try:
        form = CatalogForm.model_validate(source.data)
    except ValidationError as error:
        raise CatalogError("\n".join(describe(source, one) for one in error.errors(include_url=False))) from None
    catalog = _catalog(form)
    found = [f"{source.at(*place)}: {text}" for place, text in faults(form, catalog, open_permissions=open_permissions)]
    if found:
        raise CatalogError("\n".join(found))
    return catalog


def describe(source: Source, error: Any) -> str:
    """Turn one fault that pydantic found into ``file:line: what and fix``."""
    place: Place = error["loc"]
    where = ".".join(str(part) for part in place) or "the file"
    if error["type"] == "extra_forbidden":
        return f"{source.at(*place)}: `{where}` is not a known key: check its spelling, or remove it"
    if error["type"] == "missing":
        return f"{source.at(*place)}: `{where}` is missing: add it"
    return f"{source.at(*place)}: `{where}`: {error['msg'].removeprefix('Value error, ')}"


def _keyed(source: Source) -> Source:
    """Return the source with its list of commands keyed by name, so that overlays and places find them."""
    rows = source.data.get("commands", [])
    if not isinstance(rows, list):
        raise CatalogError(f"{source.at('commands')}: `commands` must be a list: write `- {{command: verb noun, …}}`")
    commands: dict[str, Any] = {}
    names: list[str] = []
    for index, row in enumerate(rows):
        here = source.at("commands", index)
        name = row.get("command") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise CatalogError(f"{here}: a command needs its words: add `command: verb noun`")
        if name in commands:
            first = source.at("commands", names.index(name)).rpartition(":")[2]
            raise CatalogError(f"{here}: the command `{name[:80]}` stands also in line {first}: remove one of them")
        commands[name] = row
        names.append(name)
    places = {_with_name(place, names): at for place, at in source.places.items()}
    return Source({**source.data, "commands": commands}, places)


def _with_name(place: Place, names: Sequence[str]) -> Place:
    match place:
        case ("commands", int(index), *rest):
            return ("commands", names[index], *rest)
    return place


def _laid_over(base: Source, overlay: Source) -> Source:
    """Merge by role, command and endpoint: a key that the overlay gives replaces the same key of the one below."""
    data = dict(base.data)
    for key, value in overlay.data.items():
        under = data.get(key)
        if key in {"roles", "commands", "endpoints"} and isinstance(value, dict) and isinstance(under, dict):
            data[key] = {**under, **{name: _entry(under.get(name), new) for name, new in value.items()}}
        else:
            data[key] = value
    return Source(data, {**base.places, **overlay.places})


def _entry(under: Any, over: Any) -> Any:
    return {**under, **over} if isinstance(under, dict) and isinstance(over, dict) else over


def _catalog(form: CatalogForm) -> Catalog:
    content = json.dumps(form.model_dump(mode="json", fallback=str), sort_keys=True, ensure_ascii=True)
    return Catalog(
        name=form.catalog,
        version=form.version,
        description=form.description,
        hash=hashlib.sha256(content.encode()).hexdigest(),
        roles=MappingProxyType({name: _role(name, role, form.commands.values()) for name, role in form.roles.items()}),
        commands=MappingProxyType({name: _command(command) for name, command in form.commands.items()}),
        aliases=MappingProxyType({also: name for name, command in form.commands.items() for also in command.also}),
        member_permissions=frozenset(form.member_permissions),
        admin_role=form.admin_role,
        creator_role=form.creator_role,
        creator_role_removers=frozenset(form.creator_role_removers),
        default_groups=tuple(BuiltInGroup(name, **dict(group)) for name, group in form.default_groups.items()),
        service_accounts=tuple(
            BuiltInAccount(name, **dict(account)) for name, account in form.service_accounts.items()
        ),
        alert_services=form.alert_services,
        endpoints=MappingProxyType(dict(form.endpoints)),
        groups_claim_required=form.groups_claim_required,
    )


def _role(name: str, form: RoleForm, commands: Iterable[CommandForm]) -> Role:
    in_projects = {command.permission for command in commands if command.scope is CommandScope.PROJECT}
    of_commands = {permission for permission in in_projects if permission and permission.verb in form.command_verbs}
    return Role(
        name=name,
        permissions=frozenset(form.permissions) | of_commands,
        limits=MappingProxyType(dict(form.limits)),
        scopes=frozenset(form.scopes),
        gives=frozenset(form.gives),
        takes=frozenset(form.takes),
        gives_self=frozenset(form.gives_self),
        gives_in_file=frozenset(form.gives_in_file),
        takes_in_file=frozenset(form.takes_in_file),
        holders=frozenset(form.holders),
        hands_on=form.hands_on,
        table_only=form.table_only,
        protected=form.protected,
        confirmed=form.confirmed,
        description=form.description,
        category=form.category,
        built_in=True,
    )


def _command(form: CommandForm) -> CommandEntry:
    fields = form.model_dump(exclude={"command", "also", "secret", "permission"})
    return CommandEntry(name=form.command, permission=form.permission, secret=frozenset(form.secret), **fields)
