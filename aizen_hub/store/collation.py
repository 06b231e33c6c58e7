"""Order of texts in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ReadTransaction


def in_code_points(tx: ReadTransaction, column: Any) -> Any:
    """Return a column that is ordered by code points, like Python and SQLite.

    PostgreSQL would use the collation of the database, in which `a-b` may be between `ab` and `ac`.
    """
    return column.collate("C") if tx.conn.dialect.name == "postgresql" else column
