"""Endpoint by which the service revokes a user's access at the hub."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Protocol

from jupyterhub import orm
from jupyterhub.utils import maybe_future, new_token

from aizen_hub.api_models.revocation import RevocationRequest, RevocationResponse
from aizen_hub.api_models.schema import read_json
from aizen_hub.hub.service_request_handler import ServiceRequestHandler
from aizen_hub.hub.spawn.server_monitor import ServerMonitor
from aizen_hub.problems import NotFound, Problem, Unavailable
from aizen_hub.validation import strict_json

log = logging.getLogger("aizen_hub.spawn")

MAX_BODY = 4096


class SignOuts(Protocol):
    """What this handler uses of `hub.login.sign_out.SignOutProcessor`, which is above it."""

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock of a user."""

    async def process(self, orm_user: orm.User, revision: int) -> RevocationResponse:
        """End what signed in before the change of a revision."""


def sign_out(app: Any, orm_user: orm.User, *, all_tokens: bool, keep: frozenset[int] = frozenset()) -> int:
    """End a user's browser sessions at the hub and at their servers; return the number of deleted tokens.

    Parameters
    ----------
    all_tokens : bool
        Whether tokens of servers and tokens the user created are deleted too.
    keep : frozenset of int
        Ids of tokens that are not deleted.
    """
    # Login cookies contain this id, so a new one invalidates all of them.
    orm_user.cookie_id = new_token()
    # Tokens with a session id belong to browsers; the others are those of servers and the user's own.
    tokens = [token for token in orm_user.api_tokens if (all_tokens or token.session_id) and token.id not in keep]
    for token in tokens:
        app.db.delete(token)
    app.db.commit()
    # The next request refreshes the user, even if the last refresh was a moment ago.
    app.users[orm_user]._auth_refreshed = None
    return len(tokens)


class RevocationHandler(ServiceRequestHandler):
    """``POST /hub/api/aizen/revoke`` with ``{"user": name}`` and the hub secret as bearer.

    Ends the user's browser sessions, deletes their hub tokens and stops their servers. The service cannot do that
    itself, because it has no scope of the hub.

    With ``"token_id": id`` only that token is deleted: its owner signs out at a command line.

    With ``"delete": true`` the hub's record of the user is deleted too.

    With ``"sign_out": revision`` servers keep running, with their own tokens: that revision changed the user's
    credentials. Every replica of the service sends it, late or again; what signed in after the change stays.
    """

    def initialize(self, app: Any, secret_path: Path, monitor: ServerMonitor, sign_outs: SignOuts) -> None:
        self._app = app
        self._sign_outs = sign_outs
        self.secret_path = secret_path
        self._monitor = monitor

    async def post(self) -> None:
        try:
            self.authenticate()
            request = self._parse_body()
            # Two replicas may send requests at once, and one would delete rows that the other uses.
            async with self._sign_outs.lock(request.user):
                orm_user = orm.User.find(self._app.db, request.user)
                if orm_user is None:
                    raise NotFound("the hub has no such user")
                if request.token_id is not None:
                    result = self._delete_token(orm_user, request.token_id)
                elif request.delete:
                    result = await self._delete(orm_user)
                elif request.sign_out is None:
                    result = await self._revoke(orm_user)
                else:
                    result = await self._sign_outs.process(orm_user, request.sign_out)
            self.respond(200, "application/json", result.model_dump())
        except Problem as problem:
            self.respond(problem.status, "application/problem+json", problem.to_json())

    def _parse_body(self) -> RevocationRequest:
        strict_json.loads(self.request.body, max_bytes=MAX_BODY)
        return read_json(RevocationRequest, self.request.body)

    def _delete_token(self, orm_user: orm.User, token_id: str) -> RevocationResponse:
        tokens = [token for token in orm_user.api_tokens if token.api_id == token_id]
        for token in tokens:
            self._app.db.delete(token)
        self._app.db.commit()
        return RevocationResponse(tokens=len(tokens))

    async def _revoke(self, orm_user: orm.User) -> RevocationResponse:
        name = orm_user.name
        # Tokens first, since they could start new servers.
        tokens = sign_out(self._app, orm_user, all_tokens=True)
        servers = await self._monitor.stop_servers(name)
        log.warning("revoked `%s`: %d tokens, %d servers", name, tokens, servers)
        return RevocationResponse(tokens=tokens, servers=servers)

    async def _delete(self, orm_user: orm.User) -> RevocationResponse:
        result, name = await self._revoke(orm_user), orm_user.name
        if any(owner == name for owner, _ in self._monitor.live_servers()):
            raise Unavailable(f"a server of `{name}` is still starting or stopping", remedy="try again in a minute")
        # As the hub's own API does it; spawners delete what they keep for a server, such as a volume.
        user = self._app.users[orm_user]
        await maybe_future(self._app.authenticator.delete_user(user))
        await user.delete_spawners()
        self._app.users.delete(user)
        log.warning("deleted the user record of `%s`, so that the name can be released", name)
        return result
