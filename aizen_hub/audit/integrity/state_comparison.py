"""The store compared with its own history: what no recorded change explains was put there by somebody else (T-38).

Every change record is bound to the audit row of its transaction by a hash, so a record cannot be changed or added
without breaking the chain. Replaying the records gives what the tables must hold. Compared is everything that gives,
takes or opens access; `coverage.COVERAGE` says of every table whether it is, and of the others why not.

Where the audit rows are sealed, the seal holds one hash over the change records that they vouched for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, Table, func, select

from aizen_hub.audit.archive.manifest import NO_CHANGES, Seals, fold
from aizen_hub.audit.integrity.change_replay import History
from aizen_hub.store import tables
from aizen_hub.store.audit_log.change_records import joined, part_of, plain
from aizen_hub.store.audit_log.covered_tables import COVERAGE, DATED, LONGEST, Compared
from aizen_hub.store.audit_log.record import CHANGE, canonical
from aizen_hub.validation.printable import show

_PAGE = 1_000
MAX_DIFFERENCES = 1_000
SKEW = timedelta(seconds=30)
"""How far the store's clock may have gone back since a moment was written (R135)."""
_NOTHING: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where store and history disagree.

    Attributes
    ----------
    what : str
        ``change``, ``date``, or what `coverage.COVERAGE` calls a row of the table.
    sentence : str
        Names the place, and what differs.
    """

    what: str
    sentence: str


def compare(conn: Connection, seals: Seals | None = None, sealed: Mapping[str, str] | None = None) -> list[Difference]:
    """Replay every change record and compare the result with the tables, in one consistent view of the store.

    Parameters
    ----------
    seals : Seals, optional
        The audit rows up to the last one are not in the database any more.
    sealed : mapping, optional
        By audit id, the hashes of change records that sealed rows vouch for, from their files. Without them a wrong
        record is found, but only known to be one of its seal's.

    Returns
    -------
    list of Difference
        Empty if the store is what its history says; at most 1,000.
    """
    history = History()
    differences = chain(
        _replay(conn, history, seals or Seals(), sealed or {}),
        *(_compare(conn, name, spec, history) for name, spec in COVERAGE.items() if isinstance(spec, Compared)),
        _dated(conn),
    )
    return list(islice(differences, MAX_DIFFERENCES))


class _Sealed:
    """Compares the records before each seal with the one hash that it holds over them."""

    def __init__(self, seals: Seals) -> None:
        self._left = list(reversed(seals.seals))
        self._since = 1
        self._hash = NO_CHANGES

    def take(self, digest: str) -> None:
        self._hash = fold(self._hash, [digest])

    def passed(self, revision: int) -> Iterator[Difference]:
        """Judge the seals that end before a revision."""
        while self._left and self._left[-1].revision < revision:
            seal = self._left.pop()
            if seal.changes != self._hash:
                span = f"of revisions {self._since} to {seal.revision}"
                sentence = (
                    f"the records {span} are not those that were sealed; the file of seal {seal.number} tells more"
                )
                yield Difference("change", sentence)
            self._since, self._hash = seal.revision + 1, seal.changes


def record_hash(revision: int, payload: Any, touches: Any) -> str:
    """Return the hash by which an audit row vouches for a change record."""
    return hashlib.sha256(canonical([revision, payload, touches]).encode()).hexdigest()


def _replay(conn: Connection, history: History, seals: Seals, sealed: Mapping[str, str]) -> Iterator[Difference]:
    expected, behind = None, _Sealed(seals)
    last = None if seals.last is None else seals.last.revision
    for row, stated_here in _records(conn):
        yield from behind.passed(row.revision)
        digest = record_hash(row.revision, row.payload, row.touches)
        stated = sealed.get(row.audit_id) or stated_here
        covered = last is not None and row.revision <= last
        if covered:
            behind.take(digest)
        vouched = stated == digest or (covered and stated is None)
        if expected is not None and row.revision != expected and not (vouched and _restored(row, expected)):
            yield Difference("change", f"the records of revisions {expected} to {row.revision - 1} are missing")
        expected = row.revision + 1
        if not vouched:
            # What nobody vouches for is not replayed: it may hold anything.
            yield Difference("change", f"the record of revision {row.revision} is not the one that was audited")
            continue
        for one in row.payload:
            history.take(one)
    present = conn.execute(select(tables.revision.c.value)).scalar() or 0
    yield from behind.passed(present + 1)
    if expected is not None and expected != present + 1:
        yield Difference("change", f"the store shows revision {present}, its records end at {expected - 1}")


def _restored(row: Any, expected: int) -> bool:
    # After a restored backup the revisions go on behind the last that was ever signed.
    return any(one["kind"] == "restored" and one["from"] == expected - 1 for one in row.payload)


def _records(conn: Connection) -> Iterator[tuple[Any, object]]:
    """Yield every record, with the hash that its audit row vouches for."""
    table, audit, last = tables.changes, tables.audit, -1
    while True:
        query = select(table).where(table.c.revision > last).order_by(table.c.revision).limit(_PAGE)
        page = conn.execute(query).all()
        if not page:
            return
        bodies = select(audit.c.id, audit.c.body).where(audit.c.id.in_([row.audit_id for row in page]))
        stated = {row.id: _stated(row.body) for row in conn.execute(bodies)}
        for row in page:
            yield row, stated.get(row.audit_id)
        last = page[-1].revision


def _stated(body: bytes) -> object:
    try:
        return json.loads(bytes(body))["details"][CHANGE]
    except (ValueError, KeyError, TypeError):
        return None


def _compare(conn: Connection, name: str, spec: Compared, history: History) -> Iterator[Difference]:
    owners, begin, end = history.of(name), 1 + len(spec.owner), 1 + len(spec.owner) + len(spec.part)
    for row in rows_of(conn, tables.metadata.tables[name], spec):
        owner, values = joined(row[1:begin]), row[end:]
        part = part_of(spec, owner, row[begin:end])
        recorded = owners.get(owner, _NOTHING).pop(part, None)
        if recorded is None:
            yield Difference(spec.what, f"{spec.name(owner, part)} stands in the store, but no change put it there")
            continue
        pairs = zip(spec.values, values, recorded, strict=True)
        wrong = [
            one.name
            for one, value, known in pairs
            if (value or known is not None) and plain(spec, owner, one.name, value) != known
        ]
        if wrong:
            columns = ", ".join(f"`{one}`" for one in wrong)
            sentence = f"{spec.name(owner, part)} is not as it was recorded: {columns}"
            yield Difference(spec.what, sentence)
    for owner, parts in owners.items():
        for part in parts:
            yield Difference(spec.what, f"{spec.name(owner, part)} is gone from the store without a change")


def rows_of(conn: Connection, table: Table, spec: Compared) -> Iterator[Any]:
    """Yield the rows that count, page by page: a number, then the columns of owner, part and values."""
    (number,) = table.primary_key.columns
    columns = (number, *spec.owner, *spec.part, *spec.values)
    query = select(*(one.label(f"c{at}") for at, one in enumerate(columns))).select_from(spec.source).order_by(number)
    if spec.where is not None:
        query = query.where(spec.where)
    page = conn.execute(query.limit(_PAGE)).all()
    while page:
        yield from page
        page = conn.execute(query.where(number > page[-1][0]).limit(_PAGE)).all()


def _dated(conn: Connection) -> Iterator[Difference]:
    if conn.dialect.name == "postgresql":
        now: datetime = conn.execute(select(func.clock_timestamp())).scalar_one()
    else:
        now = datetime.now(UTC)
    for what, (source, name, at) in DATED.items():
        query = select(name, at).select_from(source).where(at > now + SKEW).order_by(name).limit(MAX_DIFFERENCES)
        for who, when in conn.execute(query):
            sentence = f"the {what} of {show(who, LONGEST)} is dated {when.isoformat()}, which is still to come"
            yield Difference("date", sentence)
