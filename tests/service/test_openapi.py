"""The OpenAPI document is generated from the routes, and agrees with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import pytest

from aizen_hub.service.api.change_response import authorized_result
from aizen_hub.service.auth.browser_login import BrowserLogin, HubLocation
from aizen_hub.service.auth.hub_api import HubApiClient
from aizen_hub.service.http.route import AuthMethod
from aizen_hub.service.openapi import build_document
from aizen_hub.service.routes import routes
from tests.service.conftest import Driver


def test_the_document_equals_the_routes() -> None:
    document = build_document(routes(), "http://127.0.0.1:9095")
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.path, route.method) for route in routes()}
    schemes = document["components"]["securitySchemes"]
    for route in routes():
        operation = document["paths"][route.path][route.method.lower()]
        assert bool(operation["security"]) == (AuthMethod.NONE not in route.auth)
        assert all(name in schemes for scheme in operation["security"] for name in scheme)
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.proves("R74")
def test_every_body_is_closed() -> None:
    schemas = build_document(routes(), "http://x")["components"]["schemas"]
    for route in routes():
        for model in (route.body, route.query):
            # AuthZEN 1.0 requires that unknown members are ignored.
            if model is not None and not route.path.startswith("/access/v1/"):
                assert schemas[model.__name__]["additionalProperties"] is False, model


def test_every_reference_resolves() -> None:
    document = build_document(routes(), "http://x")
    text = json.dumps(document)
    for part in text.split('"$ref": "')[1:]:
        name = part.partition('"')[0].removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]


def test_every_change_with_a_dry_run_is_described() -> None:
    paths = build_document(routes(), "http://x")["paths"]
    for route in routes():
        operation = paths[route.path][route.method.lower()]
        has_dry_run = any(param["name"] == "Prefer" for param in operation["parameters"])
        # Access queries change nothing.
        changes = route.method != "GET" and not route.path.startswith("/api/v1/access-queries/")
        assert has_dry_run == (changes and _reaches(route.handler, authorized_result)), route.name
        assert not has_dry_run or "Preference-Applied" in operation["responses"]["200"]["headers"]


def _reaches(function: Any, wanted: Any, depth: int = 4) -> bool:
    """Whether a function uses another one, itself or through functions of its module."""
    near = [function.__globals__.get(name) for code in _codes(function.__code__) for name in code.co_names]
    near += [cell.cell_contents for cell in function.__closure__ or ()]
    return wanted in [value for value in near if isinstance(value, FunctionType)] or any(
        _reaches(value, wanted, depth - 1)
        for value in near
        if depth and isinstance(value, FunctionType) and value.__module__ == function.__module__
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


@pytest.mark.parametrize(
    ("public", "host", "name"),
    [
        ("https://aizen.hub.example.org/services/aizen/", "https://hub.example.org", "__Host-aizen-panel"),
        # `public_url` without subdomains: user servers have the same host, and would receive a cookie for all paths.
        ("https://hub.example.org/services/aizen/", "https://hub.example.org", "__Secure-aizen-panel"),
        ("https://hub.example.org/services/aizen/", "", "__Secure-aizen-panel"),
        ("http://hub.example.org/services/aizen/", "", "aizen-panel"),
    ],
)
def test_the_cookie_has_the_name_that_browsers_send(public: str, host: str, name: str) -> None:
    location = HubLocation.from_environ({"JUPYTERHUB_PUBLIC_URL": public, "JUPYTERHUB_HOST": host})
    cookie = BrowserLogin(
        HubApiClient(None, "aizen", 1.0), location, None, prefix="/services/aizen/", trusted_proxies=()
    ).cookie_name
    scheme = build_document(routes(), "http://x", cookie)["components"]["securitySchemes"]["browser"]
    assert (scheme["in"], scheme["name"]) == ("cookie", name)


async def test_it_is_served(service: Driver) -> None:
    answer = await service.call("GET", "/api/v1/openapi.json")
    assert answer.json["openapi"] == "3.1.0"
    assert "/api/v1/commands" in answer.json["paths"]
    assert answer.json["components"]["securitySchemes"]["browser"]["name"] == service.context.browser_login.cookie_name
