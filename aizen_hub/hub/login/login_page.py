"""The one login page: a form for passwords, a button for each identity provider, and the last choice remembered."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub.handlers.login import LoginHandler
from jupyterhub.utils import url_path_join

REMEMBERED = "aizen-provider"
_DAYS = 365


class LoginPage(LoginHandler):
    """``/hub/login``."""

    aizen_provider: str | None = None
    """The provider that has just signed somebody in; set by the authenticator."""

    def _render(self, login_error: str | None = None, username: str | None = None, **more: Any) -> Any:
        names = [name for name, _ in self.authenticator.login_choices()]
        last = self.get_cookie(REMEMBERED)
        return super()._render(login_error, username, remembered=last if last in names else None, **more)

    async def auth_to_user(self, authenticated: Any, user: Any = None) -> Any:
        """Write a sign-in to the hub's database; one at a time, and then everybody else has a turn.

        It is the one long piece of a sign-in that nobody can be served beside; when many people sign in at once, many
        such pieces in a row would keep the hub's other pages and the proxy waiting (R128).
        """
        async with self.authenticator.one_by_one:
            written = await super().auth_to_user(authenticated, user)
            await asyncio.sleep(0)
        return written

    async def login_user(self, data: Any = None) -> Any:
        user = await super().login_user(data)
        if user is not None and self.aizen_provider:
            # A name of a provider and nothing of the person.
            self._set_cookie(
                REMEMBERED,
                self.aizen_provider,
                encrypted=False,
                path=self.hub.base_url,
                expires_days=_DAYS,
                samesite="Lax",
            )
        return user


def public_address(handler: Any, path: str) -> str:
    """Return an address of this hub as the browser of a request reaches it."""
    public = handler.settings.get("public_url")
    request = handler.request
    origin = f"{public.scheme}://{public.netloc}" if public else f"{request.protocol}://{request.host}"
    return origin + str(url_path_join(handler.hub.base_url, path))
