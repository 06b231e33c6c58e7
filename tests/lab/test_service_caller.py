"""Failures of the service and the connection, with the double of the notebook's tests: a real one answers too well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from aizen_hub.lab.allowed_calls import ALLOWED_CALLS, SWITCH_PROJECT
from aizen_hub.lab.call_quota import CallQuota
from aizen_hub.lab.service_caller import ServiceCaller
from aizen_hub.notebook.client import NotebookClient
from tests.fixtures.network.ports import free_port
from tests.notebook.service_double import ServiceDouble, service_double

CALLS = {call.path: call for call in ALLOWED_CALLS}
CATALOG, REQUEST = CALLS["/api/v1/catalog"], CALLS["/api/v1/requests"]


@pytest.fixture
def double() -> Iterator[ServiceDouble]:
    with service_double() as running:
        yield running


def caller(environ: dict[str, str], burst: int = 100) -> ServiceCaller:
    return ServiceCaller(NotebookClient.from_environment(environ), CallQuota(burst, 0.001))


async def test_one_response_serves_all_tabs_and_a_failure_none(double: ServiceDouble) -> None:
    calls = caller(double.environment())
    double.catalog_status = 503
    assert (await calls.call(CATALOG)).status == 503
    double.catalog_status = 200
    responses = await asyncio.gather(*(calls.call(CATALOG) for _ in range(8)), calls.call(CATALOG))
    assert [response.status for response in responses] == [200] * 9
    assert double.catalog_requests == 2


async def test_a_change_is_seen_by_the_next_reading(double: ServiceDouble) -> None:
    calls = caller(double.environment())
    await calls.call(CATALOG)
    await calls.call(REQUEST, body={"role": "R", "scope": "churn"})
    await calls.call(CATALOG)
    assert double.catalog_requests == 2


async def test_a_service_that_is_away_is_a_problem_with_a_remedy() -> None:
    environ = {"AIZEN_URL": f"http://127.0.0.1:{free_port()}", "AIZEN_TOKEN": "a.b.c"}
    response = await caller(environ).call(CATALOG)
    assert response.status == 503
    assert response.content["code"] == "unreachable"
    assert response.content["remedy"]


async def test_a_page_that_asks_too_often_is_told_to_wait(double: ServiceDouble) -> None:
    calls = caller(double.environment(), burst=1)
    assert (await calls.call(CATALOG)).status == 200
    refused = await calls.call(REQUEST, body={"role": "R", "scope": "churn"})
    assert refused.status == 429
    assert double.requests == []


async def test_the_project_is_switched_by_an_exchange_whose_token_stays_here(double: ServiceDouble) -> None:
    response = await caller(double.environment()).call(SWITCH_PROJECT, body={"project": "pricing"})
    assert double.renewals[-1]["project"] == "pricing"
    assert response.content == {"project": "churn"}, "what the service answers, here a scripted one"


async def test_a_rejected_role_token_is_no_end_of_the_browsers_login(double: ServiceDouble) -> None:
    environ: dict[str, Any] = {"AIZEN_URL": double.url, "AIZEN_TOKEN": "an.old.token"}
    response = await caller(environ).call(CATALOG)
    assert response.status == 403
