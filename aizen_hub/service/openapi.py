"""The OpenAPI 3.1 document, made from the table of routes and the schemas that check the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from aizen_hub import __version__
from aizen_hub.service.api.change_response import DRY_RUN
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.auth.browser_login import COOKIE
from aizen_hub.service.http.problem_document import ProblemDocument
from aizen_hub.service.http.route import Credential, Kind, Route
from aizen_hub.service.http.schema import Open, Schema
from aizen_hub.service.panel.rendering import HTML

_REF = "#/components/schemas/{model}"

_BOUND = "serviceAccountBound"
_SECURITY: dict[Credential, tuple[str, dict[str, str]]] = {
    Credential.HUB_SECRET: ("hubSecret", {"type": "http", "scheme": "bearer", "description": "The hub's own secret."}),
    Credential.ROLE_TOKEN: (
        "roleToken",
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The role token of a session."},
    ),
    Credential.SERVICE_ACCOUNT: (
        "serviceAccount",
        {"type": "http", "scheme": "bearer", "description": "A credential of a service account."},
    ),
    Credential.CORE: ("core", {"type": "http", "scheme": "bearer", "description": "The core's own credential."}),
    Credential.HUB_TOKEN: (
        "hubToken",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`token …`, with access to this service.",
        },
    ),
    Credential.BROWSER: (
        "browser",
        {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": f"Signed in through the hub. By TLS the name is `__Host-{COOKIE}`, or `__Secure-{COOKIE}` "
            "where the service shares its host with user servers.",
        },
    ),
}

_ONCE = frozenset(
    {
        "/api/v1/users/{user}/activation",
        "/api/v1/service-accounts/{account}/credentials",
        "/api/v1/pending/{change}/confirm",
    }
)
"""Changes without a key for retries: they show a secret once, or are good once."""

_SCHEMES = dict(_SECURITY.values()) | {
    _BOUND: {
        "type": "http",
        "scheme": "DPoP",
        "description": "A credential of a service account that is bound to a key, with a proof in `DPoP` (RFC 9449).",
    }
}


def document(table: Sequence[Route], url: str, cookie: str = COOKIE) -> dict[str, Any]:
    """Return the document of a table of routes.

    Parameters
    ----------
    table : sequence of Route
    url : str
        The service's own root address.
    cookie : str
        What the cookie of a signed-in browser is called at this installation.
    """
    models: set[type[Schema] | type[Open]] = {ProblemDocument}
    for route in table:
        models |= {one for one in (route.body, route.query, route.answer) if one is not None}
    ordered = sorted(models, key=lambda one: one.__name__)
    names = [one.__name__ for one in ordered]
    if len(set(names)) != len(names):
        raise ValueError("two schemas have one name")
    _, definitions = models_json_schema([(one, "validation") for one in ordered], ref_template=_REF)
    schemas = definitions.get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    browser, scheme = _SECURITY[Credential.BROWSER]
    schemes = _SCHEMES | {browser: scheme | {"name": cookie}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aizen-hub",
            "version": __version__,
            "summary": "Who may do what, decided for every command.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes},
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": _parameters(route, schemas),
        "responses": _responses(route),
        "security": _security(route),
        "x-aizen-needs": ":".join(filter(None, (route.needs.kind.value, route.needs.name))),
    }
    if route.body is not None:
        media = "application/x-www-form-urlencoded" if route.form else "application/json"
        out["requestBody"] = {"required": True, "content": {media: {"schema": _ref(route.body)}}}
    return out


def _security(route: Route) -> list[dict[str, list[str]]]:
    names = [_SECURITY[one][0] for one in sorted(route.takes) if one is not Credential.NONE]
    return [{name: []} for name in (*names, *([_BOUND] if Credential.SERVICE_ACCOUNT in route.takes else []))]


def _operation_id(route: Route) -> str:
    words = [part.strip("{}") for part in route.path.replace(".", "-").split("/") if part]
    return "-".join([route.method.lower(), *words])


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 300}}
        for name in route.members()
    ]
    if route.query is not None:
        schema = schemas[route.query.__name__]
        needed = schema.get("required", ())
        out += [
            {"name": name, "in": "query", "required": name in needed, "schema": part}
            for name, part in schema.get("properties", {}).items()
        ]
    if route.keyed:
        out.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "A retry with the same key and body has one effect.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 120, "pattern": "^[!-~]+$"},
            }
        )
    if route.versioned:
        out.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": "The ETag that the change is based on.",
                "schema": {"type": "string", "maxLength": 64},
            }
        )
    if can_be_tried(route):
        out.append(
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": f"`{DRY_RUN}`: change nothing, and answer who would gain and lose which rights. Other "
                "preferences are passed over (RFC 7240).",
                # Anything at all: what we do not know is no fault.
                "schema": {"type": "string"},
                "example": DRY_RUN,
            }
        )
    return out


def can_be_tried(route: Route) -> bool:
    """Whether it is a change that takes ``Prefer: dry-run``, because `api.answer.change` makes it."""
    return route.answer is ResultView and (route.keyed or (route.method == "POST" and route.path in _ONCE))


def _responses(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if route.answer is not None:
        good["content"] = {route.media or "application/json": {"schema": _ref(route.answer)}}
        if route.stream:
            good["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
    elif route.media is not None:
        good["content"] = {route.media: {"schema": {}}}
    problem: dict[str, Any] = {
        "description": "A problem document (RFC 9457).",
        "content": {"application/problem+json": {"schema": _ref(ProblemDocument)}},
    }
    if route.page and route.media == HTML:
        problem["content"] |= {HTML: {"schema": {"type": "string"}}}
    if route.wraps is not None:
        problem = {
            "description": "An OAuth error (RFC 6749, 5.2).",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    responses = {str(route.status): good, "4XX": problem, "502": problem, "503": problem}
    if can_be_tried(route):
        tried = {**good, "headers": {"Preference-Applied": {"schema": {"type": "string"}}}}
        responses["200"] = {**tried, "description": f"Done, or with `Prefer: {DRY_RUN}` tried."}
        if route.status != 200:
            responses["200"]["description"] = f"Tried (`Prefer: {DRY_RUN}`)."
    if route.needs.kind is not Kind.ROAD and route.answer is not None and route.method != "GET":
        responses["202"] = {**good, "description": "It waits for confirmation; `data.pending` holds its id."}
    return responses


def _ref(model: type[Schema] | type[Open]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
