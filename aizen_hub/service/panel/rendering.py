"""What all pages share: how one is made, what protects it, and how a refusal looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.service.http.request import Request
from aizen_hub.service.http.route import REGISTERED, Answer, Credential, Document, Handle, Route
from aizen_hub.service.http.schema import Schema, Secret
from aizen_hub.store.transaction import Write

if TYPE_CHECKING:
    from aizen_hub.service.context import House
    from aizen_hub.service.pipeline.request_context import Call

T = TypeVar("T")

HTML = "text/html; charset=utf-8"
IN_BROWSER = frozenset({Credential.BROWSER})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
PAGES = (
    ("", "My access"),
    ("waiting", "Waiting for confirmation"),
    ("sessions", "Sessions and revocation"),
    ("account", "My account"),
)
_TEMPLATES = Path(__file__).parent / "templates"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Form(Schema):
    """What a page of ours sends; a change without the token of its browser is refused (R115)."""

    xsrf: Secret


def form(path: str, handle: Handle, summary: str, body: type[Form], *, in_time: bool = False) -> Route:
    """Return the route of a form: sent by a page of ours, answered by one."""
    return Route(
        "POST",
        path,
        IN_BROWSER,
        REGISTERED,
        handle,
        summary,
        body=body,
        form=True,
        media=HTML,
        page=True,
        in_time=in_time,
    )


@cache
def _environment() -> Environment:
    found = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    found.filters |= {"moment": _moment, "amount": _amount, "whom": _whom}
    return found


def render(call: Call, template: str, *, status: int = 200, **names: Any) -> Document:
    """Make a page for the person of a call."""
    actor = call.actor
    known = {
        **_places(call.house),
        "me": actor.identity.name,
        "xsrf": call.caller.xsrf,
        "here": call.route.path.split("/")[1],
        "fresh_until": actor.fresh_until,
    }
    body = _environment().get_template(template).render(known | names)
    return Document(body.encode(), HTML, HEADERS, status)


def see_other(call: Call, page: str) -> Document:
    """Send the browser to a page of ours, by GET."""
    return Document(b"", HTML, {**HEADERS, "Location": call.house.browsers.onward(page)}, 303)


def failed(house: House, route: Route, request: Request, problem: Problem) -> Document:
    """Show a refusal; somebody who is not signed in is sent to sign in, where a page was opened."""
    try:
        if _signed_out(problem) and request.method == "GET" and Credential.BROWSER in route.takes:
            page = request.path.removeprefix(house.prefix)
            address, cookie = house.browsers.begin(request, page + (f"?{request.query}" if request.query else ""))
            return Document(b"", HTML, {**HEADERS, "Location": address}, 302, (cookie,))
    except Problem as error:
        problem = error
    names = {
        **_places(house),
        "me": None,
        "xsrf": None,
        "here": None,
        "fresh_until": None,
        "problem": problem,
        "fresh": problem.more.get("reason") == "fresh-login-required",
        "page": route.path.split("/")[1],
    }
    body = _environment().get_template("problem.html").render(names)
    return Document(body.encode(), HTML, HEADERS, 503 if problem.status == 500 else problem.status)


async def do(call: Call, work: Callable[[Write], T]) -> T:
    """Do ``work`` in one transaction with the decision of its route, and return what it returns."""
    value: T = (await call.write(lambda tx, _: Answer(work(tx)))).value
    return value


def _signed_out(problem: Problem) -> bool:
    return isinstance(problem, NotAuthenticated) and problem.more.get("code") in ("missing", "signed-out")


def _places(house: House) -> dict[str, Any]:
    return {
        "prefix": house.prefix,
        "hub": house.browsers.place.address,
        "pages": PAGES,
        "quote": lambda text: quote(text, safe=""),
    }


def _moment(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def _amount(value: float, kind: str) -> str:
    if kind != "memory":
        return f"{value:g}"
    step = 0
    while value >= 1024 and step < len(_UNITS) - 1:
        value, step = value / 1024, step + 1
    return f"{value:g} {_UNITS[step]}"


def _whom(identity: str) -> str:
    """Return an identity as people call it: a user by name alone."""
    return identity.removeprefix("user:").replace(":", " ", 1)
