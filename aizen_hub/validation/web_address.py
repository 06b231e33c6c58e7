"""Web addresses as operators write them in settings and in the files that settings name."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def split_address(url: str) -> SplitResult | None:
    """Return the parts of an address; None for what is none, such as one with an open bracket or an impossible port."""
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


def check_address(url: str) -> str:
    """Return an address that can be taken apart; else raise ValueError with the remedy and without the address."""
    if split_address(url) is None:
        raise ValueError(
            "this is not an address: write it as `https://host:port/path`, an IPv6 address in brackets, and a port "
            "up to 65535"
        )
    return url
