"""Endpoint by which the service lists the tokens that a user has at the hub, without the tokens themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.utils import utcnow

from aizen_hub.api_models.command_line import CLIENT_ID
from aizen_hub.api_models.hub_tokens import MAX_TOKENS, HubToken, HubTokensRequest, HubTokensResponse
from aizen_hub.api_models.schema import read_json
from aizen_hub.hub.service_request_handler import ServiceRequestHandler
from aizen_hub.problems import NotFound, Problem
from aizen_hub.validation import strict_json

MAX_BODY = 1024
_MAX_TEXT = 200


class UserTokensHandler(ServiceRequestHandler):
    """``POST /hub/api/aizen/tokens`` with ``{"user": name}`` and the hub secret as bearer.

    Lists the tokens of programs, of the command line and of servers, by the hub's ids, with which the service has one
    deleted (`RevocationHandler`). The scope ``tokens`` would let the service do the same, and make tokens of any user.
    """

    def initialize(self, app: Any, secret_path: Path) -> None:
        self._app = app
        self.secret_path = secret_path

    def post(self) -> None:
        try:
            self.authenticate()
            strict_json.loads(self.request.body, max_bytes=MAX_BODY)
            request = read_json(HubTokensRequest, self.request.body)
            orm_user = orm.User.find(self._app.db, request.user)
            if orm_user is None:
                raise NotFound("the hub has no such user")
            self.respond(200, "application/json", list_tokens(orm_user).model_dump())
        except Problem as problem:
            self.respond(problem.status, "application/problem+json", problem.to_json())


def list_tokens(orm_user: Any) -> HubTokensResponse:
    """Return the valid tokens of a user that belong to no browser session, the newest first."""
    now = utcnow(with_tz=False)
    tokens = [
        token
        for token in orm_user.api_tokens
        # That of the command line has the session of the browser in which it was signed in, and outlives it.
        if (not token.session_id or token.client_id == CLIENT_ID)
        and (token.expires_at is None or token.expires_at > now)
    ]
    tokens.sort(key=lambda token: int(token.id), reverse=True)
    return HubTokensResponse(
        tokens=tuple(_describe(token) for token in tokens[:MAX_TOKENS]), more=len(tokens) > MAX_TOKENS
    )


def _describe(token: Any) -> HubToken:
    client = token.oauth_client
    name = "" if client is None else client.description or client.identifier
    return HubToken(
        id=token.api_id,
        note=(token.note or "")[:_MAX_TEXT],
        client=str(name)[:_MAX_TEXT],
        created=_format_time(token.created),
        last_used=_format_time(token.last_activity),
        expires=_format_time(token.expires_at),
    )


def _format_time(time: datetime | None) -> str | None:
    # The hub stores UTC without a zone.
    return None if time is None else time.replace(tzinfo=UTC).isoformat()
