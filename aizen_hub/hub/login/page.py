"""The one login page: a form for passwords, a button for each identity provider, and the last choice remembered."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers.login import LoginHandler

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
