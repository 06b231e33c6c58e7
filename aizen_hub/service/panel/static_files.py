"""Static files of the panel: style sheets, scripts and images, all served from this origin."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from jupyterhub._data import DATA_FILES_PATH

from aizen_hub.problems import NotFound
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, RawResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext

_IMPORTS = re.compile(rb"@import[^;]{0,300};")
_CACHE_HEADERS = {"Cache-Control": "public, max-age=600"}
_HUB_STATIC = Path(DATA_FILES_PATH) / "static"
# The hub's own style from the installed package, so that the panel changes with it.
_FILES = {
    "hub.css": (_HUB_STATIC / "css/style.min.css", "text/css; charset=utf-8"),
    "darkmode.js": (_HUB_STATIC / "js/darkmode.js", "text/javascript; charset=utf-8"),
    "favicon.ico": (_HUB_STATIC / "favicon.ico", "image/x-icon"),
    "logo.png": (_HUB_STATIC / "images/jupyterhub-80.png", "image/png"),
    "panel.css": (None, "text/css; charset=utf-8"),
}


@cache
def _read_file(name: str) -> tuple[bytes, str]:
    path, content_type = _FILES[name]
    content = files("aizen_hub.service.panel").joinpath(name).read_bytes() if path is None else path.read_bytes()
    # The hub's style sheet imports icon fonts, which these pages do not use.
    return (_IMPORTS.sub(b"", content) if content_type.startswith("text/css") else content), content_type


async def show_static_file(ctx: RequestContext) -> RawResponse:
    name = ctx.path_params["file"]
    if name not in _FILES:
        raise NotFound("there is nothing at this address")
    content, content_type = _read_file(name)
    return RawResponse(content, content_type, _CACHE_HEADERS)


ROUTES = (
    Route(
        "GET",
        "/static/{file}",
        frozenset({AuthMethod.NONE}),
        CREDENTIAL_SUFFICES,
        show_static_file,
        "Style sheets, scripts and images.",
        media_type="text/css",
        browser_page=True,
    ),
)
