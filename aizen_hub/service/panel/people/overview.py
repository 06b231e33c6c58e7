"""Page *People*: everyone who is registered, as far as the viewer may see them."""

from __future__ import annotations

from typing import Any

from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import page_route, show_page
from aizen_hub.service.panel.people import listing
from aizen_hub.service.panel.people.listing import NO_ROLE, PeopleQuery
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext


async def show_people(ctx: RequestContext) -> RawResponse:
    query = ctx.query

    def read(viewer: Viewer) -> dict[str, Any]:
        if not viewer.is_manager:
            raise not_in_panel()
        page, people = listing.list_people(viewer, query)
        states = listing.count_people(viewer)
        return {
            "page": page,
            "people": people,
            "states": states,
            "states_present": [state for state, count in states.items() if count],
            "query": query,
            "active_filters": sum(
                value is not None for value in (query.state, query.source, query.project, query.role)
            ),
            "sources": [(provider.name, provider.label or provider.name) for provider in viewer.tx.settings.providers],
            "labels": provider_labels(viewer),
            "role_names": [(name, name) for name in viewer.tx.roles] + [(NO_ROLE, "No role")],
            "sees_all": viewer.sees_all,
            "may_register": viewer.may("users"),
            "may_stop": viewer.may("locks"),
            "may_group": viewer.may("groups"),
        }

    return await show_page(
        ctx,
        "people/people.html",
        read,
        fragment="results",
        audit_details=lambda _: {"details": {"query": "users"}},
    )


def provider_labels(viewer: Viewer) -> dict[str, str]:
    """Return how each identity provider is called on the pages."""
    return {provider.name: provider.label or provider.name for provider in viewer.tx.settings.providers}


ROUTES = (page_route("/people", show_people, "People.", PeopleQuery),)
