"""*Ask to be registered*: a button for people whom a provider signed in and whom the service does not know."""

from __future__ import annotations

import json
from typing import Any

from jupyterhub.handlers import BaseHandler
from tornado import web

from aizen_hub.hub.login.provider import AuthenticatedIdentity, printable
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.problems import Problem, Unavailable
from aizen_hub.validation import strict_json

COOKIE = "aizen-registration"
_MINUTES = 10


def offer_registration(handler: Any, identity: AuthenticatedIdentity) -> None:
    """Keep who was signed in, for ten minutes, in a cookie that the hub signs: only that person can ask."""
    person = {
        "provider": identity.provider,
        "name": identity.name,
        "display_name": identity.display_name or "",
        "email": identity.email,
    }
    handler._set_cookie(COOKIE, json.dumps(person), path=handler.hub.base_url, expires_days=_MINUTES / 1440)


class RegistrationRequestHandler(BaseHandler):
    """``POST /hub/aizen/register``, from the page that explains that the person is not registered."""

    async def post(self) -> None:
        value = self.get_secure_cookie(COOKIE, max_age_days=_MINUTES / 1440)
        if value is None:
            raise web.HTTPError(400, "Sign in again, and then ask to be registered.")
        person = strict_json.loads(value, max_bytes=8192)
        person["source"] = self.authenticator.client_address(self)
        error = None
        try:
            await self.authenticator.service.request("POST", "/api/v1/login/registrations", person)
        except Unavailable as problem:
            self.set_status(503)
            error = describe_outage(problem)
        except Problem as problem:
            self.log.warning("registration request of `%s`: %s", printable(person["name"]), problem.detail)
            self.set_status(400)
            error = "this could not be sent; tell an administrator of this hub"
        if error is None:
            self.clear_cookie(COOKIE, path=self.hub.base_url)
        self.finish(await self.render_template("registration_asked.html", person=person["name"], error=error))


def registration_handlers() -> list[tuple[Any, ...]]:
    """Return the handler of the button, for `Authenticator.get_handlers`."""
    return [(r"/aizen/register", RegistrationRequestHandler)]
