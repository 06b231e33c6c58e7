"""The private attributes of aiohttp that the wire bounds need: an update that renames one is found here."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

from aiohttp import web

from aizen_hub.service.http import wire_bounds

PACKAGE = Path(wire_bounds.__file__).parents[2]


async def respond(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def test_the_private_attributes_exist() -> None:
    connection = web.RequestHandler(web.Server(respond), loop=asyncio.get_running_loop())
    for name in wire_bounds.PRIVATE_ATTRIBUTES:
        assert hasattr(connection, name), name
    assert wire_bounds.request_count(connection) == 0
    assert not wire_bounds.is_at_head(connection), "nothing has started to wait for a request"
    assert not wire_bounds.is_body_complete(connection)


async def test_socket_transports_have_a_bound_of_one_read() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    wire_bounds.limit_read_size(writer.transport, 1_000)
    assert writer.transport.max_size == 1_000  # type: ignore[attr-defined]
    writer.close()
    server.close()


def private_accesses(text: str) -> set[str]:
    """Names of private attributes that are read from anything but the object itself, its class or a call on them."""
    return {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }


def test_no_other_module_of_the_service_uses_private_attributes_of_aiohttp() -> None:
    used = private_accesses(Path(wire_bounds.__file__).read_text())
    assert used == set(wire_bounds.PRIVATE_ATTRIBUTES)
    declared = set(web.RequestHandler.__slots__) | set(vars(web.Application)) | set(vars(web.BaseRequest))
    for file in (PACKAGE / "service").rglob("*.py"):
        if file != Path(wire_bounds.__file__):
            assert private_accesses(file.read_text()) & declared == set(), file


def test_the_search_finds_a_private_attribute() -> None:
    assert private_accesses("x = request._task\nself._own = 1\n") == {"_task"}
