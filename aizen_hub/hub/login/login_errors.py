"""What the login page shows to somebody who does not come in."""

from __future__ import annotations

import math

from tornado import web

from aizen_hub.client.responses import LoginAnswer
from aizen_hub.hub.login.provider import Proof, Throttled, show

TITLES = {
    "not-registered": "You are not registered here yet",
    "locked": "Your account is locked",
    "not-active": "Your account is not active",
    "name-taken": "Your user name belongs to somebody else here",
    "not-let-in": "You may not use this hub",
    "not-counted": "This sign-in did not count",
}
_DEFAULTS = {
    "not-registered": "ask an administrator of this hub to register you",
    "locked": "ask an administrator of this hub why, and to unlock it",
    "not-active": "ask an administrator of this hub to activate it",
    "name-taken": "ask an administrator of this hub to register you under another name",
}


class LoginRefused(web.HTTPError):
    """A refusal that the login page explains.

    Attributes
    ----------
    aizen : dict
        For the template: ``kind``, and for a recognised person ``title``, ``name`` and ``provider``.
    """

    def __init__(self, status: int, sentence: str, kind: str, **facts: str) -> None:
        super().__init__(status)
        # The hub shows this; as `log_message` it would be %-formatted.
        self.jupyterhub_message = sentence
        self.aizen = {"kind": kind, **facts}
        self.headers: dict[str, str] = {}

    def __str__(self) -> str:
        return f"login refused: {self.aizen['kind']}: {show(self.jupyterhub_message, 300)}"


def not_admitted(answer: LoginAnswer, proof: Proof, label: str) -> LoginRefused:
    """Say who was recognised, what is missing, and whom to ask."""
    kind = answer.outcome if answer.outcome in TITLES else "not-active"
    name = show(proof.name)
    sentence = f"{label} knows you as {name}. {_sentence(answer.reason or _DEFAULTS.get(kind, ''))}"
    return LoginRefused(403, sentence, kind, title=TITLES[kind], name=name, provider=label)


def not_let_in(sentence: str, label: str) -> LoginRefused:
    return LoginRefused(403, _sentence(sentence), "not-let-in", title=TITLES["not-let-in"], provider=label)


def not_counted(sentence: str, label: str) -> LoginRefused:
    """Say why signing in again was for nothing; whoever was signed in still is."""
    return LoginRefused(403, _sentence(sentence), "not-counted", title=TITLES["not-counted"], provider=label)


def throttled(error: Throttled) -> LoginRefused:
    seconds = max(1, math.ceil(error.retry_after))
    refusal = LoginRefused(429, _sentence(f"{error}; try again in {seconds} seconds"), "throttled")
    refusal.headers["Retry-After"] = str(seconds)
    return refusal


def start_again(sentence: str) -> LoginRefused:
    return LoginRefused(400, _sentence(sentence), "start-again")


def unreachable(sentence: str) -> LoginRefused:
    return LoginRefused(503, _sentence(sentence), "unreachable")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
