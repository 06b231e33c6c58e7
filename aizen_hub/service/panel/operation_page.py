"""The page of an operation: its progress, asked for again until it has ended, its result, and a button that cancels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aizen_hub.api_models.schema import Schema
from aizen_hub.operations.operation import Operation
from aizen_hub.operations.records import get_visible_operation, request_cancellation
from aizen_hub.problems import Problem
from aizen_hub.service.http.form import EmptyForm
from aizen_hub.service.http.route import RawResponse, Route
from aizen_hub.service.panel.formatting import page_path
from aizen_hub.service.panel.pages import authorized_value, form_route, page_route, show_page
from aizen_hub.service.panel.rendering import see_other
from aizen_hub.service.panel.visibility import Viewer, not_in_panel
from aizen_hub.service.pipeline.request_context import RequestContext


def _no_variables(_: Operation, __: RequestContext) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class OperationPage:
    """The pages of some kinds of operation.

    Attributes
    ----------
    kinds : tuple of str
        An operation of any other kind has no such page.
    folder : tuple of str
        The address below the prefix, without the operation's id.
    template : str
        With a block ``progress``; it receives ``operation``.
    on_cancel : str
        What a cancellation does, as the toast of the next page.
    about : str
        What the operations are, for the table of routes.
    query : type of Schema, optional
    variables : callable
        Returns what else the template receives.
    """

    kinds: tuple[str, ...]
    folder: tuple[str, ...]
    template: str
    on_cancel: str
    about: str
    query: type[Schema] | None = None
    variables: Callable[[Operation, RequestContext], Mapping[str, Any]] = _no_variables

    def address_of(self, operation_id: str) -> str:
        """Return the address of an operation's page, below the prefix."""
        return page_path(*self.folder, operation_id)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of the page and of its cancellation."""
        path = "".join(f"/{part}" for part in (*self.folder, "{operation}"))
        return (
            page_route(path, self._show, f"The progress of {self.about}.", self.query),
            form_route(f"{path}/cancel", self._cancel, f"Cancel {self.about}.", EmptyForm),
        )

    async def _show(self, ctx: RequestContext) -> RawResponse:
        operation_id = ctx.path_params["operation"]

        def read(viewer: Viewer) -> dict[str, Any]:
            operation = get_visible_operation(viewer.tx, viewer.tx.actor, operation_id)
            if operation.kind not in self.kinds:
                raise not_in_panel()
            return {"operation": operation, **self.variables(operation, ctx)}

        return await show_page(ctx, self.template, read, fragment="progress")

    async def _cancel(self, ctx: RequestContext) -> RawResponse:
        operation_id = ctx.path_params["operation"]
        try:
            await authorized_value(ctx, lambda tx: request_cancellation(tx, operation_id))
            ctx.service.operations.note_cancellation(operation_id)
            toast = self.on_cancel
        except Problem as problem:
            toast = problem.detail
        return see_other(ctx, self.address_of(operation_id), toast)
