"""A complete service in this process, with a real store, real keys and real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from aizen_hub.accounts.credentials.passwords import NewPassword
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.context import ServiceContext
from aizen_hub.service.factory import SERVICE_ACTOR, build_context
from aizen_hub.service.server import Server
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from tests.fixtures.databases.sqlite import create_database_file

INSTANCE = "an-instance"
OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
PASSWORD = "quite long, 7 words of it, unguessed"


@dataclass
class Response:
    """A response, and its JSON."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Session:
    """A session, as opened by the hub."""

    id: str
    token: str
    hub_token: str

    @property
    def auth(self) -> str:
        return f"Bearer {self.token}"


class Driver:
    """A client of one running service, as hub, kernel or command line."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.context: ServiceContext = server.context
        self.url = f"http://127.0.0.1:{server.port}"
        self._client = SimpleAsyncHTTPClient(force_instance=True, max_clients=64)
        self.hub_secret = self.context.settings.hub_secret_path.read_text().strip()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        auth: str | None = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        fields = dict(headers or {})
        if auth is not None:
            fields["Authorization"] = auth
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            fields.setdefault("Content-Type", "application/json")
        request = HTTPRequest(
            self.url + path,
            method=method,
            headers=fields,
            body=data,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=60,
        )
        response: HTTPResponse = await self._client.fetch(request, raise_error=False)
        return Response(response.code, response.headers, response.body or b"")

    async def hub(self, method: str, path: str, body: Any = None) -> Response:
        return await self.call(method, "/api/v1" + path, body, auth=f"Bearer {self.hub_secret}")

    async def open(self, user: str, project: str | None = "p1", server: str = "") -> Session:
        hub_token = secrets.token_hex(16)
        response = await self.hub(
            "POST",
            "/sessions",
            {
                "user": user,
                "requester": user,
                "server": server,
                "project": project,
                "credential": hashlib.sha256(hub_token.encode()).hexdigest(),
            },
        )
        assert response.status == 201, response.body
        return Session(response.json["session"], response.json["token"], hub_token)

    async def command(self, session: Session, text: str, **more: Any) -> Response:
        headers = more.pop("headers", None)
        body = {"text": text, **more}
        return await self.call("POST", "/api/v1/commands", body, auth=session.auth, headers=headers)

    async def renew(self, session: Session, project: str | None = None) -> Response:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": session.hub_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        if project is not None:
            form["project"] = project
        raw = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        return await self.call(
            "POST", "/oauth/token", raw=raw, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )

    async def finished(self, started: Response, auth: str) -> dict[str, Any]:
        """Wait for the end of an operation that was started; returns it."""
        assert started.status in (200, 202), started.body
        operation: dict[str, Any] = started.json
        end = time.monotonic() + 60
        while operation["state"] in ("waiting", "running"):
            assert time.monotonic() < end, operation
            await asyncio.sleep(0.02)
            answer = await self.call("GET", f"/api/v1/operations/{operation['id']}", auth=auth)
            assert answer.status == 200, answer.body
            operation = answer.json
        return operation

    def revision(self) -> int:
        with self.context.store.read() as tx:
            return tx.revision

    def close(self) -> None:
        self._client.close()


@cache
def hashed() -> NewPassword:
    """The password of all users here, hashed once."""
    return NewPassword.from_text(PASSWORD)


def populate(context: ServiceContext) -> str:
    """Register users and projects; returns a service account's credential.

    ``boss`` is AIZEN_ADMIN, ``maker`` PROJECT_CREATOR; in ``p1`` ``ada`` is admin, ``eve`` executor, ``rob`` reader;
    ``nil`` has nothing; ``p2`` belongs to ``zoe``.
    """
    password = hashed()
    with context.store.write(SERVICE_ACTOR) as tx:
        for name in ("boss", "maker", "ada", "eve", "rob", "nil", "zoe"):
            registration.create_user(tx, name, password=password)
        for role, scope, name in (
            ("AIZEN_ADMIN", "system", "boss"),
            ("PROJECT_CREATOR", "system", "maker"),
        ):
            assignments.unauthorized_write_assignment(tx, role, scope, Identity.user(name), reason="test")
        lifecycle.create_project(tx, "p1", owner=Identity.user("ada"))
        lifecycle.create_project(tx, "p2", owner=Identity.user("zoe"))
        assignments.unauthorized_write_assignment(tx, "PROJECT_EXECUTOR", "p1", Identity.user("eve"), reason="test")
        assignments.unauthorized_write_assignment(tx, "PROJECT_READER", "p1", Identity.user("rob"), reason="test")
        accounts.create_service_account(tx, "robot")
        assignments.unauthorized_write_assignment(
            tx, "AIZEN_ADMIN", "system", Identity.service_account("robot"), reason="test"
        )
    with context.store.write(OPERATOR) as tx:
        credential: str = credentials.issue_credential(tx, "robot").data["credential"]
    return credential


def settings_for(folder: Path, **more: Any) -> Settings:
    defaults = {
        "data_dir": folder / "data",
        "rate": {"requests_per_second": 5000, "burst": 5000},
        # On a busy machine a request may take longer than the five seconds of an installation.
        "service": {"deadline_seconds": 20},
    }
    return Settings.model_validate(defaults | more)


@pytest.fixture
def options() -> dict[str, Any]:
    """Additional settings; test modules override this."""
    return {}


@dataclass(frozen=True)
class PopulatedInstallation:
    """The data folder of an installation after `populate`, and the credential of its service account."""

    data: Path
    robot: str


_installations: list[PopulatedInstallation] = []


async def prepare_installation(factory: pytest.TempPathFactory) -> PopulatedInstallation:
    """Return an installation that is made once and copied for each test, which halves the work of a first start."""
    if not _installations:
        folder = factory.mktemp("populated")
        create_database_file(folder / "data")
        server = Server(build_context(settings_for(folder), instance=INSTANCE, environ={}), "127.0.0.1", 0)
        await server.start()
        try:
            robot = populate(server.context)
        finally:
            await server.stop()
        _installations.append(PopulatedInstallation(folder / "data", robot))
    return _installations[0]


@pytest.fixture
async def service(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]
) -> AsyncIterator[Driver]:
    prepared = None
    if options.keys() <= {"rate", "service", "confirm_protected"}:  # others decide what the first start writes
        prepared = await prepare_installation(tmp_path_factory)
        shutil.copytree(prepared.data, tmp_path / "data")
    else:
        create_database_file(tmp_path / "data")
    context = build_context(settings_for(tmp_path, **options), instance=INSTANCE, environ={})
    server = Server(context, "127.0.0.1", 0)
    await server.start()
    driver = Driver(server)
    driver.robot = populate(context) if prepared is None else prepared.robot  # type: ignore[attr-defined]
    try:
        yield driver
    finally:
        driver.close()
        await server.stop()
