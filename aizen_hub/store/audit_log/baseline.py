"""The baseline: what a database held when changes began to record what they write (T-38).

Changes of before do not say enough to be compared. What the tables held at the upgrade is recorded once, as a change
like any other: from then on nothing is missed, and what was done to the tables until then is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, insert, select, update

from aizen_hub.audit.integrity.state_comparison import record_hash, rows_of
from aizen_hub.store import tables
from aizen_hub.store.audit_log.change_records import Mark, altered, joined, put, rows
from aizen_hub.store.audit_log.covered_tables import COVERAGE, Compared
from aizen_hub.store.audit_log.hash_chain import Chain
from aizen_hub.store.audit_log.record import CHANGE, AuditRow, row_id

WRITER = "baseline"
_AT_ONCE = 1_000
_TOLD = frozenset({tables.revision.name, tables.keys.name})
"""Of which the changes of before tell all."""


def record(conn: Connection, now: datetime) -> int:
    """Record every row that is compared, in as many changes as it needs; return how many rows.

    Parameters
    ----------
    conn : Connection
        Inside the transaction of the upgrade: nobody else writes.
    """
    revision = conn.execute(select(tables.revision.c.value)).scalar_one()
    chain = Chain(WRITER, "?" if conn.dialect.name == "sqlite" else "%s")
    marks, count = _marks(conn), 0
    while some := list(islice(marks, _AT_ONCE)):
        revision += 1
        count += len(some)
        payload: list[dict[str, Any]] = [{"kind": "baseline", "rows": [list(one) for one in rows(*some)["rows"]]}]
        details = {CHANGE: record_hash(revision, payload, [])}
        row = AuditRow(id=row_id(now), at=now, event="changed", revision=revision, details=details)
        values = {"revision": revision, "kind": "baseline", "touches": [], "payload": payload}
        conn.execute(insert(tables.changes).values(at=now, audit_id=row.id, **values))
        chain.append(conn.connection.cursor(), [row.encode()])
    conn.execute(update(tables.revision).values(value=revision))
    return count


def _marks(conn: Connection) -> Iterator[Mark]:
    for name, spec in COVERAGE.items():
        if not isinstance(spec, Compared) or name in _TOLD:
            continue
        table = tables.metadata.tables[name]
        for row in rows_of(conn, table, spec):
            whose, part = row[1 : 1 + len(spec.owner)], row[1 + len(spec.owner) : 1 + len(spec.owner) + len(spec.part)]
            values = zip((one.name for one in spec.values), row[1 + len(spec.owner) + len(spec.part) :], strict=True)
            if table is not tables.assignments:
                yield put(table, joined(whose), dict(values), *part)
            elif dict(values)["mapped"]:
                yield altered(table, joined(whose), {"mapped": True}, *part)
