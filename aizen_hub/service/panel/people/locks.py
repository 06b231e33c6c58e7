"""Page *Stopped*: every person, group, account, project and session that is stopped, and letting them in again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from aizen_hub.accounts.sessions import lock_previews, locks
from aizen_hub.api_models.schema import Note
from aizen_hub.authorization import checks
from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import NotFound
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.api.change_response import id_param
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.fields.until import ON_DATE, parse_until
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors, show_errors
from aizen_hub.service.panel.identity_stop import require_reason, show_lock_preview
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.paging import PageQuery, Sort, read_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

_l = tables.locks
SORTS = (Sort("locked", (_l.c.locked, _l.c.id)), Sort("name", (_l.c.name, _l.c.id)))


class UnlockForm(Form):
    """The lock ends after the day ``until``; at once without it. ``locked`` is when what the page showed was locked."""

    reason: Note = ""
    until: Typed = ""
    locked: Typed = ""


async def show_locks(ctx: RequestContext) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        checks.require(viewer.tx, checks.endpoint_permission(viewer.tx, "locks"))
        # An archived project is not stopped: its own page and the list of projects show it.
        stops = select(_l).where(_l.c.target != LockTarget.ARCHIVE.value)
        return {"page": read_page(viewer.tx, stops, SORTS, ctx.query)}

    return await show_page(ctx, "people/locks.html", read, audit_details=lambda _: {"details": {"query": "locks"}})


async def show_lock(ctx: RequestContext) -> RawResponse:
    """Show a lock, and what returns when it is lifted."""
    return await _show(ctx)


async def _show(ctx: RequestContext, form: UnlockForm | None = None, errors: FormErrors = NO_ERRORS) -> RawResponse:
    lock_id = id_param(ctx, "lock", "lock")

    def read(viewer: Viewer) -> dict[str, Any]:
        row = _get_lock(viewer.tx, lock_id)
        returns = lock_previews.find_what_returns(viewer.tx, LockTarget(row.target), row.name)
        return {
            "lock": row,
            "locked_at": to_json_value(row.locked),
            "returns": returns.rows,
            "more": returns.data["more"],
            "in_force": row.ends is None or row.ends > viewer.tx.now,
            "form": form or UnlockForm(xsrf="-"),
        }

    return await show_lock_preview(
        ctx, "people/lock.html", read, errors, lambda values: f"{values['lock'].target} {values['lock'].name}"
    )


def _get_lock(tx: ActorTransaction, lock_id: int) -> Any:
    checks.require(tx, checks.endpoint_permission(tx, "locks"))
    row = tx.conn.execute(select(_l).where(_l.c.id == lock_id)).first()
    if row is None:
        raise NotFound("there is no such lock", remedy="it was lifted, or ended, in the meantime")
    return row


async def remove_lock(ctx: RequestContext) -> RawResponse:
    lock_id, body = id_param(ctx, "lock", "lock"), ctx.body

    def operation(tx: WriteTransaction) -> None:
        row = _get_lock(tx, lock_id)
        ends = parse_until(ON_DATE, body.until, tx.now) if body.until else None
        shown = {"locked": body.locked}
        locks.unlock_target(tx, LockTarget(row.target), row.name, reason=body.reason, ends=ends, requested_for=shown)

    async def change() -> RawResponse:
        require_reason(body.reason)
        await authorized_value(ctx, operation)
        return see_other(ctx, "locks", "The stop has an end." if body.until else "The stop is lifted.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show(ctx, body, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/locks", show_locks, "What is stopped.", PageQuery),
    page_route("/locks/{lock}", show_lock, "A lock, and what returns when it is lifted."),
    form_route("/locks/{lock}/remove", remove_lock, "Lift a lock, from its page.", UnlockForm),
)
