"""A request as the rooms of the service see it."""

from __future__ import annotations

import time

from multidict import CIMultiDictProxy

Headers = CIMultiDictProxy[str]
"""What is no UTF-8 in a header stands there as lone surrogates."""


def joined(headers: Headers, name: str) -> str:
    """Return a header as one text, however many lines it came in (RFC 9110, 5.2); empty where there is none."""
    return ",".join(headers.getall(name, ()))


class Request:
    """What was sent, but for the body.

    Attributes
    ----------
    path, query : str
        As they were sent, without the ``?`` between them.
    peer : str
        The other end of the connection; who that is for us, `Roads.source` says.
    """

    __slots__ = ("_begun", "headers", "method", "path", "peer", "query", "target")

    def __init__(self, method: str, target: str, headers: Headers, peer: str) -> None:
        self.method, self.target, self.headers, self.peer = method, target, headers, peer
        self.path, _, self.query = target.partition("?")
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long ago its headers were here."""
        return time.perf_counter() - self._begun
