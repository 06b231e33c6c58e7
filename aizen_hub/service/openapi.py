"""The OpenAPI 3.1 document, generated from the table of routes and the schemas that validate the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from aizen_hub import __version__
from aizen_hub.api_models.schema import ResponseModel, Schema
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.api.schemas.users import NewUserResponse
from aizen_hub.service.auth.browser_login import COOKIE
from aizen_hub.service.http.headers import DRY_RUN, FORM, HTML, JSON, NDJSON, PROBLEM_JSON
from aizen_hub.service.http.problem_document import ProblemDocument
from aizen_hub.service.http.route import AuthMethod, RequirementKind, Route

_REF = "#/components/schemas/{model}"

_BOUND = "serviceAccountBound"
_SECURITY: dict[AuthMethod, tuple[str, dict[str, str]]] = {
    AuthMethod.HUB_SECRET: ("hubSecret", {"type": "http", "scheme": "bearer", "description": "The hub's own secret."}),
    AuthMethod.ROLE_TOKEN: (
        "roleToken",
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The role token of a session."},
    ),
    AuthMethod.SERVICE_ACCOUNT: (
        "serviceAccount",
        {"type": "http", "scheme": "bearer", "description": "A credential of a service account."},
    ),
    AuthMethod.CORE: ("core", {"type": "http", "scheme": "bearer", "description": "The core's own credential."}),
    AuthMethod.HUB_TOKEN: (
        "hubToken",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`token …`, with access to this service.",
        },
    ),
    AuthMethod.BROWSER: (
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
        "/api/v1/users",
        "/api/v1/users/{user}/activation",
        "/api/v1/service-accounts/{account}/credentials",
        "/api/v1/pending/{change}/confirm",
    }
)
"""Changes without an idempotency key: they show a secret once, or can be done only once."""

_REQUESTS = "/api/v1/requests"
"""Access requests refuse a dry run, which would tell names of projects."""

_SCHEMES = dict(_SECURITY.values()) | {
    _BOUND: {
        "type": "http",
        "scheme": "DPoP",
        "description": "A credential of a service account that is bound to a key, with a proof in `DPoP` (RFC 9449).",
    }
}


def build_document(table: Sequence[Route], url: str, cookie: str = COOKIE) -> dict[str, Any]:
    """Return the OpenAPI document of a table of routes.

    Parameters
    ----------
    table : sequence of Route
    url : str
        The service's own root address.
    cookie : str
        Name of the session cookie at this installation.
    """
    models: set[type[Schema] | type[ResponseModel]] = {ProblemDocument}
    for route in table:
        models |= {model for model in (route.body, route.query, route.response) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    names = [model.__name__ for model in ordered]
    if len(set(names)) != len(names):
        raise ValueError("two schemas have the same name")
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    schemas = definitions.get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    browser, scheme = _SECURITY[AuthMethod.BROWSER]
    schemes = _SCHEMES | {browser: scheme | {"name": cookie}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aizen-hub",
            "version": __version__,
            "summary": "Authorization of every command.",
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
        "x-aizen-requires": ":".join(filter(None, (route.requires.kind.value, route.requires.name))),
    }
    if route.body is not None:
        media = FORM if route.form else JSON
        out["requestBody"] = {"required": True, "content": {media: {"schema": _ref(route.body)}}}
    return out


def _security(route: Route) -> list[dict[str, list[str]]]:
    names = [_SECURITY[method][0] for method in sorted(route.auth) if method is not AuthMethod.NONE]
    return [{name: []} for name in (*names, *([_BOUND] if AuthMethod.SERVICE_ACCOUNT in route.auth else []))]


def _operation_id(route: Route) -> str:
    words = [part.strip("{}") for part in route.path.replace(".", "-").split("/") if part]
    return "-".join([route.method.lower(), *words])


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 300}}
        for name in route.path_params()
    ]
    if route.query is not None:
        schema = schemas[route.query.__name__]
        required = schema.get("required", ())
        out += [
            {"name": name, "in": "query", "required": name in required, "schema": part}
            for name, part in schema.get("properties", {}).items()
        ]
    if route.idempotent:
        out.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "A retry with the same key and body has one effect.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 120, "pattern": "^[!-~]+$"},
            }
        )
    if route.if_match:
        out.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": "The ETag that the change is based on.",
                "schema": {"type": "string", "maxLength": 64},
            }
        )
    if supports_dry_run(route):
        out.append(
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": f"`{DRY_RUN}`: change nothing, and return who would gain and lose which rights. Other "
                "preferences are ignored (RFC 7240).",
                # Any text: unknown preferences are no error.
                "schema": {"type": "string"},
                "example": DRY_RUN,
            }
        )
    return out


def supports_dry_run(route: Route) -> bool:
    """Whether it is a change that accepts ``Prefer: dry-run``, as `api.change_response.authorized_result` does."""
    if route.path == _REQUESTS:
        return False
    is_change = route.idempotent or (route.method == "POST" and route.path in _ONCE)
    return is_change and route.response in (ResultView, NewUserResponse)


def _responses(route: Route) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if route.response is not None:
        good["content"] = {route.media_type or JSON: {"schema": _ref(route.response)}}
        if route.streams:
            good["content"][NDJSON] = {"schema": {"type": "string"}}
    elif route.media_type is not None:
        good["content"] = {route.media_type: {"schema": {}}}
    problem: dict[str, Any] = {
        "description": "A problem document (RFC 9457).",
        "content": {PROBLEM_JSON: {"schema": _ref(ProblemDocument)}},
    }
    if route.browser_page and route.media_type == HTML:
        problem["content"] |= {HTML: {"schema": {"type": "string"}}}
    if route.error_formatter is not None:
        problem = {
            "description": "An OAuth error (RFC 6749, 5.2).",
            "content": {JSON: {"schema": {"type": "object"}}},
        }
    responses = {str(route.status): good, "4XX": problem, "502": problem, "503": problem}
    if supports_dry_run(route):
        dry_run = {**good, "headers": {"Preference-Applied": {"schema": {"type": "string"}}}}
        responses["200"] = {**dry_run, "description": f"Done, or with `Prefer: {DRY_RUN}` evaluated only."}
        if route.status != 200:
            responses["200"]["description"] = f"Dry run (`Prefer: {DRY_RUN}`)."
    if (
        route.requires.kind is not RequirementKind.CREDENTIAL_SUFFICES
        and route.response is not None
        and route.method != "GET"
    ):
        responses["202"] = {
            **good,
            "description": "It has to be confirmed; `data.pending` holds the id of the pending change.",
        }
    return responses


def _ref(model: type[Schema] | type[ResponseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
