"""The way in from the hub, and what pages are made of: looks and scripts, all from this origin."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from jupyterhub._data import DATA_FILES_PATH
from pydantic import Field

from aizen_hub.problems import NotAuthenticated, NotFound
from aizen_hub.service.http.route import ROAD, Credential, Document, Route
from aizen_hub.service.http.schema import Schema
from aizen_hub.service.panel.rendering import HEADERS, HTML
from aizen_hub.service.pipeline.request_context import Call

NOBODY = frozenset({Credential.NONE})
_IMPORTS = re.compile(rb"@import[^;]{0,300};")
_KEEP = {"Cache-Control": "public, max-age=600"}
_HUB = Path(DATA_FILES_PATH) / "static"
# The hub's own looks, from the installed package, so that the pages change with it.
_FILES = {
    "hub.css": (_HUB / "css/style.min.css", "text/css; charset=utf-8"),
    "darkmode.js": (_HUB / "js/darkmode.js", "text/javascript; charset=utf-8"),
    "favicon.ico": (_HUB / "favicon.ico", "image/x-icon"),
    "logo.png": (_HUB / "images/jupyterhub-80.png", "image/png"),
    "panel.css": (None, "text/css; charset=utf-8"),
}


class Back(Schema):
    """What the hub sends a browser back with (RFC 6749, 4.1.2)."""

    state: Annotated[str, Field(min_length=1, max_length=4000)]
    code: Annotated[str | None, Field(max_length=512)] = None
    error: Annotated[str | None, Field(max_length=200)] = None
    error_description: Annotated[str | None, Field(max_length=1000)] = None
    scope: Annotated[str | None, Field(max_length=2000)] = None


async def back(call: Call) -> Document:
    """Sign a browser in that comes back from the hub."""
    if call.query.code is None:
        raise NotAuthenticated("the hub did not sign you in", remedy="open the page again", more={"code": "sign-in"})
    target, cookies = await call.house.browsers.finish(
        call.headers, call.caller.secure, call.query.state, call.query.code
    )
    return Document(b"", HTML, {**HEADERS, "Location": target}, 302, cookies)


@cache
def _file(name: str) -> tuple[bytes, str]:
    path, kind = _FILES[name]
    data = files("aizen_hub.service.panel").joinpath(name).read_bytes() if path is None else path.read_bytes()
    # The hub's looks fetch fonts with icons, which these pages do without.
    return (_IMPORTS.sub(b"", data) if kind.startswith("text/css") else data), kind


async def static(call: Call) -> Document:
    name = call.members["file"]
    if name not in _FILES:
        raise NotFound("there is nothing at this address")
    data, kind = _file(name)
    return Document(data, kind, _KEEP)


ROUTES = (
    Route(
        "GET",
        "/oauth_callback",
        NOBODY,
        ROAD,
        back,
        "The way back from the hub's sign-in.",
        query=Back,
        media=HTML,
        page=True,
    ),
    Route("GET", "/static/{file}", NOBODY, ROAD, static, "Looks and scripts.", media="text/css", page=True),
)
