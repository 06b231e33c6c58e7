"""Mail addresses as alerts are sent to them: one, plain, and nothing that a mail header could read as more."""

from __future__ import annotations

import re

PATTERN = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64})*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)
"""One addr-spec (RFC 5321, 4.1.2) in ASCII, without quoted parts, comments, literals or groups."""
MAX_LENGTH = 254

_ADDRESS = re.compile(PATTERN)


def is_mail_address(text: str) -> bool:
    """Whether this is exactly one address to which a mail can be sent."""
    return len(text) <= MAX_LENGTH and _ADDRESS.fullmatch(text) is not None
