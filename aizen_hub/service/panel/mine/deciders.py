"""Who would decide on a request for a role, named to those who may know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.grantors import who_can_grant
from aizen_hub.rbac.role import SYSTEM, is_assignable_in
from aizen_hub.service.http.form import Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

_SHOWN = 5


class DecidersQuery(Schema):
    """What is filled in so far."""

    project: Typed = ""
    role: Typed = ""


@dataclass(frozen=True, slots=True)
class Deciders:
    """Who would decide on a request.

    Attributes
    ----------
    is_told : bool
        Whether the viewer may know them. Of a project in which the viewer has no role it is never told, and no
        different for one that does not exist (R72).
    names : tuple of str
        Some of them, at most five.
    more : bool
        There are others.
    """

    is_told: bool
    names: tuple[str, ...] = ()
    more: bool = False


def find_deciders(viewer: Viewer, project: str, role_name: str) -> Deciders | None:
    """Return who could give a role to the viewer; None where nothing that can be asked for is filled in yet."""
    tx, text = viewer.tx, project.strip()
    role = tx.roles.get(role_name)
    scope = normalization.canonical_or_none(text, NameKind.PROJECT) if text else SYSTEM
    if role is None or scope is None or not is_assignable_in(role, scope):
        return None
    if scope != SYSTEM and not checks.can_see_project(tx, viewer.identity, scope):
        return Deciders(is_told=False)
    found = who_can_grant(tx, role.name, scope, _SHOWN + 1, recipient=viewer.identity, besides=[viewer.identity])
    return Deciders(True, found[:_SHOWN], len(found) > _SHOWN)


async def show_deciders(ctx: RequestContext) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        return {"deciders": find_deciders(viewer, ctx.query.project, ctx.query.role)}

    return await show_page(ctx, "mine/deciders.html", read, fragment="line")


ROUTES = (page_route("/me/ask/deciders", show_deciders, "Who would decide on a request.", DecidersQuery),)
