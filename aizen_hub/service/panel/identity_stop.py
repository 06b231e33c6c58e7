"""Stopping a group or a service account from its page: what ends, what is kept, and undo.

A person has a page of their own (`people.stopping`), since the hub ends more of a person at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal

from aizen_hub.accounts.sessions import lock_previews, locks
from aizen_hub.api_models.schema import Note
from aizen_hub.authorization.lock_state import is_locked
from aizen_hub.authorization.queries.effective_access import list_granted_access
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form
from aizen_hub.service.http.route import RawResponse, Route
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import offer_unlock
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

DURATIONS = (
    ("1h", "1 hour", timedelta(hours=1)),
    ("1d", "1 day", timedelta(days=1)),
    ("7d", "7 days", timedelta(days=7)),
    ("", "Until restored", None),
)
Duration = Literal["1h", "1d", "7d", ""]


async def show_lock_preview(
    ctx: RequestContext,
    template: str,
    read: Callable[[Viewer], dict[str, Any]],
    errors: FormErrors,
    target: Callable[[Mapping[str, Any]], str],
) -> RawResponse:
    """Show what a lock ends or lifting it gives back, and record that it was read.

    Parameters
    ----------
    target : callable
        Returns what is locked, such as ``identity user:rita``, from the values of the page.
    """
    return await show_page(
        ctx,
        template,
        read,
        errors=errors,
        status=422 if errors else 200,
        audit_details=lambda values: {"details": {"query": "lock-preview", "target": target(values)}},
    )


def require_reason(reason: str) -> None:
    """Raise FieldError for a change of a lock without a reason."""
    if not reason.strip():
        raise FieldError("reason", "say why; the reason is recorded in the audit")


class IdentityStopForm(Form):
    reason: Note = ""
    duration: Duration = ""


class StopPage:
    """The page that stops one kind of identity.

    Parameters
    ----------
    section : str
        The first part of the addresses, such as ``groups``.
    to_identity : callable
        Of the name of a row.
    find : callable
        Returns the row that the viewer may see; raises the problem of a page that does not exist for any other name.
    """

    def __init__(
        self, section: str, to_identity: Callable[[str], Identity], find: Callable[[Viewer, str], Any]
    ) -> None:
        self._section, self._to_identity, self._find = section, to_identity, find

    def _find_stoppable(self, viewer: Viewer, name: str) -> Identity:
        identity = self._to_identity(self._find(viewer, name).name)
        if not viewer.may("locks"):
            raise not_in_panel()
        return identity

    async def preview(self, ctx: RequestContext) -> RawResponse:
        return await self._show(ctx)

    async def _show(
        self, ctx: RequestContext, form: IdentityStopForm | None = None, errors: FormErrors = NO_ERRORS
    ) -> RawResponse:
        name = ctx.path_params["name"]

        def read(viewer: Viewer) -> dict[str, Any]:
            identity = self._find_stoppable(viewer, name)
            ends = lock_previews.find_what_ends(viewer.tx, identity)
            return {
                "identity": identity,
                "section": self._section,
                "ends": ends.rows,
                "more": ends.data["more"],
                "granted": list_granted_access(viewer.tx, identity, projects=viewer.projects),
                "durations": [(value, label) for value, label, _ in DURATIONS],
                "form": form or IdentityStopForm(xsrf="-"),
            }

        return await show_lock_preview(
            ctx, "people/stop_identity.html", read, errors, lambda values: f"identity {values['identity']}"
        )

    async def stop(self, ctx: RequestContext) -> RawResponse:
        name, body = ctx.path_params["name"], ctx.body

        def operation(tx: WriteTransaction) -> Toast:
            identity = self._find_stoppable(Viewer(tx), name)
            length = next(length for value, _, length in DURATIONS if value == body.duration)
            was_stopped = is_locked(tx, LockTarget.IDENTITY, str(identity))
            result = locks.lock_target(
                tx,
                LockTarget.IDENTITY,
                str(identity),
                reason=body.reason,
                ends=None if length is None else tx.now + length,
            )
            ended = result.data["sessions_ended"]
            text = f"{identity.name} is stopped; {ended} {'session' if ended == 1 else 'sessions'} ended."
            # To lift a stop that was made longer would be more than to undo that.
            undo = None if was_stopped else offer_unlock(tx, f"stopped {identity.name}", [str(identity)])
            return Toast(text, undo)

        async def change() -> RawResponse:
            require_reason(body.reason)
            toast = await authorized_value(ctx, operation)
            return see_other(ctx, page_path(self._section, name), toast)

        async def show_again(errors: FormErrors) -> RawResponse:
            return await self._show(ctx, body, errors)

        return await show_errors(change(), show_again, ctx.service.catalog.command_with_handler)

    def routes(self, noun: str) -> tuple[Route, Route]:
        """Return the routes of the page; ``noun`` is what it stops, with its article."""
        path = f"/{self._section}/{{name}}/stop"
        return (
            page_route(path, self.preview, f"What stopping {noun} ends."),
            form_route(path, self.stop, f"Stop {noun}.", IdentityStopForm),
        )
