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
from aizen_hub.store.timestamps import to_microseconds

MAX_TEXT = 1_024
MAX_COMMAND = 8_192  # as long as a command may be (R88)
MAX_BYTES = 32_768
CHANGE = "change"
"""The detail with the hash of the change record that the row vouches for; never cut (T-38)."""
_HARD_LIMIT = 8 * MAX_BYTES  # more than all texts together can take
_MAX_MEMBERS = 1_000
_MAX_DEPTH = 6
_MAX_VIA = 32
_EVENT = re.compile(r"[a-z][a-z0-9.-]{0,39}")

_FEW = 8

_quoted = json.encoder.encode_basestring_ascii
canonical = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def row_id(at: datetime) -> str:
    """Return a new id: the time, so that neighbours lie together in an index, then 128 random bits (R57)."""
    return f"{to_microseconds(at):014x}{secrets.token_hex(16)}"


@dataclass(slots=True, kw_only=True)  # not frozen: that alone would take as long as all else that is done with it
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
        details = None if not self.details else _flat(self.details) or canonical(_Cutter().copy(self.details))
        body = self._body(at, identity, project, details)
        if len(body) > MAX_BYTES:
            kept = {CHANGE: self.details[CHANGE]} if CHANGE in self.details else {}
            body = self._body(at, identity, project, canonical({"omitted-bytes": len(body), **kept}))
            if len(body) > _HARD_LIMIT:
                raise ValueError(f"the audit row of `{self.event}` has {len(body)} bytes")
        return Encoded(self.id, at, self.event, identity, project, body)

    def _body(self, at: int, identity: str | None, project: str | None, details: str | None) -> bytes:
        # What `canonical` would make of it all, member by member in the order of their names: this is the path of every
        # decision, and most of a row is short texts.
        out = []
        if self.acting is not None:
            out.append(f'"acting":{_text(self.acting)}')
        if self.allowed is not None:
            out.append('"allowed":true' if self.allowed else '"allowed":false')
        if self.assignment is not None:
            out.append(f'"assignment":{_text(self.assignment)}')
        out.append(f'"at":{at}')
        if self.command is not None:
            out.append(f'"command":{_text(self.command, MAX_COMMAND)}')
        if details is not None:
            out.append(f'"details":{details}')
        out.append(f'"event":{_quoted(self.event)},"id":{_quoted(self.id)}')
        out.append(f'"identity":{"null" if identity is None else _quoted(identity)}')
        out.append(f'"project":{"null" if project is None else _quoted(project)}')
        if self.reason is not None:
            out.append(f'"reason":{_text(self.reason)}')
        if self.revision is not None:
            out.append(f'"revision":{self.revision}')
        if self.road is not None:
            out.append(f'"road":{_text(self.road)}')
        if self.role is not None:
            out.append(f'"role":{_text(self.role)}')
        if self.sentence is not None:
            out.append(f'"sentence":{_text(self.sentence)}')
        if self.session is not None:
            out.append(f'"session":{_text(self.session)}')
        if self.source is not None:
            out.append(f'"source":{_text(self.source)}')
        if self.token_id is not None:
            out.append(f'"token_id":{_text(self.token_id)}')
        if self.via:
            out.append(f'"via":{canonical([bounded(one, 275) for one in self.via[:_MAX_VIA]])}')
        return ("{" + ",".join(out) + "}").encode("ascii")


def _text(text: str, limit: int = MAX_TEXT) -> str:
    return _quoted(text if len(text) <= limit and text.isprintable() else bounded(text, limit))


def _flat(details: Mapping[str, Any]) -> str | None:
    """Return the JSON of a few short texts; None for anything else, which `_Cutter` looks through."""
    if len(details) > _FEW:
        return None
    for name, value in details.items():
        if type(value) is not str or len(value) > MAX_TEXT or not value.isprintable():
            return None
        if type(name) is not str or len(name) > 255 or not name.isprintable():
            return None
    return "{" + ",".join([f"{_quoted(name)}:{_quoted(details[name])}" for name in sorted(details)]) + "}"


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
