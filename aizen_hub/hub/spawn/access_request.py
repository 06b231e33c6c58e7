"""The request for access on the spawn page, for users who have nothing to start."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web

from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.hub.spawn.options_form import request_fields
from aizen_hub.problems import BadInput, Problem, Unavailable

_FIELDS = {"project": "the project", "role": "what you want to do", "duration": "for how long", "because": "the reason"}


class AccessRequestHandler(BaseHandler):
    """``POST /hub/aizen/ask``: sends the request, and shows the spawn page, where it waits."""

    def get(self) -> None:
        """Show the page of the form: the address of a refusal may be opened again, also by a sign-in."""
        self._redirect_to_page()

    @web.authenticated
    async def post(self) -> None:
        if self.get_auth_token():
            raise web.HTTPError(403, "This form is for browsers; programs send requests to the service.")
        typed = {name: self.get_body_argument(name, "") for name in _FIELDS}
        service, user = self.authenticator.service, self.current_user.name
        try:
            if missing := [name for name in ("project", "role") if not typed[name]]:
                raise BadInput(f"{_FIELDS[missing[0]]} is missing")
            await service.request_access(user, **typed)
        except Unavailable as problem:
            self.set_status(503)
            error = describe_outage(problem)
        except Problem as problem:
            self.set_status(problem.status)
            error = ". ".join(text[:1].upper() + text[1:] for text in (_sentence(problem), problem.remedy) if text)
        else:
            self._redirect_to_page()
            return
        await self._show_again(typed, f"{error}.".replace("`", ""))

    def _redirect_to_page(self) -> None:
        self.redirect(url_path_join(self.hub.base_url, "spawn"), permanent=False, status=303)

    async def _show_again(self, typed: dict[str, str], error: str) -> None:
        try:
            options = await self.authenticator.service.get_spawn_options(self.current_user.name)
        except Problem:
            raise web.HTTPError(503, f"{error} Reload this page in a minute.") from None
        fields = request_fields(options, self.current_user.name, typed, error)
        self.finish(await self.render_template("access_request.html", fields=fields))


def _sentence(problem: Problem) -> str:
    faults = [(_FIELDS.get((fault.pointer or "").strip("/")), fault.detail) for fault in problem.faults]
    return "; ".join(f"{name} {detail}" for name, detail in faults if name) or problem.detail


def access_request_handlers() -> list[tuple[Any, ...]]:
    """Return the handler of the form."""
    return [(r"/aizen/ask", AccessRequestHandler)]
