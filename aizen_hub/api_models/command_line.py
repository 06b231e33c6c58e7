"""Sign-in of the command line: the OAuth client at the hub, and the requests of the service (RFC 8252, RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Annotated

from pydantic import Field

from aizen_hub.api_models.schema import ResponseModel, Schema

HUB_SERVICE = "aizen-command-line"
CLIENT_ID = f"service-{HUB_SERVICE}"
DONE_PAGE = "command-line/done"
"""The page of the panel to which the hub redirects; the redirect URI of the client is its path."""
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Easy to tell apart, and without words (RFC 8628, 6.1)."""

Challenge = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


def client_secret(api_token: str) -> str:
    """Return the secret of the OAuth client, which the hub and the service derive from the token of the service.

    The command line does not have it: the service redeems the code, which only who holds the verifier can use.
    """
    return hmac.new(api_token.encode(), b"aizen-hub command line", hashlib.sha256).hexdigest()


def challenge_of(verifier: str) -> str:
    """Return the challenge of a verifier, by the method S256 (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def check_word(challenge: str) -> str:
    """Return the word that terminal and page show, by which people see that both belong to one sign-in."""
    number = int.from_bytes(hashlib.sha256(challenge.encode()).digest()[:8])
    letters = []
    for _ in range(8):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "".join(letters[:4]) + "-" + "".join(letters[4:])


class CodeExchange(Schema):
    """An authorization code, and the verifier of the challenge with which it was requested."""

    code: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[!-~]+$")]
    verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")]


class CommandLineToken(ResponseModel):
    """A hub token for the command line, and whose it is."""

    token: str
    user: str
