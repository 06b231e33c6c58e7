"""Binding of a credential to a key, whose private half the caller must have, and to source networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Self

from aizen_hub.problems import BadInput
from aizen_hub.validation.printable import excerpt

MAX_NETWORKS = 32
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class CredentialBinding:
    """What a request must fulfil besides presenting the credential, so that a stolen credential is not enough (T-46).

    Attributes
    ----------
    key : str or None
        Thumbprint of the public key with which every request must be proven (RFC 7638, RFC 9449).
    networks : tuple of str
        Networks in canonical form that a request must come from; empty: no restriction.
    """

    key: str | None = None
    networks: tuple[str, ...] = ()

    @classmethod
    def parse(cls, key: str | None = None, networks: Iterable[str] = ()) -> Self:
        """Parse a binding from user input.

        Raises
        ------
        BadInput
            An invalid thumbprint; an invalid network, one with host bits set, one that contains every address, or
            too many.
        """
        if key is not None and not _THUMBPRINT.fullmatch(key):
            raise BadInput("the thumbprint of a key is 43 characters of base64url")
        network_list = list(networks)
        if len(network_list) > MAX_NETWORKS:
            raise BadInput(f"a credential can be bound to at most {MAX_NETWORKS} networks")
        return cls(key, tuple(dict.fromkeys(map(_parse_network, network_list))))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        return cls(values.get("key"), tuple(values.get("networks") or ()))

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {} if self.key is None else {"key": self.key}
        return fields | ({"networks": list(self.networks)} if self.networks else {})

    def __str__(self) -> str:
        """Describe the binding, as an addition to the name of a credential; empty if nothing is bound."""
        words = [] if self.key is None else [f"bound to the key {self.key}"]
        words += [f"valid only from {', '.join(self.networks)}"] if self.networks else []
        return ", ".join(words)

    def allows_source(self, source: str) -> bool:
        """Return whether the credential may be used from this network address; an invalid address never matches."""
        if not self.networks:
            return True
        try:
            address = ip_address(source)
        except ValueError:
            return False
        # A dual-stack socket reports an IPv4 client as an IPv6 address.
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in ip_network(network) for network in self.networks)


def _parse_network(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError("the zone of one machine's interface")
        network: IPv4Network | IPv6Network = ip_network(text)
    except ValueError:
        raise BadInput(
            f"`{excerpt(text)}` is not a valid network",
            remedy="write the first address and the length of its prefix, as in `10.20.0.0/16` or `2001:db8::/48`",
        ) from None
    if network.prefixlen == 0:
        raise BadInput(f"`{network}` contains every address", remedy="leave out the networks for no restriction")
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None and network.prefixlen >= 96:
        raise BadInput(f"`{network}` is an IPv4 network in IPv6 notation", remedy="write it as IPv4")
    return str(network)
