"""Sign-in of the command line through the hub: authorization code with PKCE, over the browser of the same person.

The command line opens a page of the panel with its challenge. The person, signed in there, compares a word and goes on
to the hub, which returns to the panel with a code. The panel passes it to the loopback address of the command line, or
shows it for pasting, to the person who started it only. The command line redeems the code with its verifier.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aizen_hub.api_models.command_line import CLIENT_ID, DONE_PAGE, client_secret
from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.service.auth.browser_login import FLOW_SECONDS
from aizen_hub.service.auth.hub_api import CONFIGURE_HUB, HubUser

if TYPE_CHECKING:
    from aizen_hub.service.auth.browser_login import BrowserLogin
    from aizen_hub.service.auth.hub_api import HubApiClient

_PURPOSE = "command line"


@dataclass(frozen=True, slots=True)
class CommandLineFlow:
    """A sign-in in progress.

    Attributes
    ----------
    user : str
        Who confirmed it in the panel; another user cannot complete it.
    port : int
        Where the command line listens on its own machine; 0: the code is pasted.
    state : str
        Of the command line, by which it recognizes its answer.
    """

    user: str
    port: int
    state: str


class CommandLineLogin:
    """Builds and checks the steps of a sign-in; it keeps no state, so any replica continues what another began."""

    def __init__(self, browser_login: BrowserLogin, hub_api: HubApiClient) -> None:
        self._browser_login, self._hub_api = browser_login, hub_api

    def authorize_url(self, flow: CommandLineFlow, challenge: str) -> str:
        """Return the hub's address at which the sign-in goes on.

        Raises
        ------
        Unavailable
        """
        location = self._browser_login.hub_location
        if location.api_token is None or not self._hub_api.is_configured:
            raise Unavailable(
                "this service was started without a hub, so its users cannot sign in", remedy=CONFIGURE_HUB
            )
        content = {"u": flow.user, "p": flow.port, "s": flow.state, "t": int(time.time())}
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": self._redirect_uri,
            "response_type": "code",
            "state": self._browser_login.encrypt(content, _PURPOSE),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{location.address}api/oauth2/authorize?{urlencode(query)}"

    def read_flow(self, state: str, user: str) -> CommandLineFlow:
        """Return the sign-in that the hub's answer belongs to.

        Raises
        ------
        NotAuthenticated
            It was confirmed by another user or too long ago.
        """
        content = self._browser_login.decrypt(state, _PURPOSE, FLOW_SECONDS)
        if content is None or content.get("u") != user:
            raise NotAuthenticated(
                "this sign-in of a command line was confirmed by another user, or too long ago",
                remedy="run `aizen-hub login` again",
                extensions={"code": "sign-in"},
            )
        return CommandLineFlow(str(content["u"]), int(content["p"]), str(content["s"]))

    async def redeem(self, code: str, verifier: str) -> tuple[str, HubUser]:
        """Return the hub token of a code, and its user.

        Raises
        ------
        NotAuthenticated, Unavailable
        """
        token = await self._hub_api.exchange_code(
            {
                "client_id": CLIENT_ID,
                "client_secret": client_secret(self._browser_login.hub_location.api_token or ""),
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": verifier,
            }
        )
        return token, await self._hub_api.user_of_token(token)

    @property
    def _redirect_uri(self) -> str:
        # A path: where the panel has a host of its own, the hub's host redirects there.
        return self._browser_login.prefix + DONE_PAGE
