"""The audit record of one event, encoded as canonical JSON of bounded size."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.store.timestamps import to_microseconds

MAX_TEXT = 1_024
MAX_COMMAND = 8_192  # the maximum length of a command (R88)
MAX_BYTES = 32_768
CHANGE_HASH = "change"
"""Key of the detail that holds the hash of the change record; never truncated (T-38)."""
_HARD_LIMIT = 8 * MAX_BYTES  # more than the sum of all bounded texts
_MAX_MEMBERS = 1_000
_MAX_DEPTH = 6
_MAX_VIA = 32
_EVENT = re.compile(r"[a-z][a-z0-9.-]{0,39}")

_MAX_FLAT_MEMBERS = 8
_RANDOM_BYTES = 16
_VALUES_PER_DRAW = 256

_quoted = json.encoder.encode_basestring_ascii
canonical_json = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def new_record_id(at: datetime) -> str:
    """Return a new id: the time, so that new ids are adjacent in an index, then 128 random bits (R57)."""
    return f"{to_microseconds(at):014x}{_random_value()}"


def _random_value() -> str:
    # The system's generator is asked for many values at once: each call lets another thread take the interpreter, which
    # the decision thread then has to wait for.
    while True:
        try:
            return _random_values.popleft()
        except IndexError:
            drawn = os.urandom(_VALUES_PER_DRAW * _RANDOM_BYTES).hex()
            length = 2 * _RANDOM_BYTES
            _random_values.extend(drawn[start : start + length] for start in range(0, len(drawn), length))


_random_values: deque[str] = deque()
os.register_at_fork(after_in_child=_random_values.clear)  # else both processes would use the same values


@dataclass(slots=True, kw_only=True)  # not frozen: that would double the cost of a record
class AuditRecord:
    """The record of one event (R94).

    Attributes
    ----------
    id : str
        The decision's id, or the event's own.
    at : datetime
        For information: the order is that of the numbers in the chain (R101).
    event : str
        Lower-case words, e.g. ``decision`` or ``role.granted``.
    identity, acting : str or None
        The identity whose rights count, and the one that sent the request on its behalf; ``kind:name``.
    allowed : bool or None
        None for an event that is not a decision.
    details : mapping
        Further fields of this kind of event: JSON, truncated to a bounded size.
    """

    id: str
    at: datetime
    event: str
    identity: str | None = None
    acting: str | None = None
    channel: str | None = None
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

    def encode(self) -> EncodedRecord:
        """Return the record as it is stored.

        Raises
        ------
        ValueError
            The event name is invalid, the details are not JSON, or the record exceeds the limit even when truncated.
        """
        if not _EVENT.fullmatch(self.event):
            raise ValueError(f"`{truncate(self.event, 60)}` is not the name of an audit event")
        at = to_microseconds(self.at)
        identity = None if self.identity is None else truncate(self.identity, 275)
        project = None if self.project is None else truncate(self.project, 255)
        details = (
            None if not self.details else _encode_flat(self.details) or canonical_json(_Truncator().copy(self.details))
        )
        body = self._body(at, identity, project, details, _quoted, _quoted)
        if len(body) > MAX_TEXT or "\\" in body or not body.isprintable():
            # Some text may be too long, or not printable: only now each is looked at, since most records are short.
            body = self._body(at, identity, project, details, _encode_text, _encode_command)
        if len(body) > MAX_BYTES:
            required = {CHANGE_HASH: self.details[CHANGE_HASH]} if CHANGE_HASH in self.details else {}
            omitted = canonical_json({"omitted-bytes": len(body), **required})
            body = self._body(at, identity, project, omitted, _encode_text, _encode_command)
            if len(body) > _HARD_LIMIT:
                raise ValueError(f"the audit record of `{self.event}` has {len(body)} bytes")
        return EncodedRecord(self.id, at, self.event, identity, project, body.encode("ascii"))

    def _body(
        self,
        at: int,
        identity: str | None,
        project: str | None,
        details: str | None,
        encode: Callable[[str], str],
        encode_command: Callable[[str], str],
    ) -> str:
        # The output of `canonical_json`, written member by member in sorted order. Every decision takes this path, and
        # most of a record is short texts.
        out = []
        if self.acting is not None:
            out.append(f'"acting":{encode(self.acting)}')
        if self.allowed is not None:
            out.append('"allowed":true' if self.allowed else '"allowed":false')
        if self.assignment is not None:
            out.append(f'"assignment":{encode(self.assignment)}')
        out.append(f'"at":{at}')
        if self.channel is not None:
            out.append(f'"channel":{encode(self.channel)}')
        if self.command is not None:
            out.append(f'"command":{encode_command(self.command)}')
        if details is not None:
            out.append(f'"details":{details}')
        out.append(f'"event":{_quoted(self.event)},"id":{_quoted(self.id)}')
        out.append(f'"identity":{"null" if identity is None else _quoted(identity)}')
        out.append(f'"project":{"null" if project is None else _quoted(project)}')
        if self.reason is not None:
            out.append(f'"reason":{encode(self.reason)}')
        if self.revision is not None:
            out.append(f'"revision":{self.revision}')
        if self.role is not None:
            out.append(f'"role":{encode(self.role)}')
        if self.sentence is not None:
            out.append(f'"sentence":{encode(self.sentence)}')
        if self.session is not None:
            out.append(f'"session":{encode(self.session)}')
        if self.source is not None:
            out.append(f'"source":{encode(self.source)}')
        if self.token_id is not None:
            out.append(f'"token_id":{encode(self.token_id)}')
        if self.via:
            out.append(f'"via":{canonical_json([truncate(group, 275) for group in self.via[:_MAX_VIA]])}')
        return "{" + ",".join(out) + "}"


def _encode_text(text: str) -> str:
    return _quoted(truncate(text, MAX_TEXT))


def _encode_command(text: str) -> str:
    return _quoted(truncate(text, MAX_COMMAND))


def _encode_flat(details: Mapping[str, Any]) -> str | None:
    """Return the JSON of a few short texts; None for anything else, which `_Truncator` handles."""
    if len(details) > _MAX_FLAT_MEMBERS:
        return None
    for name, value in details.items():
        if type(value) is not str or len(value) > MAX_TEXT or not value.isprintable():
            return None
        if type(name) is not str or len(name) > 255 or not name.isprintable():
            return None
    return "{" + ",".join([f"{_quoted(name)}:{_quoted(details[name])}" for name in sorted(details)]) + "}"


class EncodedRecord(NamedTuple):
    """A record ready to be chained: ``body``, and the columns that repeat parts of it for searching."""

    id: str
    at: int
    event: str
    identity: str | None
    project: str | None
    body: bytes


def recorded_change_hash(body: object) -> object:
    """Return the hash of the change record that the body of an audit row holds; None if there is none."""
    if not isinstance(body, bytes | memoryview):
        return None  # the row was manipulated: the verification of the chain reports it
    try:
        return json.loads(bytes(body))["details"][CHANGE_HASH]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def truncate(text: str, limit: int) -> str:
    """Return ``text`` as one printable line of at most ``limit`` characters, with a marker where it was cut (R99)."""
    if len(text) <= limit and text.isprintable():
        return text
    head = text[:limit]
    line = head if head.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in head)
    if len(line) <= limit and len(text) <= limit:
        return line
    marker = f"…({len(text)} characters)"
    return line[: limit - len(marker)] + marker


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x1_0000 else f"\\U{code:08x}"


class _Truncator:
    """Copies a JSON value up to a maximum number of members, at any depth."""

    def __init__(self) -> None:
        self._left = _MAX_MEMBERS

    def copy(self, value: Any, depth: int = _MAX_DEPTH) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str | Identity | Permission):
            return truncate(str(value), MAX_TEXT)
        if isinstance(value, datetime):
            return to_microseconds(value)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
            return self._list(value, depth)
        raise ValueError(f"an audit record cannot hold a {type(value).__name__}")

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, member in value.items():
            if self._left <= 0 or depth == 0:
                return {**out, "…": len(value) - len(out)}
            out[truncate(str(key), 255)] = self.copy(member, depth - 1)
        return out

    def _list(self, value: Sequence[Any] | Set[Any], depth: int) -> list[Any]:
        out: list[Any] = []
        for member in value if isinstance(value, Sequence) else sorted(value, key=str):
            if self._left <= 0 or depth == 0:
                return [*out, f"…({len(value)} members)"]
            out.append(self.copy(member, depth - 1))
        return out
