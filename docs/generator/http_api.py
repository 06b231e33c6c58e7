"""The page of the HTTP interface, from the OpenAPI document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aizen_hub.service.http.headers import HTML
from aizen_hub.service.openapi import build_document
from aizen_hub.service.routes import routes
from docs.generator.markdown import NOTICE, escape_cell, format_code, format_table

_INTRODUCTION = """\
# HTTP interface

Programs use these addresses; the pages of the panel are left out. A running service has the same as an OpenAPI 3.1
document at `/api/v1/openapi.json`. Hub tokens and browsers reach them below `/services/aizen`, all others at the
service's own address. Errors are problem documents, see [problem types](problems.md).

*Credentials* are the accepted ones, *requires* what else is needed: `credential` nothing, `registered` any active
user, about themselves, `command` the permission of the command in the body, `endpoint:…` the permission that the
catalog names for the endpoint, `same-as-command:…` the permission of the command with that effect.
"""


def api_operations() -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return method, path and operation of each route that is no page."""
    document = build_document(routes(), "https://aizen.example.org")
    return [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not _is_page(path, operation)
    ]


def build_http_api_page() -> str:
    """Return the page."""
    schemas = build_document(routes(), "https://aizen.example.org")["components"]["schemas"]
    groups: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = defaultdict(list)
    for method, path, operation in api_operations():
        groups[_group(path)].append((method, path, operation))
    parts = [NOTICE, _INTRODUCTION]
    for group, operations in sorted(groups.items()):
        parts.append(f"## {group}\n")
        for method, path, operation in sorted(operations, key=lambda item: (item[1], item[0])):
            parts.append(_section(method, path, operation, schemas))
    return "\n".join(parts)


def _group(path: str) -> str:
    words = path.removeprefix("/api/v1/").strip("/").split("/")
    return f"`/api/v1/{words[0]}`" if path.startswith("/api/v1/") else f"`/{words[0]}`"


def _is_page(path: str, operation: Mapping[str, Any]) -> bool:
    """Whether only browsers use it: a page, a form of one, or a file of them."""
    answers = {media for response in operation["responses"].values() for media in response.get("content", {})}
    is_browser_only = bool(operation["security"]) and all("browser" in scheme for scheme in operation["security"])
    return not path.startswith("/api/") and (HTML in answers or is_browser_only)


def _section(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    credentials = ", ".join(next(iter(scheme)) for scheme in operation["security"]) or "none"
    parts = [
        f"### `{method} {path}`\n",
        f"{operation['summary']}\n",
        f"Credentials: {credentials}. Requires: `{operation['x-aizen-requires']}`.\n",
    ]
    parameters = [
        (
            format_code(parameter["name"]),
            parameter["in"],
            _type_of(parameter["schema"], schemas),
            "required" if parameter["required"] else "",
            escape_cell(parameter.get("description") or parameter["schema"].get("description", "")),
        )
        for parameter in operation["parameters"]
    ]
    parts.append(format_table(("parameter", "in", "type", "needed", "meaning"), parameters))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(_fields("Body", media, content["schema"], schemas))
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            for media, content in response.get("content", {}).items():
                parts.append(_fields(f"Answer {status}", media, content["schema"], schemas))
    return "\n".join(filter(None, parts))


def _fields(title: str, media: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    resolved = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    required = resolved.get("required", ())
    rows = [
        (
            format_code(name),
            _type_of(field, schemas),
            "required" if name in required else "",
            escape_cell(field.get("description", "")),
        )
        for name, field in resolved.get("properties", {}).items()
    ]
    return f"{title}, `{media}`:\n\n" + (
        format_table(("member", "type", "needed", "meaning"), rows) or "no fixed members.\n"
    )


def _type_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _type_of(schemas[name], schemas) if "enum" in schemas[name] else format_code(name)
    if "anyOf" in schema:
        return " or ".join(_type_of(part, schemas) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values: Sequence[Any] = schema.get("enum", [schema.get("const")])
        return ", ".join(format_code(value) for value in values)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type_of(schema.get('items', {}), schemas)}"
    bounds = {"maxLength": "≤ {} characters", "maximum": "≤ {}", "minimum": "≥ {}"}
    found = [text.format(schema[name]) for name, text in bounds.items() if name in schema]
    return " ".join(filter(None, [str(kind), ", ".join(found)]))
