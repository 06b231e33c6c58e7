"""Login page: a form for passwords, a button for each identity provider, the last provider preselected."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub.handlers.login import LoginHandler
from jupyterhub.utils import url_path_join

LAST_PROVIDER_COOKIE = "aizen-provider"
_COOKIE_DAYS = 365


class LoginPageHandler(LoginHandler):
    """``/hub/login``."""

    aizen_provider: str | None = None
    """The provider of the login that has just succeeded; set by the authenticator."""

    def _render(self, login_error: str | None = None, username: str | None = None, **template_values: Any) -> Any:
        names = [name for name, _ in self.authenticator.provider_labels()]
        last_provider = self.get_cookie(LAST_PROVIDER_COOKIE)
        return super()._render(
            login_error, username, remembered=last_provider if last_provider in names else None, **template_values
        )

    async def auth_to_user(self, authenticated: Any, user: Any = None) -> Any:
        """Write a login to the hub's database, one at a time, and yield to the event loop afterwards.

        This is the one long step of a login that blocks the event loop; without the pause, many concurrent logins would
        delay the hub's other pages and the proxy (R128).
        """
        async with self.authenticator.hub_db_lock:
            hub_user = await super().auth_to_user(authenticated, user)
            await asyncio.sleep(0)
        return hub_user

    async def login_user(self, data: Any = None) -> Any:
        user = await super().login_user(data)
        if user is not None and self.aizen_provider:
            # The name of a provider, no data of the user.
            self._set_cookie(
                LAST_PROVIDER_COOKIE,
                self.aizen_provider,
                encrypted=False,
                path=self.hub.base_url,
                expires_days=_COOKIE_DAYS,
                samesite="Lax",
            )
        return user


def public_url(handler: Any, path: str) -> str:
    """Return a URL of this hub as the browser of a request reaches it."""
    configured = handler.settings.get("public_url")
    request = handler.request
    origin = f"{configured.scheme}://{configured.netloc}" if configured else f"{request.protocol}://{request.host}"
    return origin + str(url_path_join(handler.hub.base_url, path))
