"""The page of all settings, from their model and the comments of the example file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aizen_hub.cli.commands.machine.init import example
from aizen_hub.settings import ENV_PREFIX, Settings
from docs.generator.markdown import NOTICE, escape_cell, format_code, format_table

# In the example a comment that begins with a key is YAML that is commented out; all other comments are prose.
_COMMENTED = re.compile(r"^( *)# ((?: *(?:- )?[a-z_]+:(?: .*)?| *# .*))$", re.MULTILINE)
_KEY = re.compile(r"^( *)(- )?([a-z_]+):(?: (.*))?$")
_INTRODUCTION = """\
# Settings

All keys of `aizen.yaml`, which the hub and the service read. An unknown key is an error at the start, and relative
paths start at the folder of the file. `aizen-hub init` writes the file with every key, its default and a comment.

An environment variable overrides a key: `AIZEN_` and the key in capital letters, with two underscores between the
parts of a nested key. `AIZEN_SERVICE__PORT=9096` means `service: {port: 9096}`.
"""


def build_settings_page() -> str:
    """Return the page."""
    descriptions = read_descriptions(example("https://hub.example.org"))
    parts = [NOTICE, _INTRODUCTION]
    top = [(name, field) for name, field in Settings.model_fields.items() if _section_of(field) is None]
    parts.append("## Top level\n\n" + _table("", top, descriptions))
    for name, field in Settings.model_fields.items():
        section = _section_of(field)
        if section is not None:
            text = descriptions.get(name, "")
            parts.append(f"## `{name}`\n\n" + (text + "\n\n" if text else "") + _tables(name, section, descriptions))
    return "\n".join(parts)


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every key."""
    for name, field in model.model_fields.items():
        yield prefix + name
        section = _section_of(field)
        if section is not None:
            yield from setting_keys(section, f"{prefix}{name}.")


def read_descriptions(text: str) -> dict[str, str]:
    """Return the comment of each key of the example, by its dotted path.

    A comment stands above its key or behind the value; keys that follow each other below one comment share it.
    """
    out: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    prose: list[str] = []
    shared: tuple[int, str] | None = None
    for line in _COMMENTED.sub(r"\1\2", text).splitlines():
        match = _KEY.match(line)
        if match is None:
            prose = [*prose, line.strip().removeprefix("#").strip()] if line.strip().startswith("#") else []
            shared = shared if prose else None
            continue
        indent = len(match[1]) + len(match[2] or "")
        path = [(depth, key) for depth, key in path if depth < indent] + [(indent, match[3])]
        behind = (match[4] or "").partition("   # ")[2]
        own = " ".join(filter(None, [*prose, behind]))
        if own:
            shared = (indent, own)
        elif shared is not None and shared[0] != indent:
            shared = None
        if shared is not None:
            out.setdefault(".".join(name for _, name in path), shared[1])
        prose = []
    return out


def _tables(prefix: str, section: type[BaseModel], descriptions: Mapping[str, str]) -> str:
    fields = list(section.model_fields.items())
    plain = [(name, field) for name, field in fields if _section_of(field) is None]
    nested = [(name, section) for name, field in fields if (section := _section_of(field)) is not None]
    parts = [_table(f"{prefix}.", plain, descriptions)]
    for name, inner in nested:
        parts.append(f"### `{prefix}.{name}`\n\n" + _tables(f"{prefix}.{name}", inner, descriptions))
    return "\n".join(parts)


def _table(prefix: str, fields: list[tuple[str, FieldInfo]], descriptions: Mapping[str, str]) -> str:
    rows = [
        (
            format_code(prefix + name),
            format_code(_type_name(field.annotation)) + _bounds(field),
            _default(field),
            escape_cell(descriptions.get(prefix + name, "")),
        )
        for name, field in fields
    ]
    return format_table(("key", "type", "default", "meaning"), rows)


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    for annotation in (field.annotation, *_flat_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def _flat_args(annotation: Any) -> Iterator[Any]:
    for arg in get_args(annotation):
        yield arg
        yield from _flat_args(arg)


def _type_name(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(map(str, args))
    if origin in (Union, UnionType):
        return " or ".join(_type_name(arg) for arg in args if arg is not NoneType)
    if origin is Annotated:
        return _type_name(args[0])
    if origin in (tuple, list, frozenset, set):
        return f"list of {_type_name(args[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation) or getattr(annotation, "__name__", str(annotation)).lower()


def _bounds(field: FieldInfo) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [
        f"{word} {getattr(item, name)}"
        for item in field.metadata
        for name, word in words.items()
        if getattr(item, name, None) is not None
    ]
    return ", " + " and ".join(found) if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None else format_code(json.dumps(value, default=str))


def environment_name(key: str) -> str:
    """Return the variable that overrides a key."""
    return ENV_PREFIX + key.upper().replace(".", "__")
