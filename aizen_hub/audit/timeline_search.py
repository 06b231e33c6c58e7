"""Search for the timeline: what happened to whom, newest first, page by page, with a bound on what one page reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, or_, select

from aizen_hub.audit.event_texts import KIND_EVENTS, EventKind
from aizen_hub.audit.search import AuditFilter, row_to_json
from aizen_hub.audit.timeline import event_of
from aizen_hub.store import tables
from aizen_hub.store.timestamps import from_microseconds, to_microseconds

MAX_EXAMINED = 10_000
"""Rows in which one page looks for a text; where few match, the reader continues from there."""
_PLACE = re.compile(r"([0-9]{1,18})~([0-9]{1,18})~([ -~]{1,100})")
_audit = tables.audit.c
_ORDER = (_audit.at.desc(), _audit.writer, _audit.number.desc())


class Place(NamedTuple):
    """A row of the audit, after which a page begins."""

    at: datetime
    writer: str
    number: int

    def encode(self) -> str:
        """Return it for an address."""
        return f"{to_microseconds(self.at)}~{self.number}~{self.writer}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Return the place that an address names; ValueError for any other text."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError("not a place")
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
    next : Place or None
        Where the next page begins; None at the end of the audit.
    is_complete : bool
        False where the bound on rows ended the page, so that it may have few records, or none.
    examined_until : datetime or None
        The time of the oldest row that was read, where the bound ended the page.
    """

    records: tuple[dict[str, Any], ...]
    next: Place | None
    is_complete: bool
    examined_until: datetime | None


def read_timeline(
    conn: Connection, query: TimelineQuery, after: Place | None = None, *, limit: int = 60
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
    needles = _needles(query)
    ordered = select(tables.audit).where(*conditions).order_by(*_ORDER)
    if needles:
        window = ordered.limit(MAX_EXAMINED).subquery()
        text = _body_text(conn, window.c.body)
        found = select(window).where(*(text.contains(needle, autoescape=True) for needle in needles))
        rows = conn.execute(
            found.order_by(window.c.at.desc(), window.c.writer, window.c.number.desc()).limit(limit + 1)
        ).all()
    else:
        rows = conn.execute(ordered.limit(limit + 1)).all()
    records = [record for record in map(row_to_json, rows[:limit]) if _matches(record, query)]
    if len(rows) > limit:
        return TimelinePage(
            tuple(records), Place(rows[limit - 1].at, rows[limit - 1].writer, rows[limit - 1].number), True, None
        )
    if not needles:
        return TimelinePage(tuple(records), None, True, None)
    last = conn.execute(
        select(_audit.at, _audit.writer, _audit.number)
        .where(*conditions)
        .order_by(*_ORDER)
        .offset(MAX_EXAMINED - 1)
        .limit(1)
    ).first()
    place = None if last is None else Place(last.at, last.writer, last.number)
    return TimelinePage(tuple(records), place, place is None, None if place is None else place.at)


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


def _needles(query: TimelineQuery) -> list[str]:
    """Return texts that the body of every matching row contains, in lower case."""
    texts = [query.text.lower()] if query.text else []
    if query.about is not None:
        texts.append(query.about.partition(":")[2].lower())
    # Bodies are ASCII JSON: other characters are escaped there.
    needles = [json.dumps(text)[1:-1].lower() for text in texts]
    return [*needles, '"allowed":false'] if query.kind is EventKind.REFUSAL else needles


def _body_text(conn: Connection, body: ColumnElement[Any]) -> ColumnElement[str]:
    if conn.dialect.name == "sqlite":
        return func.lower(cast(body, Text))
    return func.lower(func.convert_from(body, "UTF8"))


def _matches(record: dict[str, Any], query: TimelineQuery) -> bool:
    if query.about is not None and not mentions(record, query.about):
        return False
    return query.kind is None or event_of(record).kind is query.kind


def _is_after(place: Place) -> Any:
    # With `at <` and `at =` as alternatives, SQLite would read all rows of each by an index of its own, and sort them.
    return and_(
        _audit.at <= place.at,
        or_(
            _audit.at != place.at,
            _audit.writer > place.writer,
            and_(_audit.writer == place.writer, _audit.number < place.number),
        ),
    )
