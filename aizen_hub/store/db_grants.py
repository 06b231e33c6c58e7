"""What the service's database role may do on PostgreSQL: only add to the audit, and work with all else (R97)."""

from __future__ import annotations

import re

from sqlalchemy import Connection

from aizen_hub.settings import ConfigurationError
from aizen_hub.store import tables

_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_APPEND_ONLY = frozenset({tables.audit.name, tables.changes.name})
_READ_ONLY = frozenset({tables.seals.name})  # rows are sealed and removed with the owner's role


def grant_service(conn: Connection, role: str) -> None:
    """Give a database role what the service needs and no more; run by the owner of the tables.

    Audit rows and change records can be read and added, never changed or removed, and seals only be read, so that
    whoever takes over the service cannot rewrite what was recorded.

    Raises
    ------
    ConfigurationError
        Not the plain name of a role, or the role that owns the tables: an owner can give everything back to itself.
    """
    if not _ROLE.fullmatch(role):
        raise ConfigurationError(f"`{role[:80]}` is not the name of a database role: lower-case letters, digits, `_`")
    if conn.exec_driver_sql("SELECT current_user").scalar() == role:
        raise ConfigurationError(f"`{role}` owns the tables: give the service a role of its own")
    conn.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {role}")
    conn.exec_driver_sql(f"GRANT SELECT ON alembic_version TO {role}")
    conn.exec_driver_sql(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
    for name in tables.metadata.tables:
        conn.exec_driver_sql(f"REVOKE ALL ON {name} FROM {role}")
        rights = "SELECT, INSERT, UPDATE, DELETE"
        if name in _APPEND_ONLY | _READ_ONLY:
            rights = "SELECT, INSERT" if name in _APPEND_ONLY else "SELECT"
        conn.exec_driver_sql(f"GRANT {rights} ON {name} TO {role}")


def rewritable(conn: Connection) -> tuple[str, ...]:
    """Return the tables of what was recorded in which the connected role could change or remove rows (R97).

    An owner counts whatever it took from itself, since it can give it back, and so do its members; superusers may
    everything.
    """
    names = ", ".join(f"'{name}'::regclass" for name in sorted(_APPEND_ONLY))
    found = conn.exec_driver_sql(
        f"SELECT relname FROM pg_class WHERE oid IN ({names})"  # noqa: S608 - names of tables of ours
        " AND (has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE') OR pg_has_role(relowner, 'MEMBER')) ORDER BY 1"
    )
    return tuple(found.scalars())
