"""The request for access on the spawn page, for users who have nothing to start."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web

from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.hub.spawn.options_form import request_fields
from aizen_hub.problems import Problem, Unavailable

_FIELDS = ("project", "role", "duration", "because")


class AccessRequestHandler(BaseHandler):
    """``POST /hub/aizen/ask``: sends the request, and shows the spawn page, where it waits."""

    @web.authenticated
    async def post(self) -> None:
        if self.get_auth_token():
            raise web.HTTPError(403, "This form is for browsers; programs send requests to the service.")
        typed = {name: self.get_body_argument(name, "") for name in _FIELDS}
        service, user = self.authenticator.service, self.current_user.name
        try:
            await service.request_access(user, **typed)
        except Unavailable as problem:
            self.set_status(503)
            error = describe_outage(problem)
        except Problem as problem:
            self.set_status(problem.status)
            error = ". ".join(text[:1].upper() + text[1:] for text in (problem.detail, problem.remedy) if text)
        else:
            self.redirect(url_path_join(self.hub.base_url, "spawn"), permanent=False, status=303)
            return
        await self._show_again(typed, f"{error}.".replace("`", ""))

    async def _show_again(self, typed: dict[str, str], error: str) -> None:
        try:
            options = await self.authenticator.service.get_spawn_options(self.current_user.name)
        except Problem:
            raise web.HTTPError(503, f"{error} Reload this page in a minute.") from None
        fields = request_fields(options, self.current_user.name, typed, error)
        self.finish(await self.render_template("access_request.html", fields=fields))


def access_request_handlers() -> list[tuple[Any, ...]]:
    """Return the handler of the form."""
    return [(r"/aizen/ask", AccessRequestHandler)]
