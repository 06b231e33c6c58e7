"""What can go wrong between a notebook and the service; each is shown as a sentence, not as a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AizenError(Exception):
    """Base: the sentence is for the person at the notebook."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this: the calls inside our client are of no use to the person who typed a command.
        return [f"{type(self).__name__}: {self}"]


class Unreachable(AizenError):
    """The service cannot be reached, or what answers there is not the service."""


class Interrupted(AizenError):
    """The answer broke off after the command was sent: it may or may not have been carried out."""


class FileProblem(AizenError):
    """A file that a command names cannot be sent."""


class Refused(AizenError):
    """The service refused; ``document`` is its problem document (RFC 9457).

    Attributes
    ----------
    document : mapping
        ``title``, ``detail``, ``remedy``, ``decision``, ``who_can_grant``, ``suggestion``, ``errors`` and so on.
    status : int
        HTTP status of the answer.
    """

    def __init__(self, document: Mapping[str, Any], status: int) -> None:
        super().__init__(str(document.get("detail") or document.get("title") or f"the service answered {status}"))
        self.document, self.status = document, status


class AizenDenied(AizenError):
    """Raised in strict mode only, so that *Run All* stops at a refused command."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def _render_traceback_(self) -> list[str]:
        return self._text.splitlines()
