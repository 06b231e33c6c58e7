from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest_asyncio
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.service.factory import build_context
from aizen_hub.service.server import Server
from aizen_hub.settings import ProviderSettings, RateSettings, Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.tokens.opaque_token import hash_credential, new_credential
from tests.fixtures.databases.sqlite import create_database_file

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Channel.HUB)


@dataclass
class JsonReply:
    status: int
    headers: Any
    body: Any


class Service:
    """A complete service in this process, with alice and bob in the project `churn`."""

    def __init__(self, folder: Path) -> None:
        provider = ProviderSettings(name="ldap", kind="ldap")
        rate = RateSettings(requests_per_second=1e6, burst=1_000_000)
        self.settings = Settings(
            data_dir=create_database_file(folder), providers=(provider,), admin_user="ldap:root", rate=rate
        )
        self.context = build_context(self.settings, instance="test", environ={})
        self.server = Server(self.context, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.port}"
        with self.context.store.write(OPERATOR) as tx:
            for name in ("alice", "bob"):
                registration.unauthorized_register_user(tx, name, provider="ldap")
            for name in ("churn", "fraud"):
                lifecycle.create_project(tx, name, owner=Identity.user("bob"))
            assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("alice"))
            assignments.grant_roles(tx, ["PROJECT_READER"], "fraud", Identity.user("alice"))

    def start(self, user: str = "alice", project: str | None = "churn", server: str = "") -> str:
        """Open a session; returns the server's hub token."""
        token = new_credential()
        with self.context.store.write(HUB) as tx:
            server_sessions.open_session(tx, user, user, server, project, hash_credential(token))
        return token

    def service_account(self, *roles: str) -> str:
        """Create a service account with system roles; returns its credential."""
        from datetime import timedelta

        from sqlalchemy import insert

        from aizen_hub.store import tables

        credential = new_credential()
        with self.context.store.write(OPERATOR) as tx:
            account_id = tx.conn.execute(
                insert(tables.service_accounts).values(name="auditor", created=tx.now, description="")
            ).inserted_primary_key[0]
            tx.conn.execute(
                insert(tables.credentials).values(
                    service_account_id=account_id,
                    hash=hash_credential(credential),
                    created=tx.now,
                    expires=tx.now + timedelta(hours=1),
                )
            )
            tx.record_change("service-account", {}, ["service-account:auditor"])
            if roles:
                assignments.grant_roles(tx, list(roles), SYSTEM, Identity.service_account("auditor"))
        return credential

    def rows(self, event: str) -> list[dict[str, Any]]:
        from sqlalchemy import select

        from aizen_hub.store import tables

        with self.context.store.read() as tx:
            bodies = tx.conn.scalars(
                select(tables.audit.c.body).where(tables.audit.c.event == event).order_by(tables.audit.c.number)
            )
            return [json.loads(body) for body in bodies]

    async def form(self, path: str, credential: str | None = None, **fields: str) -> JsonReply:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.send("POST", path, urlencode(fields), headers, credential)

    async def json(self, path: str, body: Any, credential: str) -> JsonReply:
        return await self.send("POST", path, json.dumps(body), {"Content-Type": "application/json"}, credential)

    async def get(self, path: str, credential: str | None = None) -> JsonReply:
        return await self.send("GET", path, None, {}, credential)

    async def send(
        self, method: str, path: str, body: str | None, headers: dict[str, str], credential: str | None
    ) -> JsonReply:
        if credential is not None:
            headers = {**headers, "Authorization": f"Bearer {credential}"}
        response: HTTPResponse = await AsyncHTTPClient().fetch(
            self.url + path, method=method, body=body, headers=headers, raise_error=False
        )
        return JsonReply(response.code, response.headers, json.loads(response.body) if response.body else None)


@pytest_asyncio.fixture
async def oauth_service(tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(tmp_path)
    await service.server.start()
    yield service
    await service.server.stop()
