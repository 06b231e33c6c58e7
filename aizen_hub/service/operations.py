"""How a request starts an operation; the same for the API and for pages.

::

    async def import_members(ctx: RequestContext) -> JsonResponse:
        return await start_operation(ctx, "member-import", MemberImport(ctx.body.text), project=ctx.body.project)

A new kind is an `OperationKind`, which `service.operation_kinds` lists. A page shows `operation_progress` and asks
again, or follows `/api/v1/operations/{id}/events`.
"""

from __future__ import annotations

from typing import Any

from aizen_hub.authorization.decisions.decision_service import RecordedDecision
from aizen_hub.operations.operation import Operation
from aizen_hub.operations.records import get_visible_operation
from aizen_hub.service.http.route import JsonResponse
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction


async def start_operation(ctx: RequestContext, kind: str, arguments: Any, **details: Any) -> JsonResponse:
    """Start an operation of the request's actor, if the actor has what the route requires.

    Parameters
    ----------
    kind : str
        Name of one of `service.operation_kinds.KINDS`.
    arguments : object
        For `OperationKind.run`; kept in memory.
    **details
        For the audit row: what the operation is about.

    Returns
    -------
    JsonResponse
        202 with the operation, and its address in ``Location``.

    Raises
    ------
    TooManyRequests, Unavailable
        Too many operations have not ended.
    """
    runner, created = ctx.service.operations, list[Operation]()

    def operation(tx: WriteTransaction, _: RecordedDecision) -> JsonResponse:
        started = runner.create(tx, kind, **details)
        created.append(started)
        return JsonResponse(started.to_json(), 202, {"Location": f"/api/v1/operations/{started.id}"})

    response = await ctx.authorized_write(operation)
    for started in created:  # none, where the response to an earlier request with the same key is repeated
        runner.submit(started, ctx.actor, arguments)
    return response


async def operation_progress(ctx: RequestContext, operation_id: str) -> Operation:
    """Return an operation that the request's actor may see; raises NotFound."""
    return await ctx.authorized_read(lambda tx: get_visible_operation(tx, ctx.actor, operation_id))
