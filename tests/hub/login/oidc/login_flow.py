"""The way of a person to an OpenID provider and back, without a hub."""

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
from aizen_hub.hub.login.provider import Proof
from tests.fixtures.oidc_provider_server import CALLBACK, Idp

Make = Callable[..., OidcProvider]


@dataclass
class Answer:
    """What the callback handler is for a provider; the handler itself is tested with a whole hub."""

    told: dict[str, str]
    verifier: str
    callback_path: str = "oidc/idp/callback"
    log: Any = field(default=None)

    def get_argument(self, name: str, default: str = "") -> str:
        return self.told.get(name, default)

    def get_state_cookie(self) -> str:
        return str(_serialize_state({"code_verifier": self.verifier}))


async def sign_in(
    provider: OidcProvider, idp: Idp, name: str = "alice", *, fresh: bool = False, verifier: str = "", **changed: str
) -> Proof:
    """Walk the whole way; ``changed`` replaces what the browser brings back."""
    known = await provider.begin()
    nonce, proof_key = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    query = {
        "response_type": "code",
        "client_id": provider.traits.client_id,
        "redirect_uri": CALLBACK,
        "scope": " ".join(provider.traits.scope),
        "state": "s" * 16,
        "nonce": changed.pop("nonce", nonce),
        "code_challenge": urlsafe_b64encode(sha256(proof_key.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **({"prompt": "login", "max_age": "0"} if fresh else {}),
    }
    url = (known.authorize_url if known else provider.traits.authorize_url) + "?" + urlencode(query)
    told = await asyncio.to_thread(idp.authorize, url, name)
    return await provider.finish(Answer({**told, **changed}, verifier or proof_key), nonce=nonce, fresh=fresh)
