"""The login flow of a user at an OpenID provider, without a hub."""

from __future__ import annotations

import asyncio
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from oauthenticator.oauth2 import _serialize_state

from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import AuthenticatedIdentity
from tests.fixtures.identity.oidc_provider_server import CALLBACK, Idp

Make = Callable[..., OidcProvider]


@dataclass
class FakeCallbackHandler:
    """The part of the callback handler that a provider uses; the handler itself is tested with a real hub."""

    callback_args: dict[str, str]
    verifier: str
    callback_path: str = "oidc/idp/callback"
    log: Any = field(default=None)

    def get_argument(self, name: str, default: str = "") -> str:
        return self.callback_args.get(name, default)

    def get_state_cookie(self) -> str:
        return str(_serialize_state({"code_verifier": self.verifier}))


async def sign_in(
    provider: OidcProvider, idp: Idp, name: str = "alice", *, fresh: bool = False, verifier: str = "", **changed: str
) -> AuthenticatedIdentity:
    """Complete a login; ``changed`` replaces arguments of the callback."""
    metadata = await provider.prepare_login()
    nonce, code_verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    query = {
        "response_type": "code",
        "client_id": provider.traits.client_id,
        "redirect_uri": CALLBACK,
        "scope": " ".join(provider.traits.scope),
        "state": "s" * 16,
        "nonce": changed.pop("nonce", nonce),
        "code_challenge": urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **({"prompt": "login", "max_age": "0"} if fresh else {}),
    }
    url = (metadata.authorize_url if metadata else provider.traits.authorize_url) + "?" + urlencode(query)
    callback_args = await asyncio.to_thread(idp.authorize, url, name)
    return await provider.complete_login(
        FakeCallbackHandler({**callback_args, **changed}, verifier or code_verifier), nonce=nonce, reauthenticated=fresh
    )
