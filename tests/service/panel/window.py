"""A hub that only signs people in, and a browser as far as cookies go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.service.factory import build
from aizen_hub.service.server import Server
from tests.fixtures.sqlite import lay_down
from tests.service.conftest import INSTANCE, Driver, Response, settings_for

P = "/services/aizen/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PROVIDERS = [{"name": "local", "kind": "local"}, {"name": "lab", "kind": "ldap"}]


class _User(RequestHandler):
    def get(self) -> None:
        token = self.request.headers["Authorization"].removeprefix("token ")
        name = self.settings["tokens"].get(token)
        if name is None:
            self.set_status(403)
            return
        scopes = ["access:services!service=aizen"]
        self.write(
            {"name": name, "kind": "user", "token_id": "a1", "session_id": f"session-of-{name}", "scopes": scopes}
        )


class _Token(RequestHandler):
    """Takes each code once, from the client whose it is, with the verifier that it was asked with."""

    def post(self) -> None:
        form = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.settings["asked"].append(form)
        if form["client_secret"] != "secret of the service" or form["code"] not in self.settings["codes"]:
            self.set_status(400)
            return
        self.write({"access_token": self.settings["codes"].pop(form["code"])})


class Hub:
    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        sockets = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hub/api"
        self.server = HTTPServer(
            Application(
                [("/hub/api/user", _User), ("/hub/api/oauth2/token", _Token)],
                tokens=self.tokens,
                codes=self.codes,
                asked=self.asked,
            )
        )
        self.server.add_sockets(sockets)

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "JUPYTERHUB_API_URL": self.url,
            "JUPYTERHUB_CLIENT_ID": "service-aizen",
            "JUPYTERHUB_API_TOKEN": "secret of the service",
            **more,
        }


async def start(tmp_path: Path, hub: Hub, **environ: str) -> Driver:
    lay_down(tmp_path / "data")
    house = build(settings_for(tmp_path, providers=PROVIDERS), instance=INSTANCE, environ=hub.environ(**environ))
    server = Server(house, "127.0.0.1", 0)
    await server.start()
    return Driver(server)


class Window:
    """A browser as far as cookies go."""

    def __init__(self, driver: Driver, hub: Hub, **headers: str) -> None:
        self.driver, self.hub, self.headers = driver, hub, headers
        self.cookies: dict[str, str] = {}

    async def get(self, page: str, **headers: str) -> Response:
        return await self._send("GET", P + page, None, headers)

    async def post(self, page: str, form: dict[str, str], **headers: str) -> Response:
        return await self._send("POST", P + page, urlencode(form).encode(), FORM | headers)

    async def api(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        return await self.driver.call(method, P + "api/v1" + path, body, headers=self._with(headers))

    async def _send(self, method: str, path: str, raw: bytes | None, headers: dict[str, str]) -> Response:
        answer = await self.driver.call(method, path, raw=raw, headers=self._with(headers))
        for line in answer.headers.get_list("Set-Cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer

    def _with(self, headers: dict[str, str]) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)
        return {**self.headers, **({"Cookie": cookie} if cookie else {}), **headers}

    async def begin(self, page: str = "") -> dict[str, str]:
        answer = await self.get(page)
        assert answer.status == 302, answer.body
        to = urlsplit(answer.headers["Location"])
        assert to.path == "/hub/api/oauth2/authorize"
        return {name: values[0] for name, values in parse_qs(to.query).items()}

    async def come_back(self, state: str, name: str, at: Driver | None = None) -> Response:
        self.hub.tokens[f"token-of-{name}"] = name
        self.hub.codes["a-code"] = f"token-of-{name}"
        self.driver = at or self.driver
        return await self.get("oauth_callback?" + urlencode({"code": "a-code", "state": state}))

    async def sign_in(self, name: str, page: str = "") -> str:
        """Sign in; returns the XSRF token of the pages."""
        begun = await self.begin(page)
        answer = await self.come_back(begun["state"], name)
        assert answer.status == 302, answer.body
        assert answer.headers["Location"] == P + page
        return await self.xsrf()

    async def xsrf(self) -> str:
        found = re.search(rb'name="xsrf" value="([^"]+)"', (await self.get("")).body)
        assert found is not None
        return found.group(1).decode()
