"""No road accepts another road's credential, and every route says which it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.service.app import make_app
from aizen_hub.service.factory import build
from aizen_hub.service.http.route import REGISTERED, ROAD, Answer, Credential, Route, RouteError, check
from aizen_hub.service.routes import routes
from aizen_hub.service.server import Server
from tests.service.conftest import INSTANCE, Driver, populate, settings_for

CORE_CREDENTIAL = "c" * 40


class _HubUser(RequestHandler):
    """The one answer of the hub's API that is asked for: `GET /hub/api/user`."""

    def get(self) -> None:
        known: dict[str, Any] = self.settings["tokens"]
        self.settings["asked"].append(self.request.headers["Authorization"])
        model = known.get(self.request.headers["Authorization"].removeprefix("token "))
        if model is None:
            self.set_status(403)
        else:
            self.write(model)


def _model(name: str, *scopes: str, kind: str = "user") -> dict[str, Any]:
    return {"name": name, "kind": kind, "token_id": f"a-{name}", "session_id": None, "scopes": list(scopes)}


class Hub:
    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {
            "good": _model("boss", "access:services!service=aizen", "read:users!user=boss"),
            "all": _model("eve", "access:services"),
            "other": _model("boss", "access:services!service=other"),
            "none": _model("boss", "read:users!user=boss"),
            "service": _model("cull", "access:services", kind="service"),
        }
        self.asked: list[str] = []
        sockets = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hub/api"
        self.server = HTTPServer(Application([("/hub/api/user", _HubUser)], tokens=self.tokens, asked=self.asked))
        self.server.add_sockets(sockets)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    found = Hub()
    yield found
    found.server.stop()
    await found.server.close_all_connections()


@pytest.fixture
async def whole(tmp_path: Path, hub: Hub) -> AsyncIterator[Driver]:
    """A service that knows a hub and a core's credential."""
    file = tmp_path / "core-credential"
    file.write_text(CORE_CREDENTIAL)
    file.chmod(0o600)
    core = {"url": "http://127.0.0.1:1", "credential_file": file}
    house = build(settings_for(tmp_path, core=core), instance=INSTANCE, environ={"JUPYTERHUB_API_URL": hub.url})
    server = Server(house, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    driver.robot = populate(house)
    yield driver
    driver.close()
    await server.stop()


@pytest.mark.proves("T-13", "T-49", "R43")
async def test_cross_use(whole: Driver, hub: Hub) -> None:
    eve = await whole.open("eve")
    hub.tokens[eve.hub_token] = _model("eve", "access:services")
    credentials = {
        "hub secret": f"Bearer {whole.hub_secret}",
        "role token": eve.auth,
        "service account": f"Bearer {whole.robot}",
        "core credential": f"Bearer {CORE_CREDENTIAL}",
        "person's hub token": "token good",
        "server's hub token": f"token {eve.hub_token}",
        "server's hub token as bearer": f"Bearer {eve.hub_token}",
        "role token as hub token": f"token {eve.token}",
        "hub secret as hub token": f"token {whole.hub_secret}",
        "nothing": None,
    }
    heartbeat = {"live": [{"user": "eve", "server": ""}]}
    ended = {"event": "end", "state": "done"}
    prefix = "/services/aizen"
    roads: dict[str, tuple[str, str, Any, set[str]]] = {
        "hub": ("POST", "/api/v1/sessions/heartbeat", heartbeat, {"hub secret"}),
        "kernel": ("GET", "/api/v1/me", None, {"role token", "service account"}),
        "core": ("POST", "/api/v1/jobs/none/events", ended, {"core credential"}),
        "introspection": ("POST", "/oauth/introspect", None, {"service account"}),
        "command line": ("GET", f"{prefix}/api/v1/me", None, {"person's hub token"}),
        "hub through the proxy": ("POST", f"{prefix}/api/v1/sessions/heartbeat", heartbeat, set()),
        "core through the proxy": ("POST", f"{prefix}/api/v1/jobs/none/events", ended, set()),
        "oauth through the proxy": ("POST", f"{prefix}/oauth/token", None, set()),
    }
    wrong = []
    for road, (method, path, body, accepted) in roads.items():
        for name, credential in credentials.items():
            more: dict[str, Any] = {}
            if "oauth" in path:
                more = {"raw": b"token=x", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
            answer = await whole.call(method, path, body, auth=credential, **more)
            passed = answer.status not in (401, 405) and not (answer.status == 404 and prefix in path)
            if passed != (name in accepted):
                wrong.append((road, name, answer.status, answer.body[:100]))
    assert not wrong


@pytest.mark.proves("R50", "T-03")
async def test_hub_tokens(whole: Driver, hub: Hub) -> None:
    me = "/services/aizen/api/v1/me"
    assert (await whole.call("GET", me, auth="token good")).json["user"] == "boss"
    assert (await whole.call("GET", me, auth="Bearer all")).json["user"] == "eve"
    codes = {"other": "wrong-scope", "none": "wrong-scope", "service": "not-a-person", "x": "unknown"}
    for token, code in codes.items():
        refused = await whole.call("GET", me, auth=f"token {token}")
        assert (refused.status, refused.json["code"]) == (401, code)
    eve = await whole.open("eve")
    hub.tokens[eve.hub_token] = _model("eve", "access:services")
    asked = len(hub.asked)
    refused = await whole.call("GET", me, auth=f"token {eve.hub_token}")
    assert (refused.status, refused.json["code"]) == (401, "server-token")
    await whole.hub("POST", "/sessions/end", {"user": "eve", "server": "", "reason": "stopped"})
    refused = await whole.call("GET", me, auth=f"token {eve.hub_token}")
    assert refused.json["code"] == "server-token", "a token that was a session's credential stays one"
    assert len(hub.asked) == asked, "the hub was not even asked"


@pytest.mark.proves("R48")
async def test_a_hub_token_is_asked_for_each_time(whole: Driver, hub: Hub) -> None:
    me = "/services/aizen/api/v1/me"
    for _ in range(3):
        assert (await whole.call("GET", me, auth="token good")).status == 200
    assert hub.asked == ["token good"] * 3
    del hub.tokens["good"]
    assert (await whole.call("GET", me, auth="token good")).status == 401
    hub.server.stop()
    await hub.server.close_all_connections()
    assert (await whole.call("GET", me, auth="token all")).status == 503


@pytest.mark.proves("R119")
async def test_tokens_are_never_taken_from_the_address(whole: Driver) -> None:
    eve = await whole.open("eve")
    for name in ("token", "access_token"):
        assert (await whole.call("GET", f"/api/v1/me?{name}={eve.token}")).status in (400, 401)


@pytest.mark.proves("R121")
@pytest.mark.parametrize(
    ("path", "forwarded", "source"),
    [
        ("/services/aizen/api/v1/me", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("/services/aizen/api/v1/me", "203.0.113.9, 198.51.100.1, ::ffff:127.0.0.1", "198.51.100.1"),
        ("/services/aizen/api/v1/me", "198.51.100.1, made up", "127.0.0.1"),
        ("/api/v1/me", "203.0.113.9, 198.51.100.1", "127.0.0.1"),
    ],
)
async def test_forwarded_addresses_count_from_the_proxy_only(
    whole: Driver, caplog: pytest.LogCaptureFixture, path: str, forwarded: str, source: str
) -> None:
    headers = {"X-Forwarded-For": forwarded, "X-Real-Ip": "192.0.2.66"}
    with caplog.at_level("INFO", "aizen_hub.service.access"):
        assert (await whole.call("GET", path, auth="token nobody", headers=headers)).status == 401
    assert [one.data["source"] for one in caplog.records if hasattr(one, "data")] == [source]


async def nothing(_: Any) -> Answer:
    return Answer({})


SOUND = Route("GET", "/x", frozenset({Credential.ROLE_TOKEN}), REGISTERED, nothing, "An example.")


@pytest.mark.proves("R60")
@pytest.mark.parametrize(
    "broken",
    [
        replace(SOUND, takes=frozenset()),
        replace(SOUND, takes=None),
        replace(SOUND, needs=None),
        replace(SOUND, takes=frozenset({Credential.NONE, Credential.ROLE_TOKEN})),
        replace(SOUND, needs=ROAD),
        replace(SOUND, takes=frozenset({Credential.HUB_SECRET})),
        replace(SOUND, takes=frozenset({Credential.NONE})),
        replace(SOUND, method="FETCH"),
        replace(SOUND, keyed=True),
        replace(SOUND, summary=""),
    ],
)
def test_a_route_without_its_declarations_stops_the_start(broken: Route) -> None:
    check((SOUND,))
    with pytest.raises(RouteError, match=r"(GET|FETCH) /x"):
        check((broken,))
    with pytest.raises(RouteError, match="twice"):
        check((SOUND, SOUND))


@pytest.mark.proves("R60")
async def test_every_route_refuses_who_brings_nothing(service: Driver) -> None:
    """Over HTTP and for all routes: without a credential only those answer that say they need none."""
    make_app(service.house)
    for route in routes():
        path = "/".join("x" if part.startswith("{") else part for part in route.path.split("/"))
        answer = await service.call(route.method, path, {} if route.method in ("POST", "PUT", "PATCH") else None)
        expected = Credential.NONE in route.takes or route.takes <= {Credential.BROWSER, Credential.HUB_TOKEN}
        assert (answer.status == 401) is not expected, (route.name, answer.status)
