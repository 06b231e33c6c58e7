"""Static files of the panel: style sheets, scripts and images, all served from this origin."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from aizen_hub.problems import NotFound
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, RawResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext


def _find_hub_static() -> Path:
    """Return the folder of the hub's own static files, from the record that its installation keeps.

    Raises
    ------
    FileNotFoundError
    """
    hub = distribution("jupyterhub")
    for file, *_ in csv.reader((hub.read_text("RECORD") or "").splitlines()):
        if file.endswith("share/jupyterhub/static/favicon.ico"):
            return Path(str(hub.locate_file(file))).resolve().parent
    raise FileNotFoundError("the installation of jupyterhub has no record of its static files: install it with pip")


_IMPORTS = re.compile(rb"@import[^;]{0,300};")
_CACHE_HEADERS = {"Cache-Control": "public, max-age=600"}
_STATIC = Path(__file__).parent / "static"
_HUB_STATIC = _find_hub_static()
_CSS = "text/css; charset=utf-8"
_JAVASCRIPT = "text/javascript; charset=utf-8"
# Later ones override earlier ones.
_STYLES = (
    "tokens",
    "base",
    "shell",
    "sections",
    "tables",
    "components",
    "forms",
    "matrix",
    "narrow",
    "details",
    "pages",
    "projects",
)
_FILES: dict[str, tuple[Sequence[Path], str]] = {
    # The hub's own style from the installed package, so that the panel changes with it.
    "hub.css": ((_HUB_STATIC / "css/style.min.css",), _CSS),
    "darkmode.js": ((_HUB_STATIC / "js/darkmode.js",), _JAVASCRIPT),
    "favicon.ico": ((_HUB_STATIC / "favicon.ico",), "image/x-icon"),
    "panel.css": (tuple(_STATIC / "styles" / f"{name}.css" for name in _STYLES), _CSS),
    "panel.js": ((_STATIC / "panel.js",), _JAVASCRIPT),
    "htmx.js": ((_STATIC / "htmx.min.js",), _JAVASCRIPT),
}


@cache
def _read_file(name: str) -> tuple[bytes, str]:
    paths, content_type = _FILES[name]
    content = b"".join(path.read_bytes() for path in paths)
    # The hub's style sheet imports icon fonts, which these pages do not use.
    return (_IMPORTS.sub(b"", content) if name == "hub.css" else content), content_type


def read_static_file(name: str) -> RawResponse:
    """Return a static file as a response.

    Raises
    ------
    NotFound
    """
    if name not in _FILES:
        raise NotFound("there is nothing at this address")
    content, content_type = _read_file(name)
    return RawResponse(content, content_type, _CACHE_HEADERS)


async def show_static_file(ctx: RequestContext) -> RawResponse:
    return read_static_file(ctx.path_params["file"])


ROUTES = (
    Route(
        "GET",
        "/static/{file}",
        frozenset({AuthMethod.NONE}),
        CREDENTIAL_SUFFICES,
        show_static_file,
        "Style sheets, scripts and images.",
        available_when_sealed=True,  # for the page that says so
        media_type="text/css",
        browser_page=True,
    ),
)
