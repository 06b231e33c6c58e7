"""Stopping a person and restoring their access: what ends, what is kept, and what comes back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.sessions import lock_previews, locks
from aizen_hub.api_models.schema import Note
from aizen_hub.authorization.lock_state import is_locked
from aizen_hub.authorization.queries.effective_access import list_access
from aizen_hub.commands.result import to_json_value
from aizen_hub.problems import NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.identities.user_stop import stop_user
from aizen_hub.service.http.form import Form, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.identity_stop import DURATIONS, Duration, require_reason
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.people import person_head
from aizen_hub.service.panel.people.person import about_person
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import offer_unlock
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

_SHOWN_SCOPES = 5
_SHOWN_ACCOUNTS = 10


class StopForm(Form):
    reason: Note = ""
    duration: Duration = ""


class RestoreForm(Form):
    """``locked`` is when what the page showed was locked."""

    reason: Note = ""
    locked: Typed = ""


async def preview_stop(ctx: RequestContext) -> RawResponse:
    return await _show_stop(ctx)


async def _show_stop(
    ctx: RequestContext, reason: str = "", duration: str = "", errors: FormErrors = NO_ERRORS
) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = _read_head(viewer, name)
        obstacle, ends = None, None
        try:
            ends = lock_previews.find_what_ends(viewer.tx, head["identity"])
        except NotFound:
            raise
        except Problem as problem:  # the last holder of a protected role, or not the viewer's to stop
            obstacle = problem
        return {
            **head,
            "obstacle": obstacle,
            "ends": _by_kind(ends.rows) if ends is not None else {},
            "more": ends is not None and ends.data["more"],
            "kept": list_access(viewer.tx, head["identity"], limit=_SHOWN_SCOPES),
            "accounts": (controlled := _controlled_accounts(viewer.tx, head["identity"]))[:_SHOWN_ACCOUNTS],
            "more_accounts": len(controlled) > _SHOWN_ACCOUNTS,
            "durations": [(value, label) for value, label, _ in DURATIONS],
            "reason": reason,
            "duration": duration,
        }

    status = 422 if errors else 200
    details = about_person(ctx, name)
    return await show_page(ctx, "people/stop.html", read, status=status, audit_details=details, errors=errors)


def _read_head(viewer: Viewer, name: str) -> dict[str, Any]:
    """Return the head of a page that tells all roles and the last sign-in, which those who may stop may know."""
    head = person_head.read_head(viewer, name)
    if not viewer.may("locks"):
        raise not_in_panel()
    return head


def _by_kind(rows: tuple[tuple[Any, ...], ...]) -> dict[str, list[tuple[Any, ...]]]:
    return {kind: [row for row in rows if row[0] == kind] for kind in ("session", "command")}


def _controlled_accounts(tx: ReadTransaction, identity: Identity) -> list[str]:
    """Return the first service accounts that a person controls, and one more than are shown."""
    accounts = tables.service_accounts
    query = select(accounts.c.name).where(accounts.c.controller == str(identity), accounts.c.active)
    return list(tx.conn.execute(query.order_by(accounts.c.name).limit(_SHOWN_ACCOUNTS + 1)).scalars())


async def stop_now(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def offer(tx: WriteTransaction) -> str:
        person = person_head.find_person(Viewer(tx), name)
        return offer_unlock(tx, f"stopped {person.name}", [str(Identity.user(person.name))])

    async def change() -> RawResponse:
        require_reason(body.reason)
        identity = f"user:{normalization.canonical_or_none(name) or name}"
        now, was_stopped = await ctx.within_deadline(
            ctx.authorized_read(lambda tx: (tx.now, is_locked(tx, LockTarget.IDENTITY, identity)))
        )
        length = next(length for value, _, length in DURATIONS if value == body.duration)
        _, outcome = await stop_user(ctx, name, body.reason, None if length is None else now + length)
        # To lift a stop that was made longer would be more than to undo that.
        undo = None if was_stopped else await ctx.within_deadline(authorized_value(ctx, offer))
        ended = outcome.partition("; ")[2]
        return see_other(ctx, page_path("people", name), Toast(f"{name} is stopped; {ended}.", undo))

    async def show_again(errors: FormErrors) -> RawResponse:
        return await ctx.within_deadline(_show_stop(ctx, body.reason, body.duration, errors))

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


async def preview_restore(ctx: RequestContext) -> RawResponse:
    return await _show_restore(ctx)


async def _show_restore(ctx: RequestContext, reason: str = "", errors: FormErrors = NO_ERRORS) -> RawResponse:
    name = ctx.path_params["name"]

    def read(viewer: Viewer) -> dict[str, Any]:
        head = _read_head(viewer, name)
        if head["lock"] is None:
            raise NotFound(f"`{head['person'].name}` is not stopped", remedy="nothing has to be restored")
        returns = lock_previews.find_what_returns(viewer.tx, LockTarget.IDENTITY, str(head["identity"]))
        return {
            **head,
            "locked_at": to_json_value(head["lock"].locked),
            "returns": returns.rows,
            "more": returns.data["more"],
            "ended": _sessions_ended_since(viewer.tx, head["person"].name, head["lock"].locked),
            "reason": reason,
        }

    status = 422 if errors else 200
    details = about_person(ctx, name)
    return await show_page(ctx, "people/restore.html", read, status=status, audit_details=details, errors=errors)


def _sessions_ended_since(tx: ReadTransaction, name: str, since: datetime) -> int:
    sessions = tables.sessions
    query = select(func.count()).select_from(sessions).where(sessions.c.user == name, sessions.c.ended >= since)
    return tx.conn.execute(query).scalar_one()


async def restore(ctx: RequestContext) -> RawResponse:
    name, body = ctx.path_params["name"], ctx.body

    def operation(tx: WriteTransaction) -> None:
        person = person_head.find_person(Viewer(tx), name)
        shown = {"locked": body.locked}
        locks.unlock_target(tx, LockTarget.IDENTITY, f"user:{person.name}", reason=body.reason, requested_for=shown)

    async def change() -> RawResponse:
        require_reason(body.reason)
        await authorized_value(ctx, operation)
        return see_other(ctx, page_path("people", name), f"{name} can sign in again.")

    async def show_again(errors: FormErrors) -> RawResponse:
        return await _show_restore(ctx, body.reason, errors)

    return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)


ROUTES = (
    page_route("/people/{name}/stop", preview_stop, "What stopping a person ends."),
    # The hub stops servers before it answers, within a deadline of its own.
    form_route("/people/{name}/stop", stop_now, "Stop a person.", StopForm, own_deadline=True),
    page_route("/people/{name}/restore", preview_restore, "What restoring a person's access gives back."),
    form_route("/people/{name}/restore", restore, "Restore a person's access.", RestoreForm),
)
