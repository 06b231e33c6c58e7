"""Errors that the login page explains to the user."""

from __future__ import annotations

import math

from tornado import web

from aizen_hub.api_models.logins import LoginResponse
from aizen_hub.hub.login.provider import AuthenticatedIdentity, ThrottledError, printable

TITLES = {
    "not-registered": "You are not registered here yet",
    "locked": "Your account is locked",
    "not-active": "Your account is not activated yet",
    "name-taken": "Your user name belongs to another user here",
    "access-denied": "You may not use this hub",
    "reauthentication-failed": "You could not be signed in again",
}
_DEFAULT_REASONS = {
    "not-registered": "ask an administrator of this hub to register you",
    "not-active": "open the activation link that was sent to you, or ask an administrator of this hub for a new one",
    "name-taken": "ask an administrator of this hub to register you under another name",
}


class LoginDeniedError(web.HTTPError):
    """A denied login, with its explanation.

    Attributes
    ----------
    aizen : dict
        For the template: ``kind``, and for an authenticated user ``title``, ``name`` and ``provider``.
    """

    def __init__(self, status: int, message: str, kind: str, **details: str) -> None:
        super().__init__(status)
        # The hub shows this text; as `log_message` it would be %-formatted.
        self.jupyterhub_message = message
        self.aizen = {"kind": kind, **details}
        self.headers: dict[str, str] = {}

    def __str__(self) -> str:
        return f"login denied: {self.aizen['kind']}: {printable(self.jupyterhub_message, 300)}"


def login_denied(response: LoginResponse, identity: AuthenticatedIdentity, label: str) -> LoginDeniedError:
    """Return the error for an authenticated user whom the service does not admit."""
    kind = response.outcome if response.outcome in TITLES else "not-active"
    name = printable(identity.name)
    if kind == "locked":
        message = f"Your account ({name}) is locked. Contact an administrator."
    else:
        message = f"{label} recognised you as {name}. {_to_sentence(response.reason or _DEFAULT_REASONS.get(kind, ''))}"
    return LoginDeniedError(403, message, kind, title=TITLES[kind], name=name, provider=label)


def access_denied(message: str, label: str) -> LoginDeniedError:
    return LoginDeniedError(403, _to_sentence(message), "access-denied", title=TITLES["access-denied"], provider=label)


def reauthentication_failed(message: str, label: str) -> LoginDeniedError:
    """Return the error for a repeated login that did not count; the user stays signed in as before."""
    return LoginDeniedError(
        403, _to_sentence(message), "reauthentication-failed", title=TITLES["reauthentication-failed"], provider=label
    )


def throttled(error: ThrottledError) -> LoginDeniedError:
    seconds = max(1, math.ceil(error.retry_after))
    denied = LoginDeniedError(429, _to_sentence(f"{error}; try again in {seconds} seconds"), "throttled")
    denied.headers["Retry-After"] = str(seconds)
    return denied


def restart_required(message: str) -> LoginDeniedError:
    return LoginDeniedError(400, _to_sentence(message), "start-again")


def provider_unreachable(message: str) -> LoginDeniedError:
    return LoginDeniedError(503, _to_sentence(message), "unreachable")


def _to_sentence(text: str) -> str:
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
