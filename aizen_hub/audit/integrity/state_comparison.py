"""Comparison of the store with its recorded changes: a row that no change explains was tampered with (T-38).

Every change record is bound to the audit record of its transaction by a hash, so none can be changed or added without
breaking the hash chain. A replay of all records gives what the tables must contain. Everything that gives, removes or
opens access is compared; `covered_tables.COVERAGE` says for every table whether it is, and why the others are not.

If the audit rows are archived, the archive manifest holds one hash over the change records that they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, Table, func, select

from aizen_hub.audit.archive.manifest import INITIAL_STATE, ArchiveManifests, fold_state
from aizen_hub.audit.integrity.change_replay import ChangeHistory
from aizen_hub.audit.integrity.stored_values import any_text, stored_columns
from aizen_hub.store import tables
from aizen_hub.store.audit_log.change_records import change_hash, join_key, recorded_value, row_key
from aizen_hub.store.audit_log.covered_tables import COVERAGE, MAX_NAME, MOVING_TIMESTAMPS, CoveredTable
from aizen_hub.store.audit_log.record import recorded_change_hash
from aizen_hub.validation.printable import excerpt

_PAGE = 1_000
MAX_DIFFERENCES = 1_000
MAX_CLOCK_SKEW = timedelta(seconds=30)
"""How far the store's clock may have been set back since a time was written (R135)."""
_NO_ROWS: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True, slots=True)
class StateDifference:
    """One difference between the store and its recorded changes.

    Attributes
    ----------
    kind : str
        ``change``, ``date``, or the kind of the table in `covered_tables.COVERAGE`.
    sentence : str
        Names the row and the difference.
    """

    kind: str
    sentence: str


def compare_state(
    conn: Connection, manifests: ArchiveManifests | None = None, archived_hashes: Mapping[str, str] | None = None
) -> list[StateDifference]:
    """Replay every change record and compare the result with the tables, in one snapshot of the store.

    Parameters
    ----------
    manifests : ArchiveManifests, optional
        The audit rows up to the newest manifest are no longer in the database.
    archived_hashes : mapping, optional
        By audit id, the hashes of change records that archived rows hold, from their files. Without them a changed
        record is found, but only the manifest that it belongs to is known.

    Returns
    -------
    list of StateDifference
        Empty if the store is what its changes say; at most 1,000.
    """
    history = ChangeHistory()
    differences = chain(
        _replay(conn, history, manifests or ArchiveManifests(), archived_hashes or {}),
        *(
            _compare_table(conn, name, spec, history)
            for name, spec in COVERAGE.items()
            if isinstance(spec, CoveredTable)
        ),
        _find_future_timestamps(conn),
    )
    with any_text(conn):
        return list(islice(differences, MAX_DIFFERENCES))


class _ArchivedStateCheck:
    """Compares the change records before each archive manifest with the one hash that it holds over them."""

    def __init__(self, manifests: ArchiveManifests) -> None:
        self._remaining = list(reversed(manifests.manifests))
        self._first_revision = 1
        self._state_hash = INITIAL_STATE

    def add(self, digest: str) -> None:
        """Add the hash of the next change record."""
        self._state_hash = fold_state(self._state_hash, [digest])

    def check_before(self, revision: int) -> Iterator[StateDifference]:
        """Check the manifests that end before a revision."""
        while self._remaining and self._remaining[-1].revision < revision:
            manifest = self._remaining.pop()
            if manifest.state_hash != self._state_hash:
                yield StateDifference(
                    "change",
                    f"the records of revisions {self._first_revision} to {manifest.revision} are not those that were"
                    f" archived; the file of archive manifest {manifest.number} shows which",
                )
            self._first_revision, self._state_hash = manifest.revision + 1, manifest.state_hash


def _replay(
    conn: Connection, history: ChangeHistory, manifests: ArchiveManifests, archived_hashes: Mapping[str, str]
) -> Iterator[StateDifference]:
    expected, archive_check = None, _ArchivedStateCheck(manifests)
    last_archived = None if manifests.newest is None else manifests.newest.revision
    for row, hash_in_database in _read_records(conn):
        yield from archive_check.check_before(row.revision)
        digest = change_hash(row.revision, row.payload, row.invalidates)
        audited_hash = archived_hashes.get(row.audit_id) or hash_in_database
        is_archived = last_archived is not None and row.revision <= last_archived
        if is_archived:
            archive_check.add(digest)
        is_audited = audited_hash == digest or (is_archived and audited_hash is None)
        if expected is not None and row.revision != expected and not (is_audited and _follows_restore(row, expected)):
            yield StateDifference("change", f"the records of revisions {expected} to {row.revision - 1} are missing")
        expected = row.revision + 1
        if not is_audited:
            # Not replayed: it may contain anything.
            yield StateDifference("change", f"the record of revision {row.revision} is not the one that was audited")
            continue
        for change in row.payload:
            history.apply(change)
    present = conn.execute(select(tables.revision.c.value)).scalar() or 0
    yield from archive_check.check_before(present + 1)
    if expected is not None and expected != present + 1:
        yield StateDifference("change", f"the store has revision {present}, its records end at {expected - 1}")


def _follows_restore(row: Any, expected: int) -> bool:
    # After a restored backup is accepted, revisions continue after the last one that was ever signed.
    return any(change["kind"] == "restored" and change["from"] == expected - 1 for change in row.payload)


def _read_records(conn: Connection) -> Iterator[tuple[Any, object]]:
    """Yield every change record with the hash that its audit row holds."""
    table, audit, last = tables.changes, tables.audit, -1
    while True:
        query = select(table).where(table.c.revision > last).order_by(table.c.revision).limit(_PAGE)
        page = conn.execute(query).all()
        if not page:
            return
        stored = stored_columns(audit.c.id, audit.c.body)
        bodies = select(*stored).where(audit.c.id.in_([row.audit_id for row in page]))
        hashes = {row.id: recorded_change_hash(row.body) for row in conn.execute(bodies)}
        for row in page:
            yield row, hashes.get(row.audit_id)
        last = page[-1].revision


def _compare_table(
    conn: Connection, name: str, spec: CoveredTable, history: ChangeHistory
) -> Iterator[StateDifference]:
    owners, begin, end = history.rows_of(name), 1 + len(spec.owner), 1 + len(spec.owner) + len(spec.part)
    for row in _read_rows(conn, tables.metadata.tables[name], spec):
        owner, values = join_key(row[1:begin]), row[end:]
        part = row_key(spec, owner, row[begin:end])
        recorded = owners.get(owner, _NO_ROWS).pop(part, None)
        if recorded is None:
            yield StateDifference(spec.kind, f"{spec.describe(owner, part)} is in the store, but no change recorded it")
            continue
        wrong = [
            column.name
            for column, value, known in zip(spec.values, values, recorded, strict=True)
            if (value or known is not None) and recorded_value(spec, owner, column.name, value) != known
        ]
        if wrong:
            columns = ", ".join(f"`{column}`" for column in wrong)
            yield StateDifference(spec.kind, f"{spec.describe(owner, part)} is not as it was recorded: {columns}")
    for owner, parts in owners.items():
        for part in parts:
            yield StateDifference(spec.kind, f"{spec.describe(owner, part)} is missing in the store, without a change")


def _read_rows(conn: Connection, table: Table, spec: CoveredTable) -> Iterator[Any]:
    """Yield the covered rows, page by page: the primary key, then the columns of owner, part and values."""
    (key,) = table.primary_key.columns
    columns = (key, *spec.owner, *spec.part, *spec.values)
    query = select(*(column.label(f"c{index}") for index, column in enumerate(columns)))
    query = query.select_from(spec.source).order_by(key)
    if spec.condition is not None:
        query = query.where(spec.condition)
    page = conn.execute(query.limit(_PAGE)).all()
    while page:
        yield from page
        page = conn.execute(query.where(key > page[-1][0]).limit(_PAGE)).all()


def _find_future_timestamps(conn: Connection) -> Iterator[StateDifference]:
    if conn.dialect.name == "postgresql":
        now: datetime = conn.execute(select(func.clock_timestamp())).scalar_one()
    else:
        now = datetime.now(UTC)
    for kind, (source, name, at) in MOVING_TIMESTAMPS.items():
        query = select(name, at).select_from(source).where(at > now + MAX_CLOCK_SKEW).order_by(name)
        for owner, time in conn.execute(query.limit(MAX_DIFFERENCES)):
            sentence = f"the {kind} of {excerpt(owner, MAX_NAME)} is dated {time.isoformat()}, in the future"
            yield StateDifference("date", sentence)
