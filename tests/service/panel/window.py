"""A fake hub that signs users in, and a browser that keeps cookies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from tests.fixtures.databases.sqlite import create_database_file
from tests.service.conftest import INSTANCE, Driver, Response, settings_for

PREFIX = "/services/aizen/"
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
    """Accepts each code once, from its client, with its verifier."""

    def post(self) -> None:
        form = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.settings["requests"].append(form)
        if form["client_secret"] != "secret of the service" or form["code"] not in self.settings["codes"]:
            self.set_status(400)
            return
        self.write({"access_token": self.settings["codes"].pop(form["code"])})


class _UserTokens(RequestHandler):
    """The endpoints of the hub's authenticator that list and end the tokens of a user, with the hub secret."""

    def post(self) -> None:
        hub, body = self.settings["hub"], json.loads(self.request.body)
        hub.secrets.add(self.request.headers["Authorization"])
        listed = hub.user_tokens.get(body["user"], [])
        if hub.is_away:
            self.set_status(503)
        elif self.request.path.endswith("/tokens"):
            self.write({"tokens": listed, "more": hub.has_more})
        else:
            hub.user_tokens[body["user"]] = kept = [token for token in listed if token["id"] != body["token_id"]]
            self.write({"tokens": len(listed) - len(kept)})


class FakeHub:
    """Attributes set by tests: the tokens that it lists for each user, whether there are more, whether it is away."""

    def __init__(self) -> None:
        self.user_tokens: dict[str, list[dict[str, Any]]] = {}
        self.has_more = self.is_away = False
        self.secrets: set[str] = set()
        self.tokens: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self.requests: list[dict[str, str]] = []
        sockets = bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hub/api"
        self.server = HTTPServer(
            Application(
                [
                    ("/hub/api/user", _User),
                    ("/hub/api/oauth2/token", _Token),
                    ("/hub/api/aizen/(?:tokens|revoke)", _UserTokens),
                ],
                hub=self,
                tokens=self.tokens,
                codes=self.codes,
                requests=self.requests,
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


async def start(tmp_path: Path, hub: FakeHub, **environ: str) -> Driver:
    create_database_file(tmp_path / "data")
    context = build_context(
        settings_for(tmp_path, providers=PROVIDERS), instance=INSTANCE, environ=hub.environ(**environ)
    )
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    return Driver(server)


class Window:
    """A browser that keeps cookies and executes no scripts."""

    def __init__(self, driver: Driver, hub: FakeHub, **headers: str) -> None:
        self.driver, self.hub, self.headers = driver, hub, headers
        self.cookies: dict[str, str] = {}

    async def get(self, page: str, **headers: str) -> Response:
        return await self._send("GET", PREFIX + page, None, headers)

    async def post(self, page: str, form: dict[str, str] | list[tuple[str, str]], **headers: str) -> Response:
        return await self._send("POST", PREFIX + page, urlencode(form).encode(), FORM | headers)

    async def api(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        return await self.driver.call(method, PREFIX + "api/v1" + path, body, headers=self._with(headers))

    async def _send(self, method: str, path: str, raw: bytes | None, headers: dict[str, str]) -> Response:
        response = await self.driver.call(method, path, raw=raw, headers=self._with(headers))
        for line in response.headers.get_list("Set-Cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return response

    def _with(self, headers: dict[str, str]) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)
        return {**self.headers, **({"Cookie": cookie} if cookie else {}), **headers}

    async def start_login(self, page: str = "") -> dict[str, str]:
        response = await self.get(page)
        assert response.status == 302, response.body
        location = urlsplit(response.headers["Location"])
        assert location.path == "/hub/api/oauth2/authorize"
        return {name: values[0] for name, values in parse_qs(location.query).items()}

    async def finish_login(self, state: str, name: str, at: Driver | None = None) -> Response:
        self.hub.tokens[f"token-of-{name}"] = name
        self.hub.codes["a-code"] = f"token-of-{name}"
        self.driver = at or self.driver
        return await self.get("oauth_callback?" + urlencode({"code": "a-code", "state": state}))

    async def sign_in(self, name: str, page: str = "") -> str:
        """Sign in; returns the XSRF token of the pages."""
        query = await self.start_login(page)
        response = await self.finish_login(query["state"], name)
        assert response.status == 302, response.body
        assert response.headers["Location"] == PREFIX + page
        return await self.xsrf()

    async def xsrf(self) -> str:
        match = re.search(rb'"X-XSRF-Token": "([^"]+)"', (await self.get("me")).body)
        assert match is not None
        return match.group(1).decode()
