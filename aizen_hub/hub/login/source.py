"""Where a request to the hub comes from, as far as that can be believed."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any

_MAX_HOPS = 20


def source_of(request: Any, trusted: Collection[str]) -> str | None:
    """Return the address that the outermost of our own proxies saw.

    Tornado's ``remote_ip`` believes ``X-Real-Ip`` of anybody, and so would let each guess come from a new address.

    Parameters
    ----------
    trusted : collection of str
        Addresses of the proxies in front of the hub: only what they forward is believed (`service.trusted_proxies`).
    """
    if request is None:
        return None
    context = getattr(getattr(request, "connection", None), "context", None)
    found = getattr(context, "_orig_remote_ip", None) or request.remote_ip
    hops = ",".join(request.headers.get_list("X-Forwarded-For")).split(",")
    for hop in reversed(hops[-_MAX_HOPS:]):
        if found not in trusted:
            break
        try:
            found = str(ip_address(hop.strip()))
        except ValueError:
            break
    return str(found)
