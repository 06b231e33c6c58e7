"""Errors between a notebook and the service, shown as one sentence without a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AizenError(Exception):
    """Base class; the message is for the user of the notebook."""

    def _render_traceback_(self) -> list[str]:
        # Called by IPython: the stack of the client does not help the user who typed a command.
        return [f"{type(self).__name__}: {self}"]


class ServiceUnreachableError(AizenError):
    """The service cannot be reached, or the server at its address is not the service."""


class ResponseInterruptedError(AizenError):
    """The response broke off after the command was sent: it may or may not have been executed."""


class JobEndedError(AizenError):
    """A job cannot be stopped, since it has ended already."""


class CommandFileError(AizenError):
    """A file that a command names cannot be sent."""


class NoDataFrameError(AizenError, ImportError):
    """A table cannot be a data frame, since pandas is not installed."""


class ProblemResponseError(AizenError):
    """The service refused a request; ``document`` is its problem document (RFC 9457).

    Attributes
    ----------
    document : mapping
        ``title``, ``detail``, ``remedy``, ``decision``, ``who_can_grant``, ``suggestion``, ``errors`` and so on.
    status : int
        HTTP status of the response.
    """

    def __init__(self, document: Mapping[str, Any], status: int) -> None:
        super().__init__(
            str(document.get("detail") or document.get("title") or f"the service responded with status {status}")
        )
        self.document, self.status = document, status


class AizenDenied(AizenError):
    """A refused command in strict mode, which stops *Run All* and ``nbconvert``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def _render_traceback_(self) -> list[str]:
        return self._text.splitlines()


class CommandStillRunning(KeyboardInterrupt):
    """The cell was interrupted while the command continues; it stops *Run All* like any interrupt."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()
