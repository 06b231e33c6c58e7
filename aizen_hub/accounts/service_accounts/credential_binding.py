"""What a credential is bound to: a key whose private half the caller must hold, networks that it must come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Self

from aizen_hub.problems import BadInput
from aizen_hub.validation.printable import show

MOST_NETWORKS = 32
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Binding:
    """A credential alone is not enough where one of these is set: what a thief of the text does not have (T-46).

    Attributes
    ----------
    key : str or None
        Thumbprint of the public key with which every request must be proven (RFC 7638, RFC 9449).
    networks : tuple of str
        Networks, in their one spelling, that a request must come from; empty: from anywhere.
    """

    key: str | None = None
    networks: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: str | None = None, networks: Iterable[str] = ()) -> Self:
        """Read a binding from what somebody asks for.

        Raises
        ------
        BadInput
            No thumbprint; no network, one with bits beside its prefix, one that holds every address, or too many.
        """
        if key is not None and not _THUMBPRINT.fullmatch(key):
            raise BadInput("the thumbprint of a key is 43 characters of base64url")
        given = list(networks)
        if len(given) > MOST_NETWORKS:
            raise BadInput(f"a credential is bound to {MOST_NETWORKS} networks at most")
        return cls(key, tuple(dict.fromkeys(map(_network, given))))

    @classmethod
    def kept(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(values.get("key"), tuple(values.get("networks") or ()))

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {} if self.key is None else {"key": self.key}
        return out | ({"networks": list(self.networks)} if self.networks else {})

    def __str__(self) -> str:
        """Say it in words that go behind the name of a credential; empty where nothing is bound."""
        words = [] if self.key is None else [f"bound to the key {self.key}"]
        words += [f"good from {', '.join(self.networks)} only"] if self.networks else []
        return ", ".join(words)

    def reaches(self, source: str) -> bool:
        """Tell whether a credential is good from this network address; what is no address lies in no network."""
        if not self.networks:
            return True
        try:
            address = ip_address(source)
        except ValueError:
            return False
        # A socket that listens for both shows an IPv4 caller as an IPv6 one.
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in ip_network(one) for one in self.networks)


def _network(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError("the zone of one machine's interface")
        found: IPv4Network | IPv6Network = ip_network(text)
    except ValueError:
        raise BadInput(
            f"`{show(text)}` is no network",
            remedy="write the first address and the length of its prefix, as in `10.20.0.0/16` or `2001:db8::/48`",
        ) from None
    if found.prefixlen == 0:
        raise BadInput(f"`{found}` holds every address", remedy="leave the networks out to bind to none")
    if isinstance(found, IPv6Network) and found.network_address.ipv4_mapped is not None and found.prefixlen >= 96:
        raise BadInput(f"`{found}` is an IPv4 network in IPv6 spelling", remedy="write it as IPv4")
    return str(found)
