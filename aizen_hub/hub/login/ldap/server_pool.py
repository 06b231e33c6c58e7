"""Servers of one directory, and the order in which they are tried."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

DOWN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ServerPool:
    """The servers of a directory and how to connect to them.

    Attributes
    ----------
    addresses : tuple of str
        Host names, tried in this order; those that failed recently come last.
    tls_mode : str
        ``before_bind`` (StartTLS), ``on_connect`` (LDAPS) or ``insecure``.
    tls_options : mapping
        Keyword arguments of `ldap3.Tls`.
    connect_seconds : float
        For each address, within the deadline.
    page_size : int
        Entries for each page of a search with many results (RFC 2696).
    """

    addresses: tuple[str, ...]
    port: int
    tls_mode: str
    tls_options: dict[str, object]
    connect_seconds: float
    page_size: int = 500
    _down_until: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    def ordered_addresses(self) -> tuple[str, ...]:
        """Return all addresses, those that are marked as down last."""
        now = time.monotonic()
        return tuple(sorted(self.addresses, key=lambda address: self._down_until.get(address, 0.0) > now))

    def mark_down(self, address: str) -> None:
        """Mark a server as down: for 30 seconds the others are tried before it."""
        self._down_until[address] = time.monotonic() + DOWN_SECONDS
