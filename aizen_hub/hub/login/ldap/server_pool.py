"""Where a directory is, and which of its servers is asked first."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

REST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a directory is and how to reach it securely.

    Attributes
    ----------
    addresses : tuple of str
        Host names, tried in this order; those that failed a short while ago come last.
    mode : str
        ``before_bind`` (StartTLS), ``on_connect`` (LDAPS) or ``insecure``.
    tls : mapping
        Keyword arguments of `ldap3.Tls`.
    connect_seconds : float
        For each address, within the deadline.
    page_size : int
        Entries asked for at once, where a search may find many (RFC 2696).
    """

    addresses: tuple[str, ...]
    port: int
    mode: str
    tls: dict[str, object]
    connect_seconds: float
    page_size: int = 500
    _resting: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    def in_order(self) -> tuple[str, ...]:
        """Return all addresses, the ones that are resting behind the others."""
        now = time.monotonic()
        return tuple(sorted(self.addresses, key=lambda one: self._resting.get(one, 0.0) > now))

    def rest(self, address: str) -> None:
        """Note that a server did not answer: for a while the others are asked before it."""
        self._resting[address] = time.monotonic() + REST_SECONDS
