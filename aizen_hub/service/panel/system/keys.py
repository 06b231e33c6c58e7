"""Rotating the signing keys from the panel, after a recent sign-in."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts import pending_changes
from aizen_hub.authorization import checks
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.system.overview import require_administrator
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.keys import Purpose, SigningKey

USES = {
    Purpose.ROLE: "tokens of servers",
    Purpose.DECISION: "decisions for the core",
    Purpose.CHECKPOINT: "checkpoints of the audit",
    Purpose.SYNC: "the copy for remote workers",
}
"""What the keys of each purpose sign, in words."""


class RotationForm(Form):
    purpose: Purpose


async def show_rotation(ctx: RequestContext) -> RawResponse:
    purpose = ctx.path_params["purpose"]

    def read(viewer: Viewer) -> dict[str, Any]:
        require_administrator(viewer)
        uses = {key.value: text for key, text in USES.items()}
        if purpose not in uses or not viewer.may("locks"):
            raise not_in_panel()
        return {"purpose": purpose, "use": uses[purpose]}

    return await show_page(ctx, "system/rotate.html", read)


async def rotate_key(ctx: RequestContext) -> RawResponse:
    purpose = ctx.body.purpose

    def operation(tx: WriteTransaction) -> SigningKey:
        checks.forbid_impersonation(tx)
        checks.require(tx, checks.endpoint_permission(tx, "locks"))
        pending_changes.require_recent_login(tx)
        return ctx.service.keys.rotate(tx, purpose)

    key = await authorized_value(ctx, operation)
    return see_other(ctx, "system", f"A new key signs {USES[purpose]}: {key.kid[:8]}.")


ROUTES = (
    page_route("/system/keys/{purpose}", show_rotation, "What rotating a key does."),
    form_route("/system/keys", rotate_key, "Rotate a key.", RotationForm),
)
