"""The documentation, as HTML pages that `make docs` has built into the package: they work without the internet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from http import HTTPStatus
from pathlib import Path

from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import NotFound
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, Handler, RawResponse, Route
from aizen_hub.service.panel import documentation_folder
from aizen_hub.service.panel.documentation_folder import START
from aizen_hub.service.panel.rendering import HEADERS
from aizen_hub.service.pipeline.request_context import RequestContext

PROBLEMS = "docs/reference/problems.html"
INLINE_HASHES = "inline.json"
"""Hashes of the scripts and styles inside the pages, by directive, for the content security policy."""
_DEPTH = 5
_SLUG = re.compile(r"[a-z-]{1,60}")
_TEXT = "text/plain; charset=utf-8"
_TYPES: Mapping[str, str] = {
    ".html": HTML,
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".cast": _TEXT,
    ".py": _TEXT,
    ".yaml": _TEXT,
}


@cache
def _files() -> Mapping[str, Path]:
    """Return every file that is served by its path below the folder; the folder does not change while we run."""
    found = (path for path in documentation_folder.FOLDER.rglob("*") if path.suffix in _TYPES and path.is_file())
    return {path.relative_to(documentation_folder.FOLDER).as_posix(): path for path in found}


@lru_cache(maxsize=128)
def _read_file(name: str) -> bytes:
    return _files()[name].read_bytes()


@cache
def _headers() -> Mapping[str, str]:
    hashes = json.loads((documentation_folder.FOLDER / INLINE_HASHES).read_text(encoding="utf-8"))
    sources = {
        directive: " ".join(["'self'", *(f"'{value}'" for value in hashes[directive])])
        for directive in ("script-src", "style-src")
    }
    policy = (
        f"default-src 'none'; script-src {sources['script-src']}; style-src {sources['style-src']}; "
        "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {**HEADERS, "Content-Security-Policy": policy, "Cache-Control": "public, max-age=600"}


class DocumentationQuery(Schema):
    """What the pages put into addresses: the version of a file, and the words of a search."""

    v: str = ""
    q: str = ""
    check_keywords: str = ""
    area: str = ""
    highlight: str = ""


async def show_documentation(ctx: RequestContext) -> RawResponse:
    """Return a file of the documentation."""
    name = "/".join(ctx.path_params.values())
    if name not in _files():
        raise _missing()
    return RawResponse(_read_file(name), _TYPES[Path(name).suffix], _headers())


async def open_documentation(ctx: RequestContext) -> RawResponse:
    """Redirect to the first page."""
    return _redirect(ctx, START)


async def open_problem_type(ctx: RequestContext) -> RawResponse:
    """Redirect to the entry of a problem type, which is what `type` of a problem document leads to."""
    slug = ctx.path_params["slug"]
    if not _SLUG.fullmatch(slug):
        raise _missing()
    return _redirect(ctx, f"{PROBLEMS}#problem-{slug}")


def _redirect(ctx: RequestContext, page: str) -> RawResponse:
    if START not in _files():
        raise _missing()
    headers = {**HEADERS, "Location": f"{ctx.service.prefix}docs/{page}"}
    return RawResponse(b"", HTML, headers, HTTPStatus.FOUND)


def _missing() -> NotFound:
    if START in _files():
        return NotFound("the documentation has no such page", remedy="search it, or begin at its first page")
    return NotFound(
        "this installation has no documentation",
        remedy="released packages contain it; in a checkout of the source, `make docs` builds it",
    )


def _route(path: str, handler: Handler, summary: str) -> Route:
    return Route(
        "GET",
        path,
        frozenset({AuthMethod.NONE}),
        CREDENTIAL_SUFFICES,
        handler,
        summary,
        query=DocumentationQuery,
        available_when_sealed=True,  # the operator reads here what to do
        media_type=HTML,
        browser_page=True,
    )


ROUTES = (
    _route("/docs", open_documentation, "The first page of the documentation."),
    _route("/docs/problems/{slug}", open_problem_type, "The documentation of a problem type."),
    *(
        _route(
            "/docs/" + "/".join(f"{{part{number}}}" for number in range(depth)),
            show_documentation,
            "A file of the documentation.",
        )
        for depth in range(1, _DEPTH + 1)
    ),
)
