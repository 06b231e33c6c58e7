"""Client address of a request behind trusted proxies, for the hub and the service alike (R121)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

_MAX_HOPS = 20
_MAX_ADDRESS = 45
"""Length of the longest textual form of an IPv6 address."""


def resolve_client_address(peer: str, forwarded: Iterable[str], trusted: tuple[str, ...]) -> str:
    """Return the address that the outermost trusted proxy saw.

    The header is evaluated from its end, where our proxies append: each hop is accepted as long as the proxy that named
    it is trusted. An entry that is not a plain address, or more than 20 hops, ends the evaluation.

    Parameters
    ----------
    peer : str
        The remote address of the connection.
    forwarded : iterable of str
        The values of the ``X-Forwarded-For`` headers.
    trusted : tuple of str
        Addresses of our proxies: only the headers they send are accepted (`service.trusted_proxies`).

    Returns
    -------
    str
        In canonical form, IPv4-mapped IPv6 addresses as IPv4; the peer as it is, if it is not an address.
    """
    address, proxies = _canonical(peer) or peer, _canonical_all(trusted)
    if address not in proxies:
        return address
    # Bounded before splitting: the client chooses the length of the header.
    header = ",".join(forwarded)
    for hop in reversed(header.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
        if address not in proxies:
            break
        previous = _canonical(hop.strip(" \t"))
        if previous is None:
            break
        address = previous
    return address


@lru_cache(maxsize=1_024)  # called for every request, nearly always with the same few values
def _canonical(text: str) -> str | None:
    # A zone (`%eth0`) may be any text, and has a meaning only on the host that wrote it.
    if len(text) > _MAX_ADDRESS or "%" in text:
        return None
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    # A dual-stack listener, such as the hub's proxy, reports an IPv4 peer as `::ffff:192.0.2.1`.
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


@lru_cache(maxsize=8)
def _canonical_all(trusted: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_canonical(address) or address for address in trusted)
