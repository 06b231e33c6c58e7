"""The application: which address and method reaches which route, and which credentials each side accepts."""

from __future__ import annotations

import re

import pytest

from aizen_hub.service.http.route import DIRECT_METHODS, PROXIED_METHODS, AuthMethod, Route, RouteError, check_routes
from aizen_hub.service.routes import routes
from tests.service.conftest import Driver


def segments_match(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", pattern), path) is not None


def test_no_address_matches_two_patterns() -> None:
    """So neither the order of the table nor that of aiohttp's index decides which route an address has."""
    paths = {route.path for route in routes()}
    overlapping = {
        (pattern, path)
        for pattern in paths
        for path in paths
        if path != pattern and "{" in pattern and segments_match(pattern, re.sub(r"[{}]", "", path))
    }
    # Fixed addresses beside a parameter are found first. `-` is the name of no object, and files and ids have no names.
    assert {path for _, path in overlapping if "{" in path} == set()
    unnamed = {"/static/{file}", "/people/-/import/{operation}"}
    assert {path for pattern, path in overlapping if pattern not in unnamed and "/-/" not in path} == set()


@pytest.mark.proves("R60")
async def test_every_address_exists_on_its_side_only(service: Driver) -> None:
    prefix = service.server.context.prefix.rstrip("/")
    sides = {
        "": (DIRECT_METHODS | {AuthMethod.NONE}, routes()),
        prefix: (
            PROXIED_METHODS | {AuthMethod.NONE},
            tuple(route for route in routes() if route.path.startswith("/api/") or route.browser_page),
        ),
    }
    for side, (accepted, reachable) in sides.items():
        patterns = {route.path for route in reachable if route.auth & accepted}
        for path in sorted({re.sub(r"\{[a-z_]+\}", "x", route.path) for route in routes()}):
            # HEAD is not a method of any route: it is refused without running a handler.
            answer = await service.call("HEAD", side + path)
            exists = any(segments_match(pattern, path) for pattern in patterns)
            assert answer.status == (405 if exists else 404), side + path


async def test_a_fixed_address_is_found_before_a_parameter(service: Driver) -> None:
    answer = await service.call("GET", service.server.context.prefix + "static/panel.css")
    assert answer.status == 200
    assert (await service.call("GET", service.server.context.prefix + "static/nothing.css")).status == 404


@pytest.mark.parametrize("name", ["{file}", "%7Bfile%7D", "a%2Fb", "a%20b", "%25"])
async def test_a_parameter_is_one_segment_whatever_it_holds(service: Driver, name: str) -> None:
    boss = await service.open("boss", None)
    answer = await service.call("PATCH", f"/api/v1/users/{name}", {"display_name": "x"}, auth=boss.auth)
    assert answer.status in (400, 404), (name, answer.status)
    assert answer.json["detail"] != "there is nothing at this address", name


@pytest.mark.parametrize("expect", ["100-continue", "something-else"])
@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/a%0Ab"])
async def test_an_expectation_changes_no_response(service: Driver, path: str, expect: str) -> None:
    answer = await service.call("GET", path, headers={"Expect": expect})
    assert answer.status == (200 if path == "/livez" else 404)
    assert answer.headers["Server"] == "aizen-hub"


def test_a_table_with_a_route_twice_is_refused() -> None:
    table = routes()
    with pytest.raises(RouteError, match="is defined twice"):
        check_routes((*table, table[0]))


def test_a_route_without_a_requirement_is_refused() -> None:
    first = routes()[0]
    bad = Route(first.method, "/y", first.auth, None, first.handler, "A route of this test.")  # type: ignore[arg-type]
    with pytest.raises(RouteError, match="declares no requirement"):
        check_routes((bad,))
