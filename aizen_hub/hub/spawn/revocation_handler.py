"""The address by which the service tells the hub that a person has no way in any more."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from jupyterhub import orm
from jupyterhub.utils import new_token, url_escape_path, url_path_join
from tornado import web

from aizen_hub.client.secret_file import SecretFileError, read_secret
from aizen_hub.problems import BadInput, NotAuthenticated, NotFound, Problem, Unavailable
from aizen_hub.tokens.opaque_token import same
from aizen_hub.validation import strict_json

if TYPE_CHECKING:
    from aizen_hub.hub.spawn.server_monitor import ServerLife

log = logging.getLogger("aizen_hub.spawn")

MAX_BODY = 4096
_SIGNED_OUT: dict[str, int] = {}
"""By name the revision that somebody was signed out for, since this hub started."""
_BUSY: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


def sign_out(app: Any, orm_user: orm.User, *, everything: bool, keep: frozenset[int] = frozenset()) -> int:
    """End a person's browser sessions at the hub and at their servers; return how many tokens are gone.

    Parameters
    ----------
    everything : bool
        Whether the tokens of their servers and those they made themselves go too.
    keep : frozenset of int
        Ids of tokens that stay all the same.
    """
    # The cookie that signs in holds this; every copy of it is worth nothing from here on.
    orm_user.cookie_id = new_token()
    # Tokens with a session belong to browsers; the others are those of servers and the person's own.
    tokens = [one for one in orm_user.api_tokens if (everything or one.session_id) and one.id not in keep]
    for token in tokens:
        app.db.delete(token)
    app.db.commit()
    # What comes next is looked up again, whatever was found out a moment ago.
    app.users[orm_user]._auth_refreshed = None
    return len(tokens)


class RevokeHandler(web.RequestHandler):
    """``POST /hub/api/aizen/revoke`` with ``{"user": name}`` and the hub secret as bearer.

    Ends the person's browser sessions, deletes their hub tokens and stops their servers. The service cannot do that
    itself: it holds no scope of the hub at all.

    With ``"sign_out": revision`` servers go on, with their own tokens: how the person signs in has changed, by the
    change of that revision. Every replica of the service tells of it; the first one counts.
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
            name, revision = self._body()
            orm_user = orm.User.find(self._app.db, name)
            if orm_user is None:
                raise NotFound("the hub has no such user")
            # Two replicas may ask at once, and one deletes what the other has in hand.
            async with _BUSY.setdefault(name, asyncio.Lock()):
                answer = await (self._revoke(orm_user) if revision is None else self._sign_out(orm_user, revision))
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

    def _body(self) -> tuple[str, int | None]:
        body = strict_json.loads(self.request.body, max_bytes=MAX_BODY)
        if not isinstance(body, dict) or not {"user"} <= set(body) <= {"user", "sign_out"}:
            raise BadInput('expected `{"user": "<name>"}`')
        name, revision = body["user"], body.get("sign_out")
        if not isinstance(name, str) or isinstance(revision, bool) or not isinstance(revision, int | None):
            raise BadInput("`user` is a name, and `sign_out` a number")
        return name, revision

    async def _revoke(self, orm_user: orm.User) -> dict[str, int]:
        name = orm_user.name
        # First what could start something new, then what runs.
        tokens = sign_out(self._app, orm_user, everything=True)
        servers = await self._life.stop_all(name)
        log.warning("revoked `%s`: %d tokens, %d servers", name, tokens, servers)
        return {"tokens": tokens, "servers": servers}

    async def _sign_out(self, orm_user: orm.User, revision: int) -> dict[str, int]:
        name = orm_user.name
        if _SIGNED_OUT.get(name, -1) >= revision:
            return {"tokens": 0, "servers": 0}
        user, keep, lost = self._app.users[orm_user], set(), []
        for server in [one for owner, one in self._life.live() if owner == name]:
            spawner = user.spawners.get(server)
            token = orm.APIToken.find(self._app.db, spawner.api_token) if spawner and spawner.api_token else None
            if token is None:
                # Since a restart of the hub nobody knows which token is the server's: it goes with the others.
                lost.append(server)
            else:
                keep.add(token.id)
        # A server from before the adoption gives no rights here, and nobody loses their work in it.
        for server in (await self._life.adopted(name)).intersection(lost):
            lost.remove(server)
            note = f"Server at {url_path_join(user.base_url, url_escape_path(server), '/')}"
            keep |= {one.id for one in orm_user.api_tokens if one.note == note}
        tokens = sign_out(self._app, orm_user, everything=True, keep=frozenset(keep))
        stopped = await self._life.stop_all(name, lost)
        _SIGNED_OUT[name] = revision
        log.warning("signed `%s` out: %d tokens, %d servers", name, tokens, stopped)
        return {"tokens": tokens, "servers": stopped}

    def _answer(self, status: int, kind: str, body: dict[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))
