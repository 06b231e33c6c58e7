"""Search for the timeline: what happened to whom, newest first, page by page, with a bound on what one page reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, or_, select

from aizen_hub.audit.event_texts import KIND_EVENTS, EventKind
from aizen_hub.audit.search import AuditFilter, row_to_json
from aizen_hub.audit.timeline import event_of
from aizen_hub.store import tables
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

MAX_EXAMINED = 4_000
"""Rows in which one page looks for a text; where few match, the reader continues from there."""
_PLACE = re.compile(r"([0-9]{1,18})~([0-9]{1,18})~([ -~]{1,100})")
_audit = tables.audit.c
_ORDER = (_audit.at.desc(), _audit.writer, _audit.number.desc())


class TimelineCursor(NamedTuple):
    """A row of the audit, after which a page begins."""

    at: datetime
    writer: str
    number: int

    def encode(self) -> str:
        """Return it for an address."""
        return f"{to_microseconds(self.at)}~{self.number}~{self.writer}"

    @classmethod
    def parse(cls, text: str) -> TimelineCursor:
        """Return the cursor that an address names; ValueError for any other text."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError("not a cursor")
        try:
            return cls(from_microseconds(int(match[1])), match[3], int(match[2]))
        except OverflowError:
            raise ValueError("not a time") from None


@dataclass(frozen=True, slots=True)
class TimelineQuery:
    """What the timeline shows.

    Attributes
    ----------
    rows : AuditFilter
        Times, project, and the projects that the reader may read.
    about : str or None
        An identity, ``kind:name``: what it did and what was done to it.
    kind : EventKind or None
    text : str
        A part of the command, a reason, a name or an id, in any case.
    """

    rows: AuditFilter
    about: str | None = None
    kind: EventKind | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """One page of records.

    Attributes
    ----------
    next : TimelineCursor or None
        Where the next page begins; None at the end of the audit.
    is_complete : bool
        False where the bound on rows ended the page, so that it may have few records, or none.
    examined_until : datetime or None
        The time of the oldest row that was read, where the bound ended the page.
    """

    records: tuple[dict[str, Any], ...]
    next: TimelineCursor | None
    is_complete: bool
    examined_until: datetime | None


def read_timeline(
    conn: Connection, query: TimelineQuery, after: TimelineCursor | None = None, *, limit: int = 60
) -> TimelinePage:
    """Return the records that match, newest first.

    The database looks for texts in the rows of one window; what is left is matched exactly here.
    """
    conditions = query.rows.conditions()
    if query.kind is not None and query.kind is not EventKind.REFUSAL:
        # A refusal can be of any event, so it is not known by its name.
        events = KIND_EVENTS[query.kind] | ({"decision"} if query.kind is EventKind.ROUTINE else frozenset())
        conditions.append(_audit.event.in_(sorted(events)))
    if after is not None:
        conditions.append(_is_after(after))
    end: TimelineCursor | None = None
    texts = _text_conditions(conn, query)
    if texts:
        end = _end_of_window(conn, conditions)
        if end is not None:
            # The bound on the time alone is what ends the read of the index.
            conditions += [_audit.at >= end.at, ~_is_after(end)]
    newest = select(tables.audit).where(*conditions, *texts).order_by(*_ORDER)
    rows = conn.execute(newest.limit(limit + 1)).all()
    records = tuple(record for record in map(row_to_json, rows[:limit]) if _matches(record, query))
    if len(rows) > limit:
        last = rows[limit - 1]
        return TimelinePage(records, TimelineCursor(last.at, last.writer, last.number), True, None)
    return TimelinePage(records, end, end is None, None if end is None else end.at)


def _end_of_window(conn: Connection, conditions: Sequence[ColumnElement[bool]]) -> TimelineCursor | None:
    """Return the last one of the `MAX_EXAMINED` newest rows with these conditions; None where there are fewer."""
    # The time alone is read from the index, without the rows; their order within one microsecond is read for that one.
    times = select(_audit.at).where(*conditions).order_by(_audit.at.desc())
    at = conn.execute(times.offset(MAX_EXAMINED - 1).limit(1)).scalar()
    if at is None:
        return None
    same_time = select(_audit.writer, _audit.number).where(*conditions, _audit.at == at).order_by(*_ORDER[1:])
    rows = conn.execute(same_time.limit(2)).all()
    if len(rows) > 1:
        newer = conn.execute(select(func.count()).where(*conditions, _audit.at > at)).scalar_one()
        rows = conn.execute(same_time.offset(MAX_EXAMINED - 1 - newer).limit(1)).all()
    return TimelineCursor(at, rows[0].writer, rows[0].number)


def mentions(record: dict[str, Any], identity: str) -> bool:
    """Return whether an identity did what is recorded, or whether it was done to it."""
    return identity in (record.get("identity"), record.get("acting")) or is_target(record, identity)


def is_target(record: dict[str, Any], identity: str) -> bool:
    """Return whether what is recorded was done to an identity."""
    kind, _, name = identity.partition(":")
    details = record.get("details")
    if not isinstance(details, dict):
        return False
    own_key = {"user": "user", "group": "group", "service-account": "account"}.get(kind)
    return any(value == identity or (key == own_key and value == name) for key, value in details.items())


def _text_conditions(conn: Connection, query: TimelineQuery) -> list[ColumnElement[bool]]:
    """Return conditions that the bodies of all matching rows fulfil; without any, no text is looked for."""
    conditions = [] if not query.text else [_contains_in_any_case(conn, query.text)]
    if query.about is not None:
        conditions.append(_contains_exactly(conn, _in_json(query.about.partition(":")[2])))
    if query.kind is EventKind.REFUSAL:
        conditions.append(_contains_exactly(conn, '"allowed":false'))
    return conditions


def _in_json(text: str) -> str:
    """Return a text as it is written in bodies, which are ASCII JSON: other characters are escaped there."""
    return json.dumps(text)[1:-1]


def _contains_in_any_case(conn: Connection, text: str) -> ColumnElement[bool]:
    needle = _in_json(text.lower()).lower()
    if conn.dialect.name == "sqlite":
        # SQLite's LIKE ignores the case of ASCII letters by itself; lower() would write a copy of each body.
        return cast(_audit.body, Text).contains(needle, autoescape=True)
    return func.lower(func.convert_from(_audit.body, "UTF8")).contains(needle, autoescape=True)


def _contains_exactly(conn: Connection, needle: str) -> ColumnElement[bool]:
    if conn.dialect.name == "sqlite":
        return func.instr(_audit.body, needle.encode("ascii")) > 0
    return func.strpos(func.convert_from(_audit.body, "UTF8"), needle) > 0


def _matches(record: dict[str, Any], query: TimelineQuery) -> bool:
    if query.about is not None and not mentions(record, query.about):
        return False
    return query.kind is None or event_of(record).kind is query.kind


def _is_after(cursor: TimelineCursor) -> Any:
    # With `at <` and `at =` as alternatives, SQLite would read all rows of each by an index of its own, and sort them.
    return and_(
        _audit.at <= cursor.at,
        or_(
            _audit.at != cursor.at,
            _audit.writer > cursor.writer,
            and_(_audit.writer == cursor.writer, _audit.number < cursor.number),
        ),
    )
