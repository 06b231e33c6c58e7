"""E-mail addresses: one plain address that cannot be misread in a mail header, and the parts of names that are one."""

from __future__ import annotations

import re

PATTERN = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64})*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)
"""One addr-spec (RFC 5321, 4.1.2) in ASCII, without quoted parts, comments, literals or groups."""
MAX_LENGTH = 254

_ADDRESS = re.compile(PATTERN)


def is_email_address(text: str) -> bool:
    """Return whether ``text`` is exactly one e-mail address."""
    return len(text) <= MAX_LENGTH and _ADDRESS.fullmatch(text) is not None


def short_name(external: str) -> str:
    """Return the local part of an external id that is an e-mail address, else the id itself.

    It becomes the user's name, once it is canonical.
    """
    local, at, domain = external.partition("@")
    return local if at and local and domain else external


def email_domain(external: str) -> str | None:
    """Return the lower-case domain of an external id that is an e-mail address, else None."""
    local, at, domain = external.partition("@")
    return domain.lower() if at and local and domain else None
