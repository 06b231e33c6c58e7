"""Classification of database errors: outages become `Unavailable`, all others are bugs."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aizen_hub.problems import Unavailable

# Class names of PEP 249, since the PostgreSQL driver need not be installed. Constraint, data and programming errors are
# bugs of this package and must not be hidden.
_OUTAGES = frozenset({"OperationalError", "InterfaceError", "InternalError", "DatabaseError"})
_BUGS = frozenset({"IntegrityError", "DataError", "ProgrammingError", "NotSupportedError"})


class UnusableDatabase(Unavailable):
    """The database is no longer the one that this process was started with: nothing is read from it or written."""


def is_outage(error: BaseException) -> bool:
    """Tell whether the database is locked, full, stalled or gone, or reports a conflict that a retry may solve."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        inner = error.orig
        return inner is not None and is_outage(inner)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        # An invalid statement, for example a missing column, for which the driver raises OperationalError too.
        return False
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & _OUTAGES) and not names & _BUGS


def to_unavailable(error: BaseException, *, indeterminate: bool = False) -> Unavailable:
    """Return the problem to raise instead, without the driver's own message, which may hold data (R98)."""
    if indeterminate:
        return Unavailable(
            "the database's response to the commit was lost: the change may have happened",
            remedy="repeat the request with the same idempotency key",
            extensions={"indeterminate": True},
        )
    return Unavailable("the database does not answer", remedy="try again in a moment")
