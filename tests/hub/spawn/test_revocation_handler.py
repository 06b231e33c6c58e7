"""A revocation that waits for a deletion of the same user leaves nothing of that user behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.user import UserDict
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from aizen_hub.hub.login.sign_out import SignOutProcessor
from aizen_hub.hub.spawn.revocation_handler import RevocationHandler
from aizen_hub.secret_files import read_or_create_secret
from tests.fixtures.timing import until


class Monitor:
    """A hub without servers."""

    def live_servers(self) -> list[tuple[str, str]]:
        return []

    async def stop_servers(self, name: str, servers: Any = None) -> int:
        return 0


@pytest.fixture
def app() -> Iterator[Any]:
    session = orm.new_session_factory("sqlite:///:memory:")()
    session.add(orm.User(name="ann"))
    session.commit()
    yield SimpleNamespace(db=session, users=UserDict(lambda: session, {}))
    session.close()


@pytest.mark.parametrize("request_body", [{"user": "ann"}, {"user": "ann", "sign_out": 3}])
async def test_a_user_deleted_while_a_revocation_waits_is_not_found(
    app: Any, tmp_path: Path, request_body: dict[str, Any]
) -> None:
    secret_path = tmp_path / "secret"
    secret = read_or_create_secret(secret_path)
    sign_outs: Any = SignOutProcessor(app, Monitor())  # type: ignore[arg-type]
    arguments = {"app": app, "secret_path": secret_path, "monitor": Monitor(), "sign_outs": sign_outs}
    listener, port = bind_unused_port()
    server = HTTPServer(Application([("/revoke", RevocationHandler, arguments)]))
    server.add_socket(listener)
    try:
        async with asyncio.timeout(20):
            lock = sign_outs.lock("ann")
            async with lock:
                request = AsyncHTTPClient().fetch(
                    f"http://127.0.0.1:{port}/revoke",
                    method="POST",
                    body=json.dumps(request_body),
                    headers={"Authorization": f"Bearer {secret}"},
                    raise_error=False,
                )
                await until(lambda: lock._waiters)
                app.users.delete(app.users["ann"].orm_user)
            response = await request
    finally:
        server.stop()
    assert response.code == 404, response.body
    assert list(app.users) == []
