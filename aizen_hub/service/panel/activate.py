"""The page that an activation link opens."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from aizen_hub.service.http.route import ROAD, Credential, Document, Route
from aizen_hub.service.pipeline.request_context import Call

NOBODY = frozenset({Credential.NONE})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@cache
def _file(name: str) -> bytes:
    return files("aizen_hub.service.panel").joinpath(name).read_bytes()


async def page(call: Call) -> Document:
    return Document(_file("activate.html"), "text/html; charset=utf-8", {"Content-Security-Policy": _POLICY})


async def script(call: Call) -> Document:
    return Document(_file("activate.js"), "text/javascript; charset=utf-8")


async def style(call: Call) -> Document:
    return Document(_file("activate.css"), "text/css; charset=utf-8")


ROUTES = (
    Route("GET", "/activate", NOBODY, ROAD, page, "The page of an activation link.", media="text/html", page=True),
    Route(
        "GET",
        "/static/activate.js",
        NOBODY,
        ROAD,
        script,
        "Its script.",
        media="text/javascript",
        page=True,
    ),
    Route("GET", "/static/activate.css", NOBODY, ROAD, style, "Its looks.", media="text/css", page=True),
)
