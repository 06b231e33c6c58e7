"""Headers that every response has, whatever made it and whether it is streamed."""

from __future__ import annotations

from multidict import CIMultiDict, istr

from aizen_hub.api_models.headers import INSTANCE_HEADER
from aizen_hub.service.http.problem_response import SECURITY_HEADERS, SERVER_NAME

BROWSER_HEADERS = (("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"))


class StandardHeaders:
    """Adds those headers that a response has not set itself.

    Parameters
    ----------
    instance : str
        Id of this process.
    prefix : str
        Path below the hub's proxy; responses there also get `BROWSER_HEADERS`.
    """

    def __init__(self, instance: str, prefix: str) -> None:
        headers = (*SECURITY_HEADERS, ("Server", SERVER_NAME), (INSTANCE_HEADER, instance))
        self._prefix = prefix
        # The names are prepared for look-ups without regard to case.
        self._headers = [(istr(name), value) for name, value in headers]
        self._browser_headers = [(istr(name), value) for name, value in BROWSER_HEADERS]

    def add_to(self, headers: CIMultiDict[str], path: str) -> None:
        """Add the headers of a response to a request for ``path``."""
        for name, value in self._headers:
            headers.setdefault(name, value)
        if path.startswith(self._prefix):
            for name, value in self._browser_headers:
                headers.setdefault(name, value)
