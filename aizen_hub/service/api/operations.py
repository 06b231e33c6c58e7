"""Routes for operations: their progress and result, as a document or a stream, and their cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aizen_hub.operations.records import list_visible_operations, request_cancellation
from aizen_hub.service.api.schemas.operations import OperationList, OperationView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, NdjsonResponse, Route
from aizen_hub.service.operations import operation_progress
from aizen_hub.service.pipeline.request_context import RequestContext

_POLL_SECONDS = 0.3
_KEEP_ALIVE_SECONDS = 5.0
_MAX_STREAM_SECONDS = 3600.0


async def list_operations(ctx: RequestContext) -> JsonResponse:
    """Return the newest operations of the actor, or of all users to those who may read access in the system."""
    operations = await ctx.authorized_read(lambda tx: list_visible_operations(tx, ctx.actor))
    # A result can be megabytes: it is sent with the operation itself.
    return JsonResponse({"operations": [{**operation.to_json(), "result": None} for operation in operations]})


async def show_operation(ctx: RequestContext) -> JsonResponse:
    operation = await operation_progress(ctx, ctx.path_params["id"])
    return JsonResponse(operation.to_json())


async def follow_operation(ctx: RequestContext) -> NdjsonResponse:
    """Stream the operation at each change of its progress, then once with its result; authorized at every step."""
    operation_id = ctx.path_params["id"]
    first = await operation_progress(ctx, operation_id)

    async def events() -> AsyncIterator[Mapping[str, Any]]:
        operation, sent, loop = first, None, asyncio.get_running_loop()
        sent_at, until = loop.time(), loop.time() + _MAX_STREAM_SECONDS
        while not operation.state.has_ended:
            seen = (operation.state, operation.progress)
            if seen != sent or loop.time() - sent_at >= _KEEP_ALIVE_SECONDS:
                yield {"event": "progress", "operation": operation.to_json()}
                sent, sent_at = seen, loop.time()
            if ctx.service.state.stopping or loop.time() >= until:
                yield {"event": "end", "state": "unknown", "operation": operation.to_json()}
                return
            await asyncio.sleep(_POLL_SECONDS)
            operation = await operation_progress(ctx, operation_id)
        yield {"event": "end", "state": operation.state, "operation": operation.to_json()}

    return NdjsonResponse(events())


async def cancel_operation(ctx: RequestContext) -> JsonResponse:
    """Ask for the end of an operation; the response shows it as it is, and it ends within a moment."""
    operation_id = ctx.path_params["id"]
    response = await ctx.authorized_write(
        lambda tx, _: JsonResponse(request_cancellation(tx, operation_id).to_json(), 202)
    )
    ctx.service.operations.note_cancellation(operation_id)
    return response


ROUTES = (
    Route(
        "GET",
        "/api/v1/operations",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_operations,
        "List your newest operations, or those of all users with the permission to read access.",
        response=OperationList,
    ),
    Route(
        "GET",
        "/api/v1/operations/{id}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        show_operation,
        "Show the state, progress and result of an operation.",
        response=OperationView,
    ),
    Route(
        "GET",
        "/api/v1/operations/{id}/events",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        follow_operation,
        "Follow an operation until it ends.",
        response=OperationView,
        streams=True,
        own_deadline=True,
    ),
    Route(
        "DELETE",
        "/api/v1/operations/{id}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        cancel_operation,
        "Cancel an operation that has not taken effect.",
        response=OperationView,
        status=202,
        idempotent=True,
    ),
)
