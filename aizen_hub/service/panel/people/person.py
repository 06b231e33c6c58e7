"""A person's page: what they may do in each project, and where each role comes from."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.roles.revocability import find_obstacles
from aizen_hub.api_models.schema import Schema
from aizen_hub.authorization.queries.effective_access import list_access
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.identity_rows import visible_parents_of
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.paging import OptionalText
from aizen_hub.service.panel.people import person_head
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

SCOPES_PER_PAGE = 50


class PersonAccessQuery(Schema):
    """Where the page of scopes begins."""

    after: OptionalText = None


async def show_person(ctx: RequestContext) -> RawResponse:
    name, after = ctx.path_params["name"], ctx.query.after

    def read(viewer: Viewer) -> dict[str, Any]:
        head = person_head.read_head(viewer, name)
        return {
            **head,
            **read_access(viewer, head["identity"], after),
            "groups": visible_parents_of(viewer, head["identity"]),
        }

    return await show_page(ctx, "people/person.html", read, audit_details=about_person(ctx, name))


def about_person(ctx: RequestContext, name: str) -> Any:
    """Return what is recorded of the reading of a person's page; nothing of one's own."""
    if ctx.identity == Identity.user(name):
        return None
    return lambda _: {"details": {"query": "person", "target": f"user:{name}"}}


def read_access(viewer: Viewer, identity: Identity, after: str | None = None) -> dict[str, Any]:
    """Return the roles of an identity by scope, and for each what the viewer may do about it."""
    projects = None if identity == viewer.identity else viewer.projects
    access = list_access(viewer.tx, identity, projects=projects, after=after, limit=SCOPES_PER_PAGE)
    held_roles = [held for scope in access.scopes for held in scope.roles]
    return {
        "access": access,
        "is_partial": projects is not None,
        "obstacles": find_obstacles(viewer.tx, identity, held_roles),
    }


ROUTES = (page_route("/people/{name}", show_person, "A person and their access.", PersonAccessQuery),)
