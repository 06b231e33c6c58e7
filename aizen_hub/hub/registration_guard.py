"""The hub's own *Add users*, which would make accounts that the service does not know."""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.users import UserAPIHandler, UserListAPIHandler
from tornado import web

REFUSAL = "People are registered in Aizen, on its page People: an account of the hub alone could not sign in."


class UserListHandler(UserListAPIHandler):
    """``/hub/api/users``: lists users as the hub does, and refuses to add any."""

    async def post(self) -> None:
        raise web.HTTPError(403, REFUSAL)


class UserHandler(UserAPIHandler):
    """``/hub/api/users/<name>``: everything as the hub does, but adding that user."""

    async def post(self, user_name: str) -> None:
        raise web.HTTPError(403, REFUSAL)


def registration_guards() -> list[tuple[Any, ...]]:
    """Return the handlers that replace those of the hub, for `Authenticator.get_handlers`."""
    return [(r"/api/users", UserListHandler), (r"/api/users/([^/]+)", UserHandler)]
