"""The role token of this server, and its renewal."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from aizen_hub.notebook.errors import Refused
from aizen_hub.notebook.transport import Transport

MARGIN_SECONDS = 30.0
"""A token that ends sooner is renewed first, so that it cannot end under way."""
_MAX_FILE = 16 * 1024


class RoleToken:
    """Holds the token in this process's memory and exchanges the server's hub token for a new one (RFC 8693).

    Nothing here is a secret from the code in the kernel, and nothing has to be: the service decides.

    Parameters
    ----------
    text : str or None
        The token given at the start of the server; it may be over already.
    hub_token : str or None
        ``JUPYTERHUB_API_TOKEN``; without it the token cannot be renewed.
    """

    def __init__(self, transport: Transport, text: str | None, hub_token: str | None) -> None:
        self._transport, self._text, self._hub_token = transport, text, hub_token
        self._ends = time.monotonic() + _remaining(text) if text else 0.0
        self._lock = threading.Lock()
        self.project: str | None = None

    @classmethod
    def from_environment(cls, transport: Transport, environ: Mapping[str, str]) -> Self:
        """Read ``AIZEN_TOKEN_FILE`` or ``AIZEN_TOKEN``, and ``JUPYTERHUB_API_TOKEN``."""
        text = environ.get("AIZEN_TOKEN") or None
        if file := environ.get("AIZEN_TOKEN_FILE"):
            try:
                with Path(file).open(encoding="ascii") as opened:
                    text = opened.read(_MAX_FILE).strip() or text
            except (OSError, ValueError):
                # A missing file is like an ended token: the first call renews it, or says why that cannot be.
                pass
        return cls(transport, text, environ.get("JUPYTERHUB_API_TOKEN") or None)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def header(self) -> str:
        """Return the ``Authorization`` value, renewing a token first that is about to end; Refused if that fails."""
        if self._text is None or (self.seconds_left < MARGIN_SECONDS and self._hub_token):
            self.renew()
        return f"Bearer {self._text}"

    def renew(self, instead_of: str | None = None) -> None:
        """Exchange the hub token for a new role token of the session's present project.

        Parameters
        ----------
        instead_of : str, optional
            The header that was refused: if another thread renewed meanwhile, that is enough.

        Raises
        ------
        Refused
            The session has ended, or the service cannot give a token; its sentence says why.
        """
        with self._lock:
            if instead_of is not None and f"Bearer {self._text}" != instead_of:
                return
            if self._hub_token is None:
                raise Refused(
                    {
                        "title": "No role token",
                        "detail": "there is no token of this server to renew with (JUPYTERHUB_API_TOKEN)",
                        "remedy": "start the notebook server from the hub",
                    },
                    401,
                )
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": self._hub_token,
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            try:
                with self._transport.request(
                    "POST", "/oauth/token", headers=headers, body=urlencode(form).encode("ascii")
                ) as answer:
                    self._take(answer.json())
            except Refused as refusal:
                raise _explained(refusal) from None

    def _take(self, value: Any) -> None:
        text = value.get("access_token") if isinstance(value, dict) else None
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise Refused({"title": "The service gave no token", "detail": "its answer holds no access token"}, 502)
        seconds = value.get("expires_in")
        self._text = text
        self._ends = time.monotonic() + (float(seconds) if isinstance(seconds, int | float) else _remaining(text))
        project = value.get("project")
        self.project = project if isinstance(project, str) else None

    def __repr__(self) -> str:
        return f"<role token, {self.seconds_left:.0f} s left>"


def _explained(refusal: Refused) -> Refused:
    # The answer of /oauth/token is an OAuth error (RFC 6749, 5.2), not a problem document.
    sentence = refusal.document.get("error_description") or refusal.document.get("detail")
    if refusal.status >= 500:
        return refusal
    return Refused(
        {
            **refusal.document,
            "title": "Your session could not be renewed",
            "detail": str(sentence or refusal.document.get("error") or refusal),
            "remedy": refusal.document.get("remedy") or "restart your server from the hub",
        },
        refusal.status,
    )


def _remaining(token: str) -> float:
    """Return the seconds until ``exp``, read without any check: only to renew in time, never to trust."""
    try:
        payload = token.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(ends) - time.time()
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0.0
