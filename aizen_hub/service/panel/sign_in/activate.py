"""Page of an activation link."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, RawResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


_FOLDER = Path(__file__).parents[1]


@cache
def _read_file(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


async def show_page(ctx: RequestContext) -> RawResponse:
    headers = {"Content-Security-Policy": _POLICY}
    return RawResponse(_read_file("templates/activate.html"), "text/html; charset=utf-8", headers)


async def show_script(ctx: RequestContext) -> RawResponse:
    return RawResponse(_read_file("static/activate.js"), "text/javascript; charset=utf-8")


async def show_stylesheet(ctx: RequestContext) -> RawResponse:
    return RawResponse(_read_file("static/activate.css"), "text/css; charset=utf-8")


_route = partial(Route, "GET", auth=frozenset({AuthMethod.NONE}), requires=CREDENTIAL_SUFFICES, browser_page=True)

ROUTES = (
    _route("/activate", handler=show_page, summary="The page of an activation link.", media_type="text/html"),
    _route("/static/activate.js", handler=show_script, summary="The page's script.", media_type="text/javascript"),
    _route("/static/activate.css", handler=show_stylesheet, summary="The page's style sheet.", media_type="text/css"),
)
