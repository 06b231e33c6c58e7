"""Actions on several ticked people: give a role, add to a group, stop; each with a preview."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select

from aizen_hub.accounts.sessions import lock_previews, locks
from aizen_hub.api_models.schema import Note
from aizen_hub.problems import BadInput, NotFound, Problem
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.http.form import Form, Ticked, Typed
from aizen_hub.service.http.route import RawResponse
from aizen_hub.service.panel.form_errors import NO_ERRORS, FieldError, FormErrors, show_errors
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.grant_sentences import name_some
from aizen_hub.service.panel.identity_rows import locked_identities
from aizen_hub.service.panel.identity_stop import DURATIONS, require_reason
from aizen_hub.service.panel.pages import authorized_value, form_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.toasts import Toast
from aizen_hub.service.panel.undo import offer_unlock
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store import tables
from aizen_hub.store.transaction import ActorTransaction, WriteTransaction

MAX_TICKED = 25
"""A page of the list."""
_MAX_GROUPS = 500
_u, _g = tables.users, tables.groups
_IS_LOCAL = _g.c.provider.is_(None)


class PeopleSelectionForm(Form):
    """The ticked people, and what is to be done with them."""

    who: Ticked = ()
    action: Literal["give", "group", "stop"]
    group: Typed = ""


class PeopleStopForm(Form):
    who: Ticked = ()
    reason: Note = ""
    duration: Literal["1h", "1d", "7d", ""] = ""


@dataclass(frozen=True, slots=True)
class StopPreview:
    """What stopping one of the ticked people ends.

    Attributes
    ----------
    obstacle : str
        Why this person is left out; empty if they are stopped.
    """

    name: str
    display_name: str
    servers: int = 0
    commands: int = 0
    obstacle: str = ""


async def show_selection(ctx: RequestContext) -> RawResponse:
    """Lead to the page of an action, with the ticked people filled in."""
    body: PeopleSelectionForm = ctx.body
    if not body.who:
        return see_other(ctx, "people", "Tick people in the list first.")
    if body.action == "give":
        return see_other(ctx, page_path("give", to=",".join(body.who)))
    if body.action == "stop":
        return await _show_stop(ctx)
    return await show_errors(_choose_group(ctx), lambda errors: _show_groups(ctx, errors), _commands(ctx))


async def _choose_group(ctx: RequestContext) -> RawResponse:
    name = ctx.body.group.strip()
    if not name:
        return await _show_groups(ctx)

    def find(tx: ActorTransaction) -> str | None:
        _require(Viewer(tx), "groups")
        return tx.conn.execute(select(_g.c.name).where(_g.c.name == name, _IS_LOCAL)).scalar()

    group = await ctx.authorized_read(find)
    if group is None:
        raise FieldError("group", "choose a group of the list")
    return see_other(ctx, page_path("groups", group, add=",".join(ctx.body.who)))


async def _show_groups(ctx: RequestContext, errors: FormErrors = NO_ERRORS) -> RawResponse:
    def read(viewer: Viewer) -> dict[str, Any]:
        _require(viewer, "groups")
        query = select(_g.c.name).where(_IS_LOCAL).order_by(_g.c.name).limit(_MAX_GROUPS + 1)
        names = viewer.tx.conn.execute(query).scalars().all()
        return {
            "people": _read_people(viewer, ctx.body.who),
            "groups": [(name, name) for name in names[:_MAX_GROUPS]],
            "more": len(names) > _MAX_GROUPS,
            "typed": ctx.body.group,
        }

    return await show_page(ctx, "people/selected_group.html", read, errors=errors, status=422 if errors else 200)


async def _show_stop(ctx: RequestContext, errors: FormErrors = NO_ERRORS) -> RawResponse:
    body = ctx.body

    def read(viewer: Viewer) -> dict[str, Any]:
        _require(viewer, "locks")
        previews = [_preview_stop(viewer, row) for row in _read_people(viewer, body.who)]
        return {
            "stopped": [item for item in previews if not item.obstacle],
            "left_out": [item for item in previews if item.obstacle],
            "durations": [(value, label) for value, label, _ in DURATIONS],
            "reason": getattr(body, "reason", ""),
            "duration": getattr(body, "duration", ""),
        }

    return await show_page(
        ctx,
        "people/selected_stop.html",
        read,
        errors=errors,
        status=422 if errors else 200,
        audit_details=lambda _: {"details": {"query": "lock-preview", "users": list(body.who)}},
        pool=ctx.service.pools.queries,
    )


def _require(viewer: Viewer, permission: str) -> None:
    if not viewer.may(permission):
        raise not_in_panel()


def _read_people(viewer: Viewer, names: tuple[str, ...]) -> list[Any]:
    """Return the rows of the ticked people whom the viewer may see, by name; others are as if they did not exist."""
    if len(names) > MAX_TICKED:
        raise BadInput(f"{len(names)} people are ticked; {MAX_TICKED} at once are possible")
    visible = [name for name in names if viewer.sees(Identity.user(name))]
    query = select(_u.c.name, _u.c.display_name).where(_u.c.name.in_(visible)).order_by(_u.c.name)
    return list(viewer.tx.conn.execute(query))


def _preview_stop(viewer: Viewer, row: Any) -> StopPreview:
    identity = Identity.user(row.name)
    if identity == viewer.identity:
        return StopPreview(row.name, row.display_name, obstacle="you cannot stop yourself here")
    if locked_identities(viewer.tx, [str(identity)]):
        return StopPreview(row.name, row.display_name, obstacle="is stopped already")
    try:
        ends = lock_previews.find_what_ends(viewer.tx, identity)
    except NotFound:
        raise
    except Problem as problem:
        return StopPreview(row.name, row.display_name, obstacle=problem.detail.replace("`", ""))
    kinds = [kind for kind, *_ in ends.rows]
    return StopPreview(row.name, row.display_name, kinds.count("session"), kinds.count("command"))


async def stop_selection(ctx: RequestContext) -> RawResponse:
    """Stop all of the ticked people, or none. The hub ends what it gave them within seconds (`RevocationWorker`)."""
    body: PeopleStopForm = ctx.body

    def operation(tx: WriteTransaction) -> tuple[str, str]:
        viewer = Viewer(tx)
        _require(viewer, "locks")
        people = _read_people(viewer, body.who)
        if not people:
            raise not_in_panel()
        length = next(length for value, _, length in DURATIONS if value == body.duration)
        ended, names_stopped = 0, []
        for row in people:
            target, name = LockTarget.IDENTITY, str(Identity.user(row.name))
            preview = _preview_stop(viewer, row)
            if preview.obstacle:
                raise FieldError("who", f"{row.name}: {preview.obstacle}; no one was stopped")
            ends = None if length is None else tx.now + length
            ended += locks.lock_target(tx, target, name, reason=body.reason, ends=ends).data["sessions_ended"]
            names_stopped.append(name)
        names = name_some([str(Identity.user(row.name)) for row in people])
        sentence = f"{names} {'is' if len(people) == 1 else 'are'} stopped"
        sessions = f"{ended} {'session' if ended == 1 else 'sessions'} ended"
        text = f"{sentence}; {sessions}. Servers and tokens at the hub end within seconds."
        return text, offer_unlock(tx, f"stopped {names}", names_stopped)

    async def change() -> RawResponse:
        require_reason(body.reason)
        text, undo_id = await authorized_value(ctx, operation)
        return see_other(ctx, "people", Toast(text, undo_id))

    return await show_errors(change(), lambda errors: _show_stop(ctx, errors), _commands(ctx))


def _commands(ctx: RequestContext) -> Any:
    return ctx.service.catalog.command_with_handler


ROUTES = (
    form_route("/people/-/selected", show_selection, "What was ticked in the list of people.", PeopleSelectionForm),
    form_route("/people/-/selected/stop", stop_selection, "Stop the ticked people.", PeopleStopForm),
)
