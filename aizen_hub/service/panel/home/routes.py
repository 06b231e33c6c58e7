"""Page *Home* of those who manage something: what waits for them, what ends soon, what was refused, and the state."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.reviews import lifecycle
from aizen_hub.accounts.users import registration_requests
from aizen_hub.api_models.schema import Name, ProviderName
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.home import facts
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.system.overview import read_replica_rows
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext

_SHOWN = 6
_SHOWN_REGISTRATIONS = 20
_MAX_COUNTED = 100
_MAX_REVIEWS = 50


async def open_panel(ctx: RequestContext) -> RawResponse:
    """Redirect to *Home* for those who manage something, and else to *My access*."""
    is_manager = await ctx.authorized_read(lambda tx: Viewer(tx).is_manager)
    return see_other(ctx, "home" if is_manager else "me")


async def show_home(ctx: RequestContext) -> RawResponse:
    service = ctx.service

    def read(viewer: Viewer) -> dict[str, Any]:
        tx = viewer.tx
        requests = viewer.decidable_requests
        changes = viewer.pending_changes(limit=_MAX_COUNTED)
        administers = viewer.may("users")
        reviews = lifecycle.list_open_reviews(tx, viewer.projects, _MAX_REVIEWS)
        registrations = registration_requests.list_registration_requests(tx, _MAX_COUNTED) if administers else ()
        return {
            "requests": requests.rows[:_SHOWN],
            "request_count": len(requests.rows),
            "more_requests": requests.data["more"],
            "changes": changes.rows[:_SHOWN],
            "change_count": len(changes.rows),
            "more_changes": changes.data["more"],
            "ending": facts.read_ending(viewer, _SHOWN),
            "refusals": facts.read_refusals(viewer),
            "shown": _SHOWN,
            "reviews": reviews[:_SHOWN],
            "review_count": len(reviews),
            "reviews_to_do": viewer.review_count,
            "more_reviews": len(reviews) == _MAX_REVIEWS,
            "unused": service.state.unused_access if viewer.sees_all else None,
            "registrations": registrations[:_SHOWN_REGISTRATIONS],
            "registration_count": len(registrations),
            "more_registrations": len(registrations) == _MAX_COUNTED,
            "replicas": read_replica_rows(tx, service) if administers else (),
            "providers": facts.read_providers(tx, service.settings.providers) if administers else None,
            "mail": facts.read_mail(tx) if administers else None,
            "signing_key": facts.oldest_signing_key(tx, service.keys) if administers else None,
            "is_manager": viewer.is_manager,
            "may_review": viewer.may("access"),
        }

    return await show_page(
        ctx,
        "home.html",
        read,
        audit_details=lambda _: {"details": {"query": "home"}},
        pool=service.pools.queries,
        response_times=service.state.response_times.summarize(),
        audit_fault=service.checkpoint_health.fault,
        audit_age=service.checkpoint_health.age,
        clock_fault=service.clock.fault,
        clock_offset=service.clock.offset,
    )


class DismissalForm(Form):
    provider: ProviderName
    name: Name


async def dismiss_registration(ctx: RequestContext) -> RawResponse:
    body = ctx.body
    await authorized_value(
        ctx, lambda tx: registration_requests.dismiss_registration_request(tx, body.provider, body.name)
    )
    return see_other(ctx, "home", f"The request of {body.name} was dismissed.")


ROUTES = (
    page_route("/", open_panel, "The panel."),
    page_route("/home", show_home, "Home of those who manage something."),
    form_route("/registrations/dismiss", dismiss_registration, "Dismiss a request to be registered.", DismissalForm),
)
