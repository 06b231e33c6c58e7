"""One entry of a directory, read with suspicion: bounded values, one where one is expected, and whether it is alive."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SUBJECTS = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID", "GUID")
"""Immutable ids, in the order in which they are tried."""

STATE = (
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
"""What tells that an account is disabled, locked or expired, in the directories known to us (R18)."""

MAX_VALUE = 1024
_DISABLED, _LOCKED = 0x2, 0x10
_NEVER = (0, 0x7FFF_FFFF_FFFF_FFFF)
_FILETIME_ZERO = datetime(1601, 1, 1, tzinfo=UTC)


class EntryRefused(ValueError):
    """A value that must be there once and readable is not (R21)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A directory entry.

    Attributes
    ----------
    dn : str
        As the directory wrote it.
    raw : mapping of str to sequence of bytes
        Attribute values by lower-case name.
    """

    dn: str
    raw: Mapping[str, Sequence[bytes]]

    def texts(self, attribute: str) -> tuple[str, ...]:
        """Return the readable values; over-long ones, undecodable ones and ones with control characters are dropped."""
        return tuple(text for value in self.raw.get(attribute.lower(), ()) if (text := _text(value)) is not None)

    def one(self, attribute: str, prefer: str | None = None) -> str:
        """Return the one value of an attribute; of several, the one that equals ``prefer`` but for letter case.

        Raises
        ------
        EntryRefused
            No value, an unreadable one, or several and none preferred.
        """
        values = self.texts(attribute)
        if len(values) == 1:
            return values[0]
        same = [value for value in values if prefer is not None and value.casefold() == prefer.casefold()]
        if len(same) == 1:
            return same[0]
        raise EntryRefused(f"`{attribute}` has {len(values)} readable values where one is needed")

    def first(self, attribute: str) -> str | None:
        """Return the first readable value of something that is only shown."""
        return next(iter(self.texts(attribute)), None)

    def subject(self, attribute: str = "") -> str:
        """Return the immutable id as text.

        Raises
        ------
        EntryRefused
            The directory shows none of the known ids, or the configured one is missing.
        """
        for name in (attribute,) if attribute else SUBJECTS:
            values = self.raw.get(name.lower(), ())
            if len(values) > 1:
                raise EntryRefused(f"`{name}` has {len(values)} values")
            if values:
                return _subject(name, values[0])
        raise EntryRefused(f"it shows no immutable id ({attribute or ', '.join(SUBJECTS)})")

    def shut(self, now: datetime) -> str | None:
        """Return why this account may not sign in, or None (R18).

        A value that cannot be read counts as shut: a directory that says something unknown about an account has not
        said that it is alive.
        """
        for attribute, judge in (
            ("userAccountControl", _uac),
            ("msDS-User-Account-Control-Computed", _uac),
            ("accountExpires", _account_expires),
            ("shadowExpire", _shadow_expire),
            ("pwdEndTime", _end_time),
        ):
            for value in self.raw.get(attribute.lower(), ()):
                try:
                    reason = judge(value.decode("ascii").strip(), now)
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
    """Return the search filter for an immutable id that `Entry.subject` made; ValueError if it cannot be one."""
    if attribute.lower() in ("objectguid", "guid"):
        data = uuid.UUID(subject).bytes_le if attribute.lower() == "objectguid" else bytes.fromhex(subject)
        return f"({attribute}=" + "".join(f"\\{byte:02x}" for byte in data) + ")"
    if not subject.isascii() or not all(char.isalnum() or char in "-_" for char in subject):
        raise ValueError("not an immutable id of a directory")
    return f"({attribute}={subject})"


def _subject(name: str, value: bytes) -> str:
    if name.lower() == "objectguid" and len(value) == 16:
        return str(uuid.UUID(bytes_le=value))
    if name.lower() == "guid":
        return value.hex()
    text = _text(value)
    if text is None or not text.isascii() or len(text) > 128:
        raise EntryRefused(f"`{name}` cannot be read")
    return text


def _text(value: bytes) -> str | None:
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if text and len(text) <= MAX_VALUE and text.isprintable() else None


def _uac(text: str, now: datetime) -> str | None:
    flags = int(text)
    return "disabled" if flags & _DISABLED else "locked" if flags & _LOCKED else None


def _account_expires(text: str, now: datetime) -> str | None:
    ticks = int(text)
    if ticks in _NEVER:
        return None
    return "expired" if _FILETIME_ZERO + timedelta(microseconds=ticks // 10) <= now else None


def _shadow_expire(text: str, now: datetime) -> str | None:
    days = int(text)
    return "expired" if 0 <= days <= int(now.timestamp()) // 86_400 else None


def _end_time(text: str, now: datetime) -> str | None:
    when = datetime.strptime(text.partition(".")[0].removesuffix("Z"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return "expired" if when <= now else None
