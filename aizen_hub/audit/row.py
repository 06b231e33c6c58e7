"""One audit row: what is known about an event, as bounded canonical JSON."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store.instant import to_microseconds

MAX_TEXT = 1_024
MAX_COMMAND = 8_192  # as long as a command may be (R88)
MAX_BYTES = 32_768
_HARD_LIMIT = 8 * MAX_BYTES  # more than all texts together can take
_MAX_MEMBERS = 1_000
_MAX_DEPTH = 6
_MAX_VIA = 32
_EVENT = re.compile(r"[a-z][a-z0-9.-]{0,39}")

canonical = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def row_id(at: datetime) -> str:
    """Return a new id: the time, so that neighbours lie together in an index, then 128 random bits (R57)."""
    return f"{to_microseconds(at):014x}{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """What is recorded about one event (R94).

    Attributes
    ----------
    id : str
        The decision's id, or the event's own.
    at : datetime
        Information only: the number in the chain says the order (R101).
    event : str
        Lower-case words, e.g. ``decision`` or ``role.granted``.
    identity, acting : str or None
        For whom, and who really sat there; ``kind:name``.
    allowed : bool or None
        None for an event that is no decision.
    details : mapping
        Whatever else belongs to this kind of event; must be JSON, is cut to a bounded size.
    """

    id: str
    at: datetime
    event: str
    identity: str | None = None
    acting: str | None = None
    road: str | None = None
    session: str | None = None
    project: str | None = None
    source: str | None = None
    token_id: str | None = None
    command: str | None = None
    allowed: bool | None = None
    reason: str | None = None
    sentence: str | None = None
    assignment: str | None = None
    role: str | None = None
    via: tuple[str, ...] = ()
    revision: int | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def encode(self) -> Encoded:
        """Return the row as it is stored.

        Raises
        ------
        ValueError
            The event is not a plain word, the details are not JSON, or the row stays over the limit even when cut.
        """
        if not _EVENT.fullmatch(self.event):
            raise ValueError(f"`{bounded(self.event, 60)}` is not the name of an audit event")
        at = to_microseconds(self.at)
        identity = None if self.identity is None else bounded(self.identity, 275)
        project = None if self.project is None else bounded(self.project, 255)
        known: dict[str, Any] = {"id": self.id, "at": at, "event": self.event, "identity": identity, "project": project}
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None:
                known[name] = value if len(value) <= MAX_TEXT and value.isprintable() else bounded(value, MAX_TEXT)
        if self.command is not None:
            known["command"] = bounded(self.command, MAX_COMMAND)
        if self.allowed is not None:
            known["allowed"] = self.allowed
        if self.revision is not None:
            known["revision"] = self.revision
        if self.via:
            known["via"] = [bounded(one, 275) for one in self.via[:_MAX_VIA]]
        if self.details:
            known["details"] = _Cutter().copy(self.details)
        body = canonical(known).encode("ascii")
        if len(body) > MAX_BYTES:
            known["details"] = {"omitted-bytes": len(body)}
            body = canonical(known).encode("ascii")
            if len(body) > _HARD_LIMIT:
                raise ValueError(f"the audit row of `{self.event}` has {len(body)} bytes")
        return Encoded(self.id, at, self.event, identity, project, body)


_TEXTS = (
    "acting", "road", "session", "source", "token_id", "reason", "sentence", "assignment", "role",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row ready to be chained: its columns, repeated from ``body`` for searching, and ``body`` itself."""

    id: str
    at: int
    event: str
    identity: str | None
    project: str | None
    body: bytes


def bounded(text: str, limit: int) -> str:
    """Return ``text`` as one printable line of at most ``limit`` characters, with a mark where it was cut (R99)."""
    if len(text) <= limit and text.isprintable():
        return text
    head = text[:limit]
    line = head if head.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in head)
    if len(line) <= limit and len(text) <= limit:
        return line
    mark = f"…({len(text)} characters)"
    return line[: limit - len(mark)] + mark


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x1_0000 else f"\\U{code:08x}"


class _Cutter:
    """Copies a JSON value and stops after so many members, however they are nested."""

    def __init__(self) -> None:
        self._left = _MAX_MEMBERS

    def copy(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str | Identity | Permission):
            return bounded(str(value), MAX_TEXT)
        if isinstance(value, datetime):
            return to_microseconds(value)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
            return self._list(value, depth)
        raise ValueError(f"an audit row cannot hold a {type(value).__name__}")

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, one in value.items():
            if self._left <= 0 or depth == 0:
                return {**out, "…": len(value) - len(out)}
            out[bounded(str(key), 255)] = self.copy(one, depth - 1)
        return out

    def _list(self, value: Sequence[Any] | Set[Any], depth: int) -> list[Any]:
        out: list[Any] = []
        for one in value if isinstance(value, Sequence) else sorted(value, key=str):
            if self._left <= 0 or depth == 0:
                return [*out, f"…({len(value)} members)"]
            out.append(self.copy(one, depth - 1))
        return out
