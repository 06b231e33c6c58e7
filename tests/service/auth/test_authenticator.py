"""Endpoints accept only the credential types that they declare."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.service.app import create_app
from aizen_hub.service.auth import authenticator
from aizen_hub.service.factory import build_context
from aizen_hub.service.http.route import (
    ANY_REGISTERED,
    CREDENTIAL_SUFFICES,
    AuthMethod,
    JsonResponse,
    Route,
    RouteError,
    check_routes,
)
from aizen_hub.service.routes import routes
from aizen_hub.service.server import Server
from tests.service.conftest import INSTANCE, Driver, populate, settings_for

CORE_CREDENTIAL = secrets.token_urlsafe(32)


class _HubUser(RequestHandler):
    """`GET /hub/api/user` of the hub's API."""

    def get(self) -> None:
        tokens: dict[str, Any] = self.settings["tokens"]
        self.settings["requests"].append(self.request.headers["Authorization"])
        model = tokens.get(self.request.headers["Authorization"].removeprefix("token "))
        if model is None:
            self.set_status(403)
        else:
            self.write(model)


class _Revocation(RequestHandler):
    """The hub's endpoint for revocations: it has none of the users."""

    def post(self) -> None:
        self.set_status(404)
        self.set_header("Content-Type", "application/problem+json")
        self.write("{}")


def _model(name: str, *scopes: str, kind: str = "user") -> dict[str, Any]:
    return {"name": name, "kind": kind, "token_id": f"a-{name}", "session_id": None, "scopes": list(scopes)}


class FakeHub:
    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {
            "good": _model("boss", "access:services!service=aizen", "read:users!user=boss"),
            "all": _model("eve", "access:services"),
            "other": _model("boss", "access:services!service=other"),
            "none": _model("boss", "read:users!user=boss"),
            "service": _model("cull", "access:services", kind="service"),
        }
        self.requests: list[str] = []
        sockets = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hub/api"
        handlers = [("/hub/api/user", _HubUser), ("/hub/api/aizen/revoke", _Revocation)]
        self.server = HTTPServer(Application(handlers, tokens=self.tokens, requests=self.requests))
        self.server.add_sockets(sockets)


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    yield hub
    hub.server.stop()
    await hub.server.close_all_connections()


@pytest.fixture
async def hub_service(tmp_path: Path, hub: FakeHub) -> AsyncIterator[Driver]:
    """A service with a hub and a core credential."""
    file = tmp_path / "core-credential"
    file.write_text(CORE_CREDENTIAL)
    file.chmod(0o600)
    core = {"url": "http://127.0.0.1:1", "credential_file": file}
    context = build_context(
        settings_for(tmp_path, core=core), instance=INSTANCE, environ={"JUPYTERHUB_API_URL": hub.url}
    )
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    driver.robot = populate(context)
    yield driver
    driver.close()
    await server.stop()


@pytest.mark.proves("T-13", "T-49", "R43")
async def test_no_endpoint_accepts_another_credential_type(hub_service: Driver, hub: FakeHub) -> None:
    eve = await hub_service.open("eve")
    hub.tokens[eve.hub_token] = _model("eve", "access:services")
    credentials = {
        "hub secret": f"Bearer {hub_service.hub_secret}",
        "role token": eve.auth,
        "service account": f"Bearer {hub_service.robot}",
        "core credential": f"Bearer {CORE_CREDENTIAL}",
        "user's hub token": "token good",
        "server's hub token": f"token {eve.hub_token}",
        "server's hub token as bearer": f"Bearer {eve.hub_token}",
        "role token as hub token": f"token {eve.token}",
        "hub secret as hub token": f"token {hub_service.hub_secret}",
        "nothing": None,
    }
    heartbeat = {"live": [{"user": "eve", "server": ""}]}
    ended = {"event": "end", "state": "done"}
    prefix = "/services/aizen"
    endpoints: dict[str, tuple[str, str, Any, set[str]]] = {
        "hub": ("POST", "/api/v1/sessions/heartbeat", heartbeat, {"hub secret"}),
        "kernel": ("GET", "/api/v1/me", None, {"role token", "service account"}),
        "core": ("POST", "/api/v1/jobs/none/events", ended, {"core credential"}),
        "introspection": ("POST", "/oauth/introspect", None, {"service account"}),
        "command line": ("GET", f"{prefix}/api/v1/me", None, {"user's hub token"}),
        "hub through the proxy": ("POST", f"{prefix}/api/v1/sessions/heartbeat", heartbeat, set()),
        "core through the proxy": ("POST", f"{prefix}/api/v1/jobs/none/events", ended, set()),
        "oauth through the proxy": ("POST", f"{prefix}/oauth/token", None, set()),
    }
    wrong = []
    for endpoint, (method, path, body, accepted) in endpoints.items():
        for name, credential in credentials.items():
            more: dict[str, Any] = {}
            if "oauth" in path:
                more = {"raw": b"token=x", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
            response = await hub_service.call(method, path, body, auth=credential, **more)
            passed = response.status not in (401, 405) and not (response.status == 404 and prefix in path)
            if passed != (name in accepted):
                wrong.append((endpoint, name, response.status, response.body[:100]))
    assert not wrong


@pytest.mark.proves("R50", "T-03")
async def test_hub_tokens(hub_service: Driver, hub: FakeHub) -> None:
    me = "/services/aizen/api/v1/me"
    assert (await hub_service.call("GET", me, auth="token good")).json["user"] == "boss"
    assert (await hub_service.call("GET", me, auth="Bearer all")).json["user"] == "eve"
    codes = {"other": "wrong-scope", "none": "wrong-scope", "service": "not-a-person", "x": "unknown"}
    for token, code in codes.items():
        refused = await hub_service.call("GET", me, auth=f"token {token}")
        assert (refused.status, refused.json["code"]) == (401, code)
    eve = await hub_service.open("eve")
    hub.tokens[eve.hub_token] = _model("eve", "access:services")
    request_count = len(hub.requests)
    refused = await hub_service.call("GET", me, auth=f"token {eve.hub_token}")
    assert (refused.status, refused.json["code"]) == (401, "server-token")
    await hub_service.hub("POST", "/sessions/end", {"user": "eve", "server": "", "reason": "stopped"})
    refused = await hub_service.call("GET", me, auth=f"token {eve.hub_token}")
    assert refused.json["code"] == "server-token", "the token of an ended session is still refused"
    assert len(hub.requests) == request_count, "no request was sent to the hub"


@pytest.mark.proves("R48")
async def test_a_hub_token_is_validated_for_every_request(hub_service: Driver, hub: FakeHub) -> None:
    me = "/services/aizen/api/v1/me"
    for _ in range(3):
        assert (await hub_service.call("GET", me, auth="token good")).status == 200
    assert hub.requests == ["token good"] * 3
    del hub.tokens["good"]
    assert (await hub_service.call("GET", me, auth="token good")).status == 401
    hub.server.stop()
    await hub.server.close_all_connections()
    assert (await hub_service.call("GET", me, auth="token all")).status == 503


@pytest.mark.proves("R119")
async def test_tokens_in_the_url_are_not_accepted(hub_service: Driver) -> None:
    eve = await hub_service.open("eve")
    for name in ("token", "access_token"):
        assert (await hub_service.call("GET", f"/api/v1/me?{name}={eve.token}")).status in (400, 401)


@pytest.mark.proves("R121")
@pytest.mark.parametrize(
    ("path", "forwarded", "source"),
    [
        ("/services/aizen/api/v1/me", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("/services/aizen/api/v1/me", "203.0.113.9, 198.51.100.1, ::ffff:127.0.0.1", "198.51.100.1"),
        ("/services/aizen/api/v1/me", "198.51.100.1, invalid", "127.0.0.1"),
        ("/api/v1/me", "203.0.113.9, 198.51.100.1", "127.0.0.1"),
    ],
)
async def test_forwarded_addresses_count_only_from_a_trusted_proxy(
    hub_service: Driver, caplog: pytest.LogCaptureFixture, path: str, forwarded: str, source: str
) -> None:
    headers = {"X-Forwarded-For": forwarded, "X-Real-Ip": "192.0.2.66"}
    with caplog.at_level("INFO", "aizen_hub.service.access"):
        assert (await hub_service.call("GET", path, auth="token unknown", headers=headers)).status == 401
    assert [record.data["source"] for record in caplog.records if hasattr(record, "data")] == [source]


async def empty_handler(_: Any) -> JsonResponse:
    return JsonResponse({})


VALID_ROUTE = Route("GET", "/x", frozenset({AuthMethod.ROLE_TOKEN}), ANY_REGISTERED, empty_handler, "An example.")


@pytest.mark.proves("R60")
@pytest.mark.parametrize(
    "broken",
    [
        replace(VALID_ROUTE, auth=frozenset()),
        replace(VALID_ROUTE, auth=None),
        replace(VALID_ROUTE, requires=None),
        replace(VALID_ROUTE, auth=frozenset({AuthMethod.NONE, AuthMethod.ROLE_TOKEN})),
        replace(VALID_ROUTE, requires=CREDENTIAL_SUFFICES),
        replace(VALID_ROUTE, auth=frozenset({AuthMethod.HUB_SECRET})),
        replace(VALID_ROUTE, auth=frozenset({AuthMethod.NONE})),
        replace(VALID_ROUTE, method="FETCH"),
        replace(VALID_ROUTE, idempotent=True),
        replace(VALID_ROUTE, summary=""),
    ],
)
def test_an_invalid_route_prevents_the_start(broken: Route) -> None:
    check_routes((VALID_ROUTE,))
    with pytest.raises(RouteError, match=r"(GET|FETCH) /x"):
        check_routes((broken,))
    with pytest.raises(RouteError, match="twice"):
        check_routes((VALID_ROUTE, VALID_ROUTE))


@pytest.mark.proves("R60")
async def test_every_route_refuses_requests_without_a_credential(service: Driver) -> None:
    """Over HTTP and for all routes: only those that declare it answer without a credential."""
    create_app(service.context)
    for route in routes():
        path = "/".join("x" if part.startswith("{") else part for part in route.path.split("/"))
        response = await service.call(route.method, path, {} if route.method in ("POST", "PUT", "PATCH") else None)
        expected = AuthMethod.NONE in route.auth or route.auth <= {AuthMethod.BROWSER, AuthMethod.HUB_TOKEN}
        assert (response.status == 401) is not expected, (route.name, response.status)


@pytest.mark.proves("R121")
async def test_a_remembered_principal_is_that_of_the_token_and_the_address(service: Driver) -> None:
    first, second = await service.open("eve"), await service.open("eve", server="second")
    authenticate = service.context.authenticator._authenticate_role_token
    kernel = authenticate(first.token, "192.0.2.1")
    assert authenticate(first.token, "192.0.2.1") is kernel
    moved = authenticate(first.token, "192.0.2.2")
    assert (moved.source, moved.actor and moved.actor.source) == ("192.0.2.2", "192.0.2.2")
    assert authenticate(first.token, "192.0.2.1").source == "192.0.2.1"
    other = authenticate(second.token, "192.0.2.1")
    assert (other.session_id, kernel.session_id) == (second.id, first.id)


@pytest.mark.proves("R127")
async def test_remembered_principals_are_bounded(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "MAX_KERNELS", 2)
    eve = await service.open("eve")
    for _ in range(3):
        token = (await service.renew(eve)).json["access_token"]
        service.context.authenticator._authenticate_role_token(token, "192.0.2.1")
        assert len(service.context.authenticator._kernels) <= 2
