"""Endpoint by which a server started by a batch system reports its port.

The endpoint of batchspawner 1.3 sets any attribute of the spawner that a request names: limits, environment, command.
Code in a notebook has the token for it. This handler replaces it and accepts the port only.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from jupyterhub.apihandlers import APIHandler
from tornado import web

from aizen_hub.problems import Problem
from aizen_hub.tokens.opaque_token import constant_time_equals
from aizen_hub.validation import strict_json

log = logging.getLogger("aizen_hub.spawn")

MAX_BODY = 1024


class BatchPortHandler(APIHandler):
    """``POST /hub/api/batchspawner`` with ``{"port": number}`` and the server's own token, once, while it starts."""

    @web.authenticated
    def post(self) -> None:
        spawner = self._starting_spawner()
        if spawner is None:
            raise web.HTTPError(403, "Only a starting server can report its port here, with its own token.")
        try:
            body = strict_json.loads(self.request.body, max_bytes=MAX_BODY)
        except Problem as error:
            raise web.HTTPError(400, error.detail) from None
        port = body.get("port") if isinstance(body, dict) and set(body) == {"port"} else None
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65_536:
            log.warning("server `%s` of `%s` sent an invalid port report", spawner.name, spawner.user.name)
            raise web.HTTPError(400, 'Expected `{"port": <number>}` and nothing else.')
        spawner.port = port
        self.set_status(201)
        self.finish(json.dumps({"message": "port recorded"}))

    def _starting_spawner(self) -> Any | None:
        token, user = self.get_auth_token(), self.current_user
        if not token or user.kind != "user":
            return None
        for spawner in user.spawners.values():
            if spawner.api_token and constant_time_equals(spawner.api_token, token):
                return spawner if spawner.pending == "spawn" and spawner.port == 0 else None
        return None
