"""Which failures of a database are outages, and how they are told."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aizen_hub.problems import Unavailable

# By class name of PEP 249, since the PostgreSQL driver need not be installed. Constraint, data and programming errors
# are not among them: they are faults of ours and must be seen.
_OUTAGES = frozenset({"OperationalError", "InterfaceError", "InternalError", "DatabaseError"})
_FAULTS = frozenset({"IntegrityError", "DataError", "ProgrammingError", "NotSupportedError"})


def is_outage(error: BaseException) -> bool:
    """Tell whether the database failed us: locked, full, stalled, gone, or a conflict that a retry may solve."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        inner = error.orig
        return inner is not None and is_outage(inner)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        # A statement that SQLite cannot run, such as a missing column; its driver calls that operational, too.
        return False
    names = {one.__name__ for one in type(error).__mro__}
    return bool(names & _OUTAGES) and not names & _FAULTS


def unavailable(error: BaseException, *, indeterminate: bool = False) -> Unavailable:
    """Return the problem to raise instead; the driver's own words stay in the log, they may hold data (R98)."""
    if indeterminate:
        return Unavailable(
            "the answer of the database to the commit was lost: the change may have happened",
            remedy="ask again with the same idempotency key",
            more={"indeterminate": True},
        )
    return Unavailable("the database does not answer", remedy="try again in a moment")
