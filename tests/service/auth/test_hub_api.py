"""Bounds of the client of the hub's API: redirects, size, time, and proxies of the environment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aizen_hub.api_models.hub_tokens import HubTokensResponse
from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.service.auth.hub_api import MAX_RESPONSE_BYTES, HubApiClient, HubUser

USER = {"name": "eve", "kind": "user", "token_id": "a1", "scopes": ["access:services"]}


async def get_user(request: web.Request) -> web.StreamResponse:
    """`GET /user` of a hub that misbehaves as the token says."""
    match request.headers["Authorization"].removeprefix("token "):
        case "redirected":
            raise web.HTTPFound("/elsewhere")
        case "slow":
            await asyncio.sleep(60)
        case "large":
            return web.Response(body=b'"' + b"x" * MAX_RESPONSE_BYTES + b'"')
        case "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * 65_536)
        case "html":
            return web.Response(text="<html>")
        case "broken":
            return web.Response(status=500)
        case "refused":
            return web.Response(status=403)
        case "compressed":
            response = web.json_response(USER)
            response.enable_compression()
            return response
    return web.json_response(USER)


async def elsewhere(_: web.Request) -> web.Response:
    return web.json_response(USER)


async def refuse_user(_: web.Request) -> web.Response:
    """As the hub's handlers refuse a user that the hub does not have."""
    return web.Response(status=404, text="{}", content_type="application/problem+json")


@pytest.fixture
async def client() -> AsyncIterator[HubApiClient]:
    app = web.Application()
    app.add_routes([web.get("/user", get_user), web.get("/elsewhere", elsewhere)])
    async with TestServer(app) as server:
        client = HubApiClient(str(server.make_url("")), "aizen", 2.0)
        yield client
        await client.close()


@pytest.mark.parametrize("token", ["good", "compressed"])
async def test_a_valid_token(client: HubApiClient, token: str) -> None:
    assert await client.user_of_token(token) == HubUser("eve", "a1")


@pytest.mark.parametrize("token", ["redirected", "slow", "large", "endless", "html", "broken"])
async def test_a_misbehaving_hub_is_unavailable(client: HubApiClient, token: str) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await client.user_of_token(token)


async def test_a_refused_token(client: HubApiClient) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await client.user_of_token("refused")
    assert caught.value.extensions["code"] == "unknown"


async def test_proxies_of_the_environment_are_ignored(client: HubApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await client.user_of_token("good")).name == "eve"


async def test_an_unreachable_hub_is_unavailable() -> None:
    client = HubApiClient("http://127.0.0.1:1", "aizen", 2.0)
    with pytest.raises(Unavailable):
        await client.user_of_token("good")
    await client.close()


async def test_a_hub_without_the_endpoint_does_not_say_that_a_user_is_unknown() -> None:
    app = web.Application()
    app.add_routes([web.post("/current/aizen/{endpoint}", refuse_user)])
    async with TestServer(app) as server:
        current = HubApiClient(str(server.make_url("/current")), "aizen", 2.0)
        former = HubApiClient(str(server.make_url("/former")), "aizen", 2.0)
        assert await current.list_tokens("eve", "secret") == HubTokensResponse()
        assert await current.revoke_user("eve", "secret") is None
        with pytest.raises(Unavailable, match="no such endpoint"):
            await former.list_tokens("eve", "secret")
        with pytest.raises(Unavailable, match="no such endpoint"):
            await former.revoke_user("eve", "secret")
        await current.close()
        await former.close()
