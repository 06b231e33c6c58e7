"""The address by which the service tells the hub that a person has no way in any more."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from jupyterhub import orm
from jupyterhub.utils import new_token
from tornado import web

from aizen_hub.client.secret_file import SecretFileError, read_secret
from aizen_hub.commands import strict_json
from aizen_hub.problems import BadInput, NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.tokens.credential import same

if TYPE_CHECKING:
    from aizen_hub.hub.spawn.life import ServerLife

log = logging.getLogger("aizen_hub.spawn")

MAX_BODY = 4096
_BUSY: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


class RevokeHandler(web.RequestHandler):
    """``POST /hub/api/aizen/revoke`` with ``{"user": name}`` and the hub secret as bearer.

    Ends the person's browser sessions, deletes their hub tokens and stops their servers. The service cannot do that
    itself: it holds no scope of the hub at all.
    """

    def initialize(self, app: Any, secret_path: Path, life: ServerLife) -> None:
        self._app = app
        self._secret_path = secret_path
        self._life = life

    def check_xsrf_cookie(self) -> None:
        """Nothing here: cookies mean nothing at this address, a page in a browser cannot know the secret."""

    async def post(self) -> None:
        try:
            self._authenticate()
            name = self._body()
            orm_user = orm.User.find(self._app.db, name)
            if orm_user is None:
                raise NotFound("the hub has no such user")
            # Two replicas may ask at once, and one deletes what the other has in hand.
            async with _BUSY.setdefault(name, asyncio.Lock()):
                answer = await self._revoke(orm_user)
            self._answer(200, "application/json", answer)
        except Problem as problem:
            self._answer(problem.status, "application/problem+json", problem.to_json())

    def _authenticate(self) -> None:
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        try:
            secret = read_secret(self._secret_path)
        except SecretFileError as error:
            raise Unavailable(str(error)) from None
        if scheme.lower() != "bearer" or not same(given, secret):
            raise NotAuthenticated("this address takes the hub secret and nothing else")

    def _body(self) -> str:
        body = strict_json.loads(self.request.body, max_bytes=MAX_BODY)
        if not isinstance(body, dict) or set(body) != {"user"} or not isinstance(body["user"], str):
            raise BadInput('expected `{"user": "<name>"}`')
        return str(body["user"])

    async def _revoke(self, orm_user: orm.User) -> dict[str, int]:
        db, name = self._app.db, orm_user.name
        # First what could start something new, then what runs.
        orm_user.cookie_id = new_token()
        tokens = list(orm_user.api_tokens)
        for token in tokens:
            db.delete(token)
        db.commit()
        user = self._app.users[orm_user]
        user._auth_refreshed = None
        stopped = 0
        for server in [one for owner, one in self._life.live() if owner == name]:
            stopped += await self._life.stop(name, server)
        log.warning("revoked `%s`: %d tokens, %d servers", name, len(tokens), stopped)
        return {"tokens": len(tokens), "servers": stopped}

    def _answer(self, status: int, kind: str, body: dict[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))
