"""The document is made from the routes, and says what they do."""

from __future__ import annotations

import json

import pytest

from aizen_hub.service.openapi import document
from aizen_hub.service.route import Credential
from aizen_hub.service.table import routes
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


async def test_it_is_served(service: Driver) -> None:
    answer = await service.call("GET", "/api/v1/openapi.json")
    assert answer.json["openapi"] == "3.1.0"
    assert "/api/v1/commands" in answer.json["paths"]
