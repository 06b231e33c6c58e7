"""Responses of routes that change or list accounts: authorized, or tried out as a dry run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.authorization.decisions.decision_service import DecisionRequest, RecordedDecision
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, NotFound, Problem
from aizen_hub.service.http.headers import DRY_RUN, etag, joined_header
from aizen_hub.service.http.route import JsonResponse
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.service.pipeline.request_decisions import require_allowed
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction


def result_response(result: Result, tx: ReadTransaction, status: int | None = None) -> JsonResponse:
    """Return a result with its revision; status 202 where the change needs confirmation first."""
    value = result.at_revision(tx.revision).to_json()
    version = value["data"].get("version") if isinstance(value.get("data"), dict) else None
    headers = {"ETag": etag(version)} if isinstance(version, int) else {}
    return JsonResponse(value, 202 if result.pending_id else status, headers)


async def authorized_result(
    ctx: RequestContext, operation: Callable[[WriteTransaction], Result], status: int | None = None
) -> JsonResponse:
    """Run a change or a listing in one transaction with its decision; a dry run, if the request prefers that."""
    if wants_dry_run(ctx):
        return await _dry_run(ctx, operation)
    return await ctx.authorized_write(lambda tx, _: result_response(operation(tx), tx, status))


def wants_dry_run(ctx: RequestContext) -> bool:
    """Return whether a change was sent with ``Prefer: dry-run``."""
    preferences = joined_header(ctx.headers, "Prefer")[:200].split(",")
    return ctx.route.method != "GET" and any(preference.strip().lower() == DRY_RUN for preference in preferences)


async def _dry_run(ctx: RequestContext, operation: Callable[[WriteTransaction], Result]) -> JsonResponse:
    service = ctx.service
    decided: list[tuple[RecordedDecision, DecisionRequest]] = []

    def authorized_operation(tx: WriteTransaction) -> Result:
        decided[:] = [ctx.decide_in(tx)]  # of the last trial
        require_allowed(tx, *decided[0])
        return operation(tx)

    def run() -> Result:
        # The transaction of a dry run is rolled back, so its decision is recorded separately.
        problem: Problem | None = None
        try:
            return dry_run(service.store, ctx.actor, authorized_operation)
        except Problem as error:
            problem = error
            raise
        finally:
            records = [ctx.audit_record(recorded, request, problem) for recorded, request in decided]
            service.store.append_audit(
                [replace(record, details={**record.details, "dry_run": True}) for record in records]
            )

    # Not the thread for writes, of which there is one on SQLite: a dry run can be long.
    result = await service.pools.queries.run(run)
    return JsonResponse(result.to_json(), 200, {"Preference-Applied": DRY_RUN})


def id_param(ctx: RequestContext, param: str, noun: str) -> int:
    """Return a numeric id from the path; NotFound for text that cannot be one."""
    text = ctx.path_params[param]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f"there is no such {noun}")
    return int(text)


def parse_if_match(ctx: RequestContext) -> int | None:
    """Return the version that a replacement is based on (RFC 9110, 13.1.1); None where none is given.

    Raises
    ------
    BadInput
    """
    value = joined_header(ctx.headers, "If-Match").strip()
    if value in ("", "*"):
        return None
    version = value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else ""
    if not (version.isascii() and version.isdigit() and len(version) < 19):
        raise BadInput("`If-Match` must be one ETag of this service")
    return int(version)
