"""The audit as a timeline: one sentence an event, routine events folded, equal refusals in a row counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from aizen_hub.audit import event_texts
from aizen_hub.audit.event_texts import EventKind, EventText
from aizen_hub.audit.value_words import VALUE_WORDS
from aizen_hub.rbac.messages import describe_limit
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.timestamps import from_microseconds
from aizen_hub.validation.printable import excerpt

_PIECE = re.compile(r"\[([^\]]*)\]|([^\[]+)")
_FIELD = re.compile(r"\{([a-z-]+)\}")
_MAX_PLAIN, _MAX_NAME = 200, 300
_IDENTITIES = frozenset({"actor", "target", "identity", "member", "asked-by", "by", "subject"})
_NAMED_IDENTITIES = {"user": "user", "group": "group", "account": "service-account"}
_TIMES = frozenset({"until", "from", "ends", "deadline", "former-until"})
_SERVICE = "service-account:aizen-hub"
_ACTORS = {_SERVICE: None, "service-account:operator": "an operator"}
"""Who acts on the operator's channel, in words; None: the service itself."""
_CHANNELS = {
    "kernel": "from a notebook",
    "cli": "from the command line",
    "service-account": "by a program",
    "operator": "on the service's machine",
    "policy": "by a policy file",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sentence.

    Attributes
    ----------
    kind : str
        ``text``, ``identity``, ``role``, ``project``, ``time`` or ``command``: how a page shows it.
    value : Any
        A text; of a time a datetime.
    """

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One event, or several equal refusals in a row.

    Attributes
    ----------
    parts : tuple of Part
        The sentence.
    reason : str
        What was written for people: the reason or comment of a change, the sentence of a refusal.
    channel : str
        Where it came from, where that is worth saying.
    count : int
        Of equal refusals; ``since`` is the time of the first of them.
    record : mapping
        The whole record of the newest of them.
    """

    id: str
    at: datetime
    kind: EventKind
    icon: str
    parts: tuple[Part, ...]
    reason: str
    channel: str
    record: Mapping[str, Any]
    count: int = 1
    since: datetime | None = None

    @property
    def text(self) -> str:
        """The sentence as text, for exports and the command line."""
        return "".join(map(_as_text, self.parts))


@dataclass(slots=True)
class RoutineStretch:
    """Routine events between two others, by kind of event."""

    events: list[TimelineEvent] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(event.count for event in self.events)


def build_timeline(records: Iterable[Mapping[str, Any]], *, fold: bool = True) -> list[TimelineEvent | RoutineStretch]:
    """Return records, newest first, as events with routine ones folded; see `extend_timeline`."""
    timeline: list[TimelineEvent | RoutineStretch] = []
    extend_timeline(timeline, records, fold=fold)
    return timeline


def extend_timeline(
    timeline: list[TimelineEvent | RoutineStretch], records: Iterable[Mapping[str, Any]], *, fold: bool = True
) -> None:
    """Add older records, newest first, to a timeline, as if it had been built of all of them.

    Parameters
    ----------
    fold : bool
        Whether routine events are folded; a filter that asks for them shows each.
    """
    for record in records:
        event = describe(record)
        last = timeline[-1] if timeline else None
        if fold and event.kind is EventKind.ROUTINE:
            if not isinstance(last, RoutineStretch):
                last = RoutineStretch()
                timeline.append(last)
            last.events.append(event)
        elif isinstance(last, TimelineEvent) and _are_equal_refusals(last, event):
            timeline[-1] = TimelineEvent(
                last.id,
                last.at,
                last.kind,
                last.icon,
                last.parts,
                last.reason,
                last.channel,
                last.record,
                last.count + 1,
                event.at,
            )
        else:
            timeline.append(event)


def group_by_day(
    timeline: Iterable[TimelineEvent | RoutineStretch],
) -> list[tuple[datetime, list[TimelineEvent | RoutineStretch]]]:
    """Return a timeline by days in UTC, each with a time on it."""
    days: list[tuple[datetime, list[TimelineEvent | RoutineStretch]]] = []
    for item in timeline:
        at = item.events[0].at if isinstance(item, RoutineStretch) else item.at
        if not days or days[-1][0].date() != at.date():
            days.append((at, []))
        days[-1][1].append(item)
    return days


def describe(record: Mapping[str, Any]) -> TimelineEvent:
    """Return one record of the audit as an event of the timeline."""
    text = event_of(record)
    values = _values(record)
    details = record.get("details") or {}
    reason = record.get("sentence") if text.kind is EventKind.REFUSAL else None
    written = reason or details.get("reason") or details.get("comment") or record.get("reason")
    is_code = (
        text.kind is not EventKind.REFUSAL and written == record.get("reason") and record.get("event") == "decision"
    )
    return TimelineEvent(
        str(record.get("id", "")),
        from_microseconds(record["at"]),
        text.kind,
        text.icon,
        tuple(_parts(text.template, values)),
        "" if is_code or not isinstance(written, str) else written,
        "" if _operator_name(record) == _SERVICE else _CHANNELS.get(str(record.get("channel")), ""),
        record,
    )


def event_of(record: Mapping[str, Any]) -> EventText:
    """Return the text of the event of a record."""
    name, allowed = record.get("event"), record.get("allowed")
    if name == "decision":
        has_command = isinstance(record.get("command"), str)
        if allowed:
            return event_texts.ALLOWED_DECISION if has_command else event_texts.ALLOWED_REQUEST
        return event_texts.REFUSED_DECISION if has_command else event_texts.REFUSED_REQUEST
    text = event_texts.EVENT_TEXTS.get(str(name))
    # An evaluation is about another identity: its denial refuses its actor nothing.
    if allowed is False and name != "evaluation" and (text is None or text.kind is not EventKind.REFUSAL):
        return event_texts.REFUSED_EVENT
    details = record.get("details") or {}
    for variant in event_texts.EVENT_VARIANTS.get(str(name), ()):
        if variant.field in details and details[variant.field] == variant.value:
            return variant.text
    return text or event_texts.UNKNOWN_EVENT


def _values(record: Mapping[str, Any]) -> dict[str, Any]:
    details = record.get("details")
    values = dict(details) if isinstance(details, Mapping) else {}
    values |= {name: record[name] for name in ("project", "command", "sentence", "event") if record.get(name)}
    values["actor"] = _ACTORS.get(_operator_name(record), record.get("acting") or record.get("identity"))
    values.setdefault("permission", "a page or a call" if record.get("event") == "decision" else None)
    if record.get("event", "").startswith("lock."):
        target, name = values.get("target"), values.get("name")
        values["locked"] = name if target == "identity" else None if name is None else f"{target} {name}"
        values["target"] = None
    if isinstance(values.get("catalog"), Mapping):
        values["catalog"] = f"{values['catalog'].get('name')} {values['catalog'].get('version')}"
    if values.get("changed") is True:
        values |= {name: values.get(name) or "no end" for name in ("former-until", "until")}
    for name in ("value", "before"):
        if "limit" in values and isinstance(values.get(name), (int, float)):
            values[name] = describe_limit(values[name], str(values["limit"]))
    return values


def _as_text(part: Part) -> str:
    if part.kind == "time":
        return f"{part.value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return "the whole system" if part.kind == "project" and part.value == SYSTEM else str(part.value)


def _operator_name(record: Mapping[str, Any]) -> str:
    return str(record.get("identity")) if record.get("channel") == "operator" else ""


class _Piece(NamedTuple):
    required: tuple[str, ...]  # the fields without which the piece is left out
    parts: tuple[tuple[str, str], ...]  # texts, each with the field after it; either may be empty


@lru_cache(maxsize=512)
def _pieces(template: str) -> tuple[_Piece, ...]:
    pieces = []
    for piece in _PIECE.finditer(template):
        optional, text = piece.groups()
        source = text if optional is None else optional
        # With a group in the pattern, the texts and the names of the fields alternate.
        texts = [*_FIELD.split(source), ""]
        required = () if optional is None else tuple(_FIELD.findall(optional))
        pieces.append(_Piece(required, tuple(zip(texts[::2], texts[1::2], strict=True))))
    return tuple(pieces)


def _parts(template: str, values: Mapping[str, Any]) -> Iterable[Part]:
    for piece in _pieces(template):
        if any(values.get(name) is None for name in piece.required):
            continue
        for text, name in piece.parts:
            if text:
                yield Part("text", text)
            if name:
                yield _part(name, values.get(name))


def _part(name: str, value: Any) -> Part:
    if value is None:
        return Part("text", "the service" if name == "actor" else "something")
    if name == "actor" and value in _ACTORS.values():
        return Part("text", str(value))
    if name in _IDENTITIES or (name == "locked" and ":" in str(value)):
        return Part("identity", excerpt(str(value), _MAX_NAME))
    if name in _NAMED_IDENTITIES:
        return Part("identity", excerpt(f"{_NAMED_IDENTITIES[name]}:{value}", _MAX_NAME))
    if name == "role":
        return Part("role", excerpt(str(value), _MAX_NAME))
    if name in ("project", "scope", "to"):
        return Part("project", excerpt(str(value), _MAX_NAME))
    if name in ("command", "key"):
        return Part("command", excerpt(str(value), _MAX_PLAIN))
    if name in _TIMES:
        moment = _time(value)
        return Part("text", excerpt(str(value))) if moment is None else Part("time", moment)
    if name == "what":
        # The summary of a change, for the command line: its names are in backticks.
        return Part("text", excerpt(str(value).replace("`user:", "").replace("`", ""), _MAX_PLAIN))
    words = VALUE_WORDS.get(name, {})
    each = value if isinstance(value, list) else [value]
    return Part("text", excerpt(", ".join(words.get(str(item), str(item)) for item in each), _MAX_PLAIN))


def _time(value: Any) -> datetime | None:
    if isinstance(value, int):
        return from_microseconds(value)
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _are_equal_refusals(first: TimelineEvent, second: TimelineEvent) -> bool:
    return first.kind is second.kind is EventKind.REFUSAL and (first.parts, first.reason, first.channel) == (
        second.parts,
        second.reason,
        second.channel,
    )
