"""Sign-in of the command line through the hub: authorization code with PKCE, over the browser of the same person.

The command line opens a page of the panel with its challenge. The person, signed in there, compares a word and goes on
to the hub, which returns to the panel with a code. The panel passes it to the loopback address of the command line, or
shows it for pasting, to the person who started it only. The command line redeems the code with its verifier.

The hub checks the verifier only where a challenge was sent, and a link can leave it out. The panel therefore ties each
code to the challenge of its own page, and redeems no other (RFC 9700, 4.8).
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aizen_hub.api_models.command_line import CLIENT_ID, DONE_PAGE, challenge_of, client_secret
from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.service.auth.browser_login import FLOW_SECONDS
from aizen_hub.service.auth.hub_api import CONFIGURE_HUB, HubUser
from aizen_hub.tokens.opaque_token import constant_time_equals

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
    challenge : str
        Of the verifier that the command line keeps.
    """

    user: str
    port: int
    state: str
    challenge: str


class CommandLineLogin:
    """Builds and checks the steps of a sign-in; it keeps no state, so any replica continues what another began."""

    def __init__(self, browser_login: BrowserLogin, hub_api: HubApiClient) -> None:
        self._browser_login, self._hub_api = browser_login, hub_api

    def authorize_url(self, flow: CommandLineFlow) -> str:
        """Return the hub's address at which the sign-in goes on.

        Raises
        ------
        Unavailable
        """
        location = self._browser_login.hub_location
        if location.api_token is None or not self._hub_api.is_configured:
            raise _without_hub()
        content = {"u": flow.user, "p": flow.port, "s": flow.state, "c": flow.challenge, "t": int(time.time())}
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": self._redirect_uri,
            "response_type": "code",
            "state": self._browser_login.encrypt(content, _PURPOSE),
            "code_challenge": flow.challenge,
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
        return CommandLineFlow(str(content["u"]), int(content["p"]), str(content["s"]), str(content["c"]))

    def tie_code(self, flow: CommandLineFlow, code: str) -> str:
        """Return what the command line gets for a code of the hub; `redeem` takes it with the verifier of its flow."""
        return f"{code}.{self._tag(code, flow.challenge)}"

    async def redeem(self, code: str, verifier: str) -> tuple[str, HubUser]:
        """Return the hub token of what `tie_code` returned, and its user.

        Raises
        ------
        NotAuthenticated, Unavailable
        """
        code, _, tag = code.rpartition(".")
        if not constant_time_equals(tag, self._tag(code, challenge_of(verifier))):
            raise NotAuthenticated(
                "the code belongs to another sign-in, or is incomplete",
                remedy="run `aizen-hub login` again",
                extensions={"code": "sign-in"},
            )
        token = await self._hub_api.exchange_code(
            {
                "client_id": CLIENT_ID,
                "client_secret": self._client_secret,
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": verifier,
            }
        )
        return token, await self._hub_api.user_of_token(token)

    def _tag(self, code: str, challenge: str) -> str:
        digest = hmac.digest(self._client_secret.encode(), f"{code}:{challenge}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()

    @property
    def _client_secret(self) -> str:
        api_token = self._browser_login.hub_location.api_token
        if api_token is None:
            raise _without_hub()
        return client_secret(api_token)

    @property
    def _redirect_uri(self) -> str:
        # A path: where the panel has a host of its own, the hub's host redirects there.
        return self._browser_login.prefix + DONE_PAGE


def _without_hub() -> Unavailable:
    return Unavailable("this service was started without a hub, so its users cannot sign in", remedy=CONFIGURE_HUB)
