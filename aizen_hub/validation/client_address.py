"""Where a request comes from, as far as that can be believed; the hub and the service ask it the same way (R121)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

_MAX_HOPS = 20
_MAX_ADDRESS = 45
"""Characters of the longest spelling of an IPv6 address."""


def source_of(peer: str, forwarded: Iterable[str], trusted: tuple[str, ...]) -> str:
    """Return the address that the outermost of our own proxies saw.

    The header is read from its end, where our own proxies write: each hop is believed as long as the one that named it
    is ours. An entry that is no plain address ends the walk, and so does a trusted one too many.

    Parameters
    ----------
    peer : str
        The other end of the connection.
    forwarded : iterable of str
        What each ``X-Forwarded-For`` header says.
    trusted : tuple of str
        Addresses of the proxies in front of us: only what they forward is believed (`service.trusted_proxies`).

    Returns
    -------
    str
        In the one canonical spelling, IPv4 where IPv6 only wraps it; what the connection says, where that is none.
    """
    found, ours = _plain(peer) or peer, _plain_all(trusted)
    if found not in ours:
        return found
    # Bounded before it is taken apart: the header is as long as whoever is outside wants it.
    said = ",".join(forwarded)
    for hop in reversed(said.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
        if found not in ours:
            break
        before = _plain(hop.strip(" \t"))
        if before is None:
            break
        found = before
    return found


@lru_cache(maxsize=1_024)  # at every request, and nearly always the same few
def _plain(text: str) -> str | None:
    # A zone (`%eth0`) is any text at all, and means something on the machine alone that wrote it.
    if len(text) > _MAX_ADDRESS or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # What listens to both families, as the hub's proxy does, names an IPv4 peer `::ffff:192.0.2.1`.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@lru_cache(maxsize=8)
def _plain_all(trusted: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_plain(one) or one for one in trusted)
