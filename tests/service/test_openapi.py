"""The document is made from the routes, and says what they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import pytest

from aizen_hub.service.api.change_response import change
from aizen_hub.service.auth.browser_login import Browsers, HubPlace
from aizen_hub.service.http.route import Credential
from aizen_hub.service.openapi import document
from aizen_hub.service.routes import routes
from tests.service.conftest import Driver


def test_the_document_equals_the_routes() -> None:
    found = document(routes(), "http://127.0.0.1:9095")
    said = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
    assert said == {(route.path, route.method) for route in routes()}
    schemes = found["components"]["securitySchemes"]
    for route in routes():
        operation = found["paths"][route.path][route.method.lower()]
        assert bool(operation["security"]) == (Credential.NONE not in route.takes)
        assert all(name in schemes for one in operation["security"] for name in one)
    numbers = [operation["operationId"] for methods in found["paths"].values() for operation in methods.values()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.proves("R74")
def test_every_body_is_closed() -> None:
    schemas = document(routes(), "http://x")["components"]["schemas"]
    for route in routes():
        for model in (route.body, route.query):
            # AuthZEN 1.0 demands that members which we do not know are passed over; they reach nothing.
            if model is not None and not route.path.startswith("/access/v1/"):
                assert schemas[model.__name__]["additionalProperties"] is False, model


def test_every_reference_leads_somewhere() -> None:
    found = document(routes(), "http://x")
    text = json.dumps(found)
    for part in text.split('"$ref": "')[1:]:
        name = part.partition('"')[0].removeprefix("#/components/schemas/")
        assert name in found["components"]["schemas"]


def test_every_change_that_can_be_tried_says_so() -> None:
    found = document(routes(), "http://x")["paths"]
    for route in routes():
        operation = found[route.path][route.method.lower()]
        said = any(one["name"] == "Prefer" for one in operation["parameters"])
        # Questions change nothing, so that there is nothing to try.
        changes = route.method != "GET" and not route.path.startswith("/api/v1/questions/")
        assert said == (changes and _reaches(route.handle, change)), route.name
        assert not said or "Preference-Applied" in operation["responses"]["200"]["headers"]


def _reaches(function: Any, wanted: Any, depth: int = 4) -> bool:
    """Whether a function names another one, itself or by way of others of its module."""
    known = function.__globals__
    near = [known.get(name) for code in _codes(function.__code__) for name in code.co_names]
    near += [one.cell_contents for one in function.__closure__ or ()]
    return wanted in [one for one in near if isinstance(one, FunctionType)] or any(
        _reaches(one, wanted, depth - 1)
        for one in near
        if depth and isinstance(one, FunctionType) and one.__module__ == function.__module__
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


@pytest.mark.parametrize(
    ("public", "host", "name"),
    [
        ("https://hub.example.org/services/aizen/", "https://hub.example.org", "__Host-aizen-panel"),
        ("https://hub.example.org/services/aizen/", "", "__Secure-aizen-panel"),
        ("http://hub.example.org/services/aizen/", "", "aizen-panel"),
    ],
)
def test_the_cookie_is_the_one_that_browsers_carry(public: str, host: str, name: str) -> None:
    place = HubPlace.of({"JUPYTERHUB_PUBLIC_URL": public, "JUPYTERHUB_HOST": host})
    cookie = Browsers(SimpleNamespace(prefix="/services/aizen/"), place, None).cookie  # type: ignore[arg-type]
    scheme = document(routes(), "http://x", cookie)["components"]["securitySchemes"]["browser"]
    assert (scheme["in"], scheme["name"]) == ("cookie", name)


async def test_it_is_served(service: Driver) -> None:
    answer = await service.call("GET", "/api/v1/openapi.json")
    assert answer.json["openapi"] == "3.1.0"
    assert "/api/v1/commands" in answer.json["paths"]
    assert answer.json["components"]["securitySchemes"]["browser"]["name"] == service.house.browsers.cookie
