"""Routes for remote workers: impersonation tokens and signed copies; for service accounts only."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.sessions.impersonation import impersonate
from aizen_hub.policy import bundle
from aizen_hub.service.api.schemas.remote_workers import (
    ActingToken,
    FileList,
    FileQuery,
    ImpersonationRequest,
    SignedFile,
)
from aizen_hub.service.http.route import ANY_REGISTERED, AuthMethod, JsonResponse, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

_SERVICE_ACCOUNTS = frozenset({AuthMethod.SERVICE_ACCOUNT})


async def impersonate_user(ctx: RequestContext) -> JsonResponse:
    ctx.service.clock.check()

    def operation(tx: WriteTransaction, _: Any) -> JsonResponse:
        issued = impersonate(tx, ctx.service.keys.ring(tx), ctx.body.user, ctx.body.project)
        return JsonResponse(
            {
                "token": issued.token,
                "token_type": "Bearer",
                "expires_in": int(issued.lifetime.total_seconds()),
                "session": issued.session_id,
                "user": issued.user,
                "project": issued.project,
            }
        )

    return await ctx.authorized_write(operation)


async def list_files(ctx: RequestContext) -> JsonResponse:
    def operation(tx: WriteTransaction, _: Any) -> JsonResponse:
        files = bundle.list_files(tx)
        return JsonResponse({"authoritative": False, "revision": tx.revision, "files": files})

    return await ctx.authorized_write(operation)


async def download_file(ctx: RequestContext) -> JsonResponse:
    keys, name = ctx.service.keys, ctx.query.name
    return await ctx.authorized_write(lambda tx, _: JsonResponse(bundle.download_file(tx, keys.ring(tx), name)))


def _routes(prefix: str, impersonate: str) -> tuple[Route, ...]:
    return (
        Route(
            "POST",
            impersonate,
            _SERVICE_ACCOUNTS,
            ANY_REGISTERED,
            impersonate_user,
            "Issue a short token with which a service account acts for a user; every decision checks the rights of "
            "both.",
            body=ImpersonationRequest,
            response=ActingToken,
        ),
        Route(
            "GET",
            f"{prefix}/sync",
            _SERVICE_ACCOUNTS,
            ANY_REGISTERED,
            list_files,
            "List the files that remote workers may copy; no copy is authoritative.",
            response=FileList,
        ),
        Route(
            "GET",
            f"{prefix}/sync/file",
            _SERVICE_ACCOUNTS,
            ANY_REGISTERED,
            download_file,
            "Download one copy, dated and signed.",
            query=FileQuery,
            response=SignedFile,
        ),
    )


# A job agent finds them under the addresses that AI Hub documents too.
ROUTES = (*_routes("/api/v1", "/api/v1/impersonate"), *_routes("", "/auth/impersonate"))
