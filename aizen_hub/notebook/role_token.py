"""The role token of this server and its renewal."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from aizen_hub.notebook.errors import ProblemResponseError
from aizen_hub.notebook.transport import RESPONSE_SECONDS, Transport

MARGIN_SECONDS = 30.0
"""A token with less remaining lifetime is renewed before use, so that it does not expire on the way."""
_MAX_FILE = 16 * 1024
_REFUSED_CREDENTIAL = "invalid_grant"


class RoleTokenSource:
    """Holds the token in this process's memory and exchanges the server's hub token for a new one (RFC 8693).

    The code in the kernel can read the token, which is harmless: the service authorizes every command.

    Parameters
    ----------
    token : str or None
        The token from the start of the server; it may have expired.
    hub_token : str or None
        ``JUPYTERHUB_API_TOKEN``; without it the role token cannot be renewed.
    """

    def __init__(self, transport: Transport, token: str | None, hub_token: str | None) -> None:
        self._transport, self._token, self._hub_token = transport, token, hub_token
        self._expires_at = time.monotonic() + _seconds_until_expiry(token) if token else 0.0
        self._lock = threading.Lock()
        self.project: str | None = None

    @classmethod
    def from_environment(cls, transport: Transport, environ: Mapping[str, str]) -> Self:
        """Read ``AIZEN_TOKEN_FILE`` or ``AIZEN_TOKEN``, and ``JUPYTERHUB_API_TOKEN``."""
        token = environ.get("AIZEN_TOKEN") or None
        if file := environ.get("AIZEN_TOKEN_FILE"):
            try:
                with Path(file).open(encoding="ascii") as stream:
                    token = stream.read(_MAX_FILE).strip() or token
            except (OSError, ValueError):
                # A missing file is handled like an expired token: the first request renews it or fails.
                pass
        return cls(transport, token, environ.get("JUPYTERHUB_API_TOKEN") or None)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._expires_at - time.monotonic())

    @property
    def is_fresh(self) -> bool:
        """Whether the token can be used without a renewal."""
        return self._token is not None and self.seconds_left >= MARGIN_SECONDS

    def authorization_header(self) -> str:
        """Return the ``Authorization`` header, after renewing a token that is about to expire.

        Raises
        ------
        ProblemResponseError
            The token could not be renewed.
        """
        if self._token is None or (self.seconds_left < MARGIN_SECONDS and self._hub_token):
            self.renew()
        return f"Bearer {self._token}"

    def renew(
        self,
        rejected_header: str | None = None,
        *,
        project: str | None = None,
        seconds: float = RESPONSE_SECONDS,
    ) -> None:
        """Exchange the hub token for a new role token for the current project of the session.

        Parameters
        ----------
        rejected_header : str, optional
            The header that the service rejected; if another thread has renewed the token since, nothing is done.
        project : str, optional
            Makes this the project of the session.
        seconds : float
            Within which the service must answer.

        Raises
        ------
        ProblemResponseError
            The session has ended, its project cannot be this one, or the service cannot issue a token.
        """
        with self._lock:
            if rejected_header is not None and f"Bearer {self._token}" != rejected_header:
                return
            if self._hub_token is None:
                raise ProblemResponseError(
                    {
                        "title": "No role token",
                        "detail": "the hub token for the renewal is missing (JUPYTERHUB_API_TOKEN)",
                        "remedy": "start the notebook server from the hub",
                    },
                    401,
                )
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": self._hub_token,
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                **({} if project is None else {"project": project}),
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            try:
                with self._transport.request(
                    "POST", "/oauth/token", headers=headers, body=urlencode(form).encode("ascii"), seconds=seconds
                ) as response:
                    self._store(response.json())
            except ProblemResponseError as error:
                raise _renewal_error(error, project) from None

    def _store(self, response: Any) -> None:
        token = response.get("access_token") if isinstance(response, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ProblemResponseError(
                {"title": "No role token", "detail": "the response of the service contains no access token"}, 502
            )
        lifetime = response.get("expires_in")
        self._token = token
        self._expires_at = time.monotonic() + (
            float(lifetime) if isinstance(lifetime, int | float) else _seconds_until_expiry(token)
        )
        project = response.get("project")
        self.project = project if isinstance(project, str) else None

    def __repr__(self) -> str:
        return f"<role token, {self.seconds_left:.0f} s left>"


def _renewal_error(error: ProblemResponseError, project: str | None) -> ProblemResponseError:
    # Errors of /oauth/token are OAuth errors (RFC 6749, 5.2), not problem documents.
    document = error.document
    if error.status >= 500:
        return error
    title, remedy = "Your session could not be renewed", document.get("remedy")
    if document.get("code") == "session-ended":
        title = "Your session has ended"
    elif project is not None and document.get("error") != _REFUSED_CREDENTIAL:
        title = "The project was not changed"
    if document.get("error") == _REFUSED_CREDENTIAL:
        remedy = remedy or "restart your server from the hub"
    sentence = document.get("detail") or document.get("error_description") or document.get("error") or error
    return ProblemResponseError(
        {**document, "title": title, "detail": str(sentence), "remedy": remedy or ""}, error.status
    )


def _seconds_until_expiry(token: str) -> float:
    """Return the seconds until ``exp``, read without verification and used only to schedule the renewal."""
    try:
        payload = token.split(".")[1]
        expires_at = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(expires_at) - time.time()
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0.0
