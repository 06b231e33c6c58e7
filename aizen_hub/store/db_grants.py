"""Grants of the service's database role on PostgreSQL: append-only audit, full access to all other tables (R97)."""

from __future__ import annotations

import re

from sqlalchemy import Connection

from aizen_hub.settings import ConfigurationError
from aizen_hub.store import tables

_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_APPEND_ONLY = frozenset({tables.audit.name, tables.changes.name})
_READ_ONLY = frozenset({tables.archive_manifests.name})  # the audit is archived with the owner's role


def grant_service_role(conn: Connection, role: str) -> None:
    """Grant a database role exactly what the service needs; called by the owner of the tables.

    Audit rows and change records can be read and inserted, but not updated or deleted, and archive manifests can only
    be read: an attacker who takes over the service cannot rewrite what was recorded.

    Raises
    ------
    ConfigurationError
        Not a plain role name, or the role that owns the tables: an owner can grant itself everything back.
    """
    if not _ROLE.fullmatch(role):
        raise ConfigurationError(f"`{role[:80]}` is not the name of a database role: lower-case letters, digits, `_`")
    if conn.exec_driver_sql("SELECT current_user").scalar() == role:
        raise ConfigurationError(f"`{role}` owns the tables: give the service its own role")
    conn.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {role}")
    conn.exec_driver_sql(f"GRANT SELECT ON alembic_version TO {role}")
    conn.exec_driver_sql(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}")
    for name in tables.metadata.tables:
        conn.exec_driver_sql(f"REVOKE ALL ON {name} FROM {role}")
        rights = "SELECT, INSERT, UPDATE, DELETE"
        if name in _APPEND_ONLY | _READ_ONLY:
            rights = "SELECT, INSERT" if name in _APPEND_ONLY else "SELECT"
        conn.exec_driver_sql(f"GRANT {rights} ON {name} TO {role}")


def find_rewritable_tables(conn: Connection) -> tuple[str, ...]:
    """Return the append-only tables in which the connected role could update or delete rows (R97).

    An owner, or a member of the owner, always counts: it can grant itself what was revoked. So does a superuser.
    """
    names = ", ".join(f"'{name}'::regclass" for name in sorted(_APPEND_ONLY))
    result = conn.exec_driver_sql(
        f"SELECT relname FROM pg_class WHERE oid IN ({names})"  # noqa: S608 - the names of our own tables
        " AND (has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE') OR pg_has_role(relowner, 'MEMBER')) ORDER BY 1"
    )
    return tuple(result.scalars())
