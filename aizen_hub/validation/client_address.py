"""Client address of a request behind trusted proxies, for the hub and the service alike (R121)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

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
        Addresses of our proxies, or networks of them such as ``10.1.2.0/24``: only the headers they send are accepted
        (`service.trusted_proxies`).

    Returns
    -------
    str
        In canonical form, IPv4-mapped IPv6 addresses as IPv4; the peer as it is, if it is not an address.
    """
    address = _canonical(peer) or peer
    if not is_trusted_proxy(address, trusted):
        return address
    # Bounded before splitting: the client chooses the length of the header.
    header = ",".join(forwarded)
    for hop in reversed(header.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
        if not is_trusted_proxy(address, trusted):
            break
        previous = _canonical(hop.strip(" \t"))
        if previous is None:
            break
        address = previous
    return address


@lru_cache(maxsize=1_024)  # called for every request, nearly always with the same few values
def is_trusted_proxy(address: str, trusted: tuple[str, ...]) -> bool:
    """Return whether an address is one of our proxies, by itself or by its network."""
    canonical = _canonical(address)
    if canonical is None:
        return False
    addresses, networks = _parse_trusted(trusted)
    # An IPv4 address is in no IPv6 network, and the other way around.
    return canonical in addresses or any(ip_address(canonical) in network for network in networks)


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
def _parse_trusted(trusted: tuple[str, ...]) -> tuple[frozenset[str], tuple[IPv4Network | IPv6Network, ...]]:
    """Return the addresses and the networks; an entry that is neither has no effect, and `doctor` says so."""
    addresses = frozenset(filter(None, map(_canonical, trusted)))
    return addresses, tuple(filter(None, map(_network, trusted)))


def _network(text: str) -> IPv4Network | IPv6Network | None:
    if "/" not in text:
        return None
    try:
        network = ip_network(text)
    except ValueError:
        return None
    return network if network.prefixlen else None  # everyone is no proxy
