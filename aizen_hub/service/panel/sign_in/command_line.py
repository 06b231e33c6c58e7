"""Pages for the sign-in of the command line: a word to compare, and the way back to the terminal."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from pydantic import Field

from aizen_hub.api_models.command_line import DONE_PAGE, Challenge, check_word
from aizen_hub.api_models.schema import Schema
from aizen_hub.problems import NotAuthenticated
from aizen_hub.service.auth.command_line_login import CommandLineFlow, CommandLineLogin
from aizen_hub.service.http.headers import HTML
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.rendering import HEADERS
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

_TEMPLATE = "mine/command_line.html"


class SignInQuery(Schema):
    """What the command line sends: its challenge, and where it listens; without a port the code is pasted."""

    challenge: Challenge
    state: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    port: Annotated[int, Field(ge=1024, le=65535)] | None = None


class DoneQuery(Schema):
    """The authorization response of the hub."""

    state: Annotated[str, Field(min_length=1, max_length=4000)]
    code: Annotated[str | None, Field(max_length=512)] = None
    error: Annotated[str | None, Field(max_length=200)] = None
    error_description: Annotated[str | None, Field(max_length=1000)] = None
    scope: Annotated[str | None, Field(max_length=2000)] = None


async def show_sign_in(ctx: RequestContext) -> RawResponse:
    query = ctx.query
    flow = CommandLineFlow(ctx.identity.name, query.port or 0, query.state, query.challenge)
    address = _login(ctx).authorize_url(flow)
    return await show_page(
        ctx, _TEMPLATE, lambda viewer: {"word": check_word(query.challenge), "address": address, "code": None}
    )


async def show_done(ctx: RequestContext) -> RawResponse:
    query, login = ctx.query, _login(ctx)
    flow = login.read_flow(query.state, ctx.identity.name)
    if query.code is None:
        raise NotAuthenticated("the hub did not sign the command line in", remedy="run `aizen-hub login` again")
    code = login.tie_code(flow, query.code)
    if flow.port:
        await ctx.authorized_read(lambda _: None)
        answer = urlencode({"code": code, "state": flow.state})
        headers = {**HEADERS, "Location": f"http://127.0.0.1:{flow.port}/?{answer}"}
        return RawResponse(b"", HTML, headers, 302)

    def variables(_: Viewer) -> dict[str, str | None]:
        return {"word": None, "address": None, "code": code}

    return await show_page(ctx, _TEMPLATE, variables)


def _login(ctx: RequestContext) -> CommandLineLogin:
    return CommandLineLogin(ctx.service.browser_login, ctx.service.main_hub.api)


ROUTES = (
    page_route("/command-line", show_sign_in, "Sign in the command line.", SignInQuery),
    page_route(f"/{DONE_PAGE}", show_done, "The way back from the hub to the command line.", DoneQuery),
)
