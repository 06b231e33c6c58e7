"""Request handler of the Jupyter server."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from aizen_hub.lab.allowed_calls import AllowedCall
from aizen_hub.lab.service_caller import CallResponse, ServiceCaller

_MAX_BODY = 16 << 10


class ServiceCallHandler(APIHandler):
    """Makes one allowed call, for the owner of this server and for no other user who may open it.

    Login, XSRF and origin are checked by Jupyter Server, as for its own API.
    """

    auth_resource = "aizen"
    # The Access panel polls: an open page must not keep an unused server alive.
    _track_activity = False

    def initialize(self, call: AllowedCall, caller: ServiceCaller) -> None:
        self._call, self._caller = call, caller

    @web.authenticated
    @authorized("read", "aizen")
    async def get(self, id: str | None = None) -> None:
        await self._respond("GET", id)

    @web.authenticated
    @authorized("execute", "aizen")
    async def post(self, id: str | None = None) -> None:
        await self._respond("POST", id)

    async def _respond(self, method: str, id: str | None) -> None:
        if method != self._call.method:
            raise web.HTTPError(405)
        owner = os.environ.get("JUPYTERHUB_USER")
        if owner and _name_of(self.current_user) != owner:
            response = CallResponse.problem(403, "Not your server", f"this server acts for {owner} only")
        elif (body := self._parse_body()) is None:
            allowed = ", ".join(sorted(self._call.fields)) or "nothing"
            response = CallResponse.problem(400, "Bad request", f"the body must be an object of texts with: {allowed}")
        else:
            response = await self._caller.call(self._call, id, body)
        self.set_status(response.status)
        self.set_header("Content-Type", "application/json" if response.status < 400 else "application/problem+json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(response.content))

    def _parse_body(self) -> dict[str, str] | None:
        raw = self.request.body
        if not raw:
            return {}
        if len(raw) > _MAX_BODY:
            return None
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or not self._call.fields >= set(value):
            return None
        return value if all(isinstance(item, str) for item in value.values()) else None


def _name_of(user: Any) -> str | None:
    # JupyterHub's older way of running user servers has a dictionary here.
    name = user.get("name") if isinstance(user, Mapping) else getattr(user, "username", None)
    return name if isinstance(name, str) else None
