"""For remote workers: act for somebody else, and keep signed copies. Service accounts only."""

from __future__ import annotations

from typing import Any

from aizen_hub.accounts.sessions.impersonation import impersonate
from aizen_hub.policy.bundle import download, listing
from aizen_hub.service.api.schemas.remote_workers import ActingToken, FileQuery, Files, Impersonation, SignedFile
from aizen_hub.service.http.route import REGISTERED, Answer, Credential, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write

_ACCOUNTS = frozenset({Credential.SERVICE_ACCOUNT})


async def act(call: Call) -> Answer:
    call.house.clock.check()

    def work(tx: Write, _: Any) -> Answer:
        acting = impersonate(tx, call.house.keys.ring(tx), call.body.user, call.body.project)
        return Answer(
            {
                "token": acting.token,
                "token_type": "Bearer",
                "expires_in": int(acting.lifetime.total_seconds()),
                "session": acting.session,
                "user": acting.user,
                "project": acting.project,
            }
        )

    return await call.write(work)


async def files(call: Call) -> Answer:
    def work(tx: Write, _: Any) -> Answer:
        found = listing(tx)
        return Answer({"authoritative": False, "revision": tx.revision, "files": found})

    return await call.write(work)


async def file(call: Call) -> Answer:
    return await call.write(lambda tx, _: Answer(download(tx, call.house.keys.ring(tx), call.query.name)))


ROUTES = (
    Route(
        "POST",
        "/api/v1/impersonate",
        _ACCOUNTS,
        REGISTERED,
        act,
        "A short token with which a service account acts for a user; both are judged at every decision.",
        body=Impersonation,
        answer=ActingToken,
    ),
    Route(
        "GET",
        "/api/v1/sync",
        _ACCOUNTS,
        REGISTERED,
        files,
        "What remote workers may keep a copy of; no copy is authoritative.",
        answer=Files,
    ),
    Route(
        "GET",
        "/api/v1/sync/file",
        _ACCOUNTS,
        REGISTERED,
        file,
        "One copy, dated and signed.",
        query=FileQuery,
        answer=SignedFile,
    ),
)
