"""Directory entry: bounded values, single values where one is expected, and the state of the account."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SUBJECT_ATTRIBUTES = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID", "GUID")
"""Attributes with immutable ids, in the order in which they are tried."""

STATE_ATTRIBUTES = (
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "accountExpires",
    "pwdAccountLockedTime",
    "pwdEndTime",
    "shadowExpire",
    "nsAccountLock",
    "ds-pwp-account-disabled",
    "loginDisabled",
)
"""Attributes that mark an account as disabled, locked or expired, in the supported directories (R18)."""

MAX_VALUE_LENGTH = 1024
_DISABLED, _LOCKED = 0x2, 0x10
_NEVER = (0, 0x7FFF_FFFF_FFFF_FFFF)
_FILETIME_ZERO = datetime(1601, 1, 1, tzinfo=UTC)


class EntryError(ValueError):
    """A required value is missing, ambiguous or unreadable (R21)."""


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A directory entry.

    Attributes
    ----------
    dn : str
        As the directory returned it.
    raw : mapping of str to sequence of bytes
        Attribute values by lower-case name.
    """

    dn: str
    raw: Mapping[str, Sequence[bytes]]

    def text_values(self, attribute: str) -> tuple[str, ...]:
        """Return the readable values; too long, undecodable and unprintable ones are dropped."""
        return tuple(text for value in self.raw.get(attribute.lower(), ()) if (text := _to_text(value)) is not None)

    def single_value(self, attribute: str, prefer: str | None = None) -> str:
        """Return the only value of an attribute; of several, the one that equals ``prefer`` except for letter case.

        Raises
        ------
        EntryError
            No value, an unreadable one, or several and none preferred.
        """
        values = self.text_values(attribute)
        if len(values) == 1:
            return values[0]
        matching = [value for value in values if prefer is not None and value.casefold() == prefer.casefold()]
        if len(matching) == 1:
            return matching[0]
        raise EntryError(f"`{attribute}` has {len(values)} readable values where one is needed")

    def first_value(self, attribute: str) -> str | None:
        """Return the first readable value, for display."""
        return next(iter(self.text_values(attribute)), None)

    def subject(self, attribute: str = "") -> str:
        """Return the immutable id as text.

        Raises
        ------
        EntryError
            The entry has none of the known ids, or not the configured one.
        """
        for name in (attribute,) if attribute else SUBJECT_ATTRIBUTES:
            values = self.raw.get(name.lower(), ())
            if len(values) > 1:
                raise EntryError(f"`{name}` has {len(values)} values")
            if values:
                return _to_subject(name, values[0])
        raise EntryError(f"it has no immutable id ({attribute or ', '.join(SUBJECT_ATTRIBUTES)})")

    def disabled_reason(self, now: datetime) -> str | None:
        """Return why this account may not sign in, or None (R18).

        A value that cannot be parsed counts as disabled: the account is not known to be active.
        """
        for attribute, reason_of in (
            ("userAccountControl", _account_control_reason),
            ("msDS-User-Account-Control-Computed", _account_control_reason),
            ("accountExpires", _account_expires_reason),
            ("shadowExpire", _shadow_expire_reason),
            ("pwdEndTime", _end_time_reason),
        ):
            for value in self.raw.get(attribute.lower(), ()):
                try:
                    reason = reason_of(value.decode("ascii").strip(), now)
                except (ValueError, OverflowError):
                    reason = "in an unknown state"
                if reason:
                    return reason
        if any(self.raw.get("pwdaccountlockedtime", ())):
            return "locked"
        for attribute in ("nsAccountLock", "ds-pwp-account-disabled", "loginDisabled"):
            if any(value.strip().lower() != b"false" for value in self.raw.get(attribute.lower(), ())):
                return "disabled"
        return None


def subject_filter(attribute: str, subject: str) -> str:
    """Return the search filter for an immutable id of `DirectoryEntry.subject`; ValueError for any other text."""
    if attribute.lower() in ("objectguid", "guid"):
        data = uuid.UUID(subject).bytes_le if attribute.lower() == "objectguid" else bytes.fromhex(subject)
        return f"({attribute}=" + "".join(f"\\{byte:02x}" for byte in data) + ")"
    if not subject.isascii() or not all(char.isalnum() or char in "-_" for char in subject):
        raise ValueError("not an immutable id of a directory")
    return f"({attribute}={subject})"


def _to_subject(name: str, value: bytes) -> str:
    if name.lower() == "objectguid" and len(value) == 16:
        return str(uuid.UUID(bytes_le=value))
    if name.lower() == "guid":
        return value.hex()
    text = _to_text(value)
    if text is None or not text.isascii() or len(text) > 128:
        raise EntryError(f"`{name}` cannot be read")
    return text


def _to_text(value: bytes) -> str | None:
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if text and len(text) <= MAX_VALUE_LENGTH and text.isprintable() else None


def _account_control_reason(text: str, now: datetime) -> str | None:
    flags = int(text)
    return "disabled" if flags & _DISABLED else "locked" if flags & _LOCKED else None


def _account_expires_reason(text: str, now: datetime) -> str | None:
    ticks = int(text)
    if ticks in _NEVER:
        return None
    return "expired" if _FILETIME_ZERO + timedelta(microseconds=ticks // 10) <= now else None


def _shadow_expire_reason(text: str, now: datetime) -> str | None:
    days = int(text)
    return "expired" if 0 <= days <= int(now.timestamp()) // 86_400 else None


def _end_time_reason(text: str, now: datetime) -> str | None:
    end = datetime.strptime(text.partition(".")[0].removesuffix("Z"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return "expired" if end <= now else None
