"""Schema migrations: create, upgrade and check the schema of the database (R5).

Alembic is imported where a schema is changed or is not the expected one: each start of a service checks its schema, and
importing Alembic takes a tenth of that start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table, update

from aizen_hub.problems import Conflict
from aizen_hub.settings import ConfigurationError
from aizen_hub.store import tables
from aizen_hub.store.database import Database, database_url
from aizen_hub.store.db_diagnosis import translate_for_operator
from aizen_hub.store.db_grants import grant_service_role

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_MIGRATIONS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x61697A656E  # an arbitrary key that no other user of the database uses

_MAX_SERVED = 6  # as many as the column of the revision row takes
_MAY_CREATE = "SELECT has_schema_privilege(current_schema(), 'CREATE')"


class SchemaError(ConfigurationError):
    """The schema of the database is not the one that this version works with."""


def upgrade(url: str, service_role: str | None = None) -> str:
    """Upgrade the schema to this version and return its revision; waits for another upgrade in progress.

    Parameters
    ----------
    service_role : str, optional
        On PostgreSQL, the database role that the service connects with; see `db_grants.grant_service_role`.

    Raises
    ------
    SchemaError
        The database was created by a newer version.
    Unavailable
        The database cannot be used; names the cause and what corrects it.
    """
    with translate_for_operator(database_url(url)):
        database = Database(url, deadline_seconds=60)
        try:
            if database.embedded and service_role is not None:
                raise ConfigurationError("an embedded database has no roles; leave the service role out")
            with database.engine.connect() as conn:
                return _upgrade(database, conn, service_role)
        finally:
            database.dispose()


def check(url: str) -> str:
    """Return the schema's revision if it is the one that this version works with.

    Raises
    ------
    SchemaError
        It is another one; the message says whether to upgrade the database or the program.
    Unavailable
        The database cannot be used; names the cause and what corrects it.
    """
    with translate_for_operator(database_url(url)):
        database = Database(url, read_only=True)
        try:
            with database.engine.connect() as conn:
                return _check(conn)
        finally:
            database.dispose()


def create_if_empty(url: str) -> bool:
    """Create the schema on a PostgreSQL database without any table, if its role may; return whether that was done.

    For the start of the service. Where the role may not create tables, the owner of the database runs
    ``aizen-hub db upgrade``.

    Raises
    ------
    Unavailable
        The database cannot be used; names the cause and what corrects it.
    """
    with translate_for_operator(database_url(url)):
        database = Database(url, deadline_seconds=60)
        try:
            with database.engine.connect() as conn:
                is_empty = not inspect(conn).get_table_names()
                if not is_empty or not conn.exec_driver_sql(_MAY_CREATE).scalar():
                    return False
                _upgrade(database, conn)
                return True
        finally:
            database.dispose()


def create_schema(database: Database, conn: Connection) -> None:
    """Create the schema in an empty database, in the transaction that the caller has begun on the connection.

    Waits for another upgrade in progress, and raises for a database that is not empty.

    Raises
    ------
    Conflict
        The database has tables already; nothing was changed.
    """
    if not database.embedded:
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    if inspect(conn).get_table_names():
        raise Conflict("the target is not empty", remedy="create an empty database, and name it as the target")
    _run_migrations(database, conn)


def prepare(database: Database) -> None:
    """Create the schema in a new embedded file, or check it in any other database; later transactions expect it.

    A newer schema that serves programs of this version is accepted, so that a replica that restarts by itself in the
    middle of a rolling upgrade goes on.

    Raises
    ------
    SchemaError
        The schema is another one.
    """
    with database.engine.connect() as conn:
        if database.embedded and not inspect(conn).get_table_names():
            database.schema_version = _upgrade(database, conn)
        else:
            database.schema_version = head_revision() if _serves_this_version(conn) else _check(conn)


def head_revision() -> str:
    """Return the revision that this version works with: the highest number that a file of a migration begins with."""
    revisions = [path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")]
    if not revisions:
        raise RuntimeError("the package contains no migrations")
    return max(revisions)


def _current_revision(conn: Connection) -> str | None:
    """Return the revision of the database, None for one without a schema."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    current: str | None = conn.execute(
        select(column("version_num")).select_from(table("alembic_version"))
    ).scalar_one_or_none()
    return current


def _served_versions() -> list[str]:
    """Return the schema versions of the programs that work with the head, the head itself first."""
    served = []
    for script in _script().walk_revisions():
        served.append(script.revision)
        if not getattr(script.module, "serves_previous", False):
            break
    return served[:_MAX_SERVED]


def _serves_this_version(conn: Connection) -> bool:
    current = _current_revision(conn)
    if current is None:
        return False
    served = conn.execute(select(tables.revision.c.schema_version)).scalar_one_or_none()
    versions = (served or "").split(",")
    return versions[0] == current and head_revision() in versions


def _script() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _is_known(revision: str) -> bool:
    return any(script.revision == revision for script in _script().walk_revisions())


def _check(conn: Connection) -> str:
    current = _current_revision(conn)
    head = head_revision()
    if current == head:
        return head
    if current is None:
        raise SchemaError("the database has no aizen-hub schema; run `aizen-hub db upgrade`")
    if not _is_known(current):
        raise SchemaError(
            f"the database's schema `{current[:40]}` is newer than `{head}`, the last that this aizen-hub knows:"
            " upgrade aizen-hub"
        )
    effect = "go on meanwhile" if current in _served_versions() else "decide nothing from then on"
    raise SchemaError(
        f"the database's schema is `{current}`, this version needs `{head}`: run `aizen-hub db upgrade`"
        f" (services of the former version {effect})"
    )


def _upgrade(database: Database, conn: Connection, service_role: str | None = None) -> str:
    # One transaction around all migrations, on SQLite too: a crash leaves the former schema.
    if database.embedded:
        conn.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        conn.exec_driver_sql("BEGIN")
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    try:
        current = _current_revision(conn)
        if current is not None and not _is_known(current):
            _check(conn)
        if current is not None and not database.embedded:
            # As every change does, and first: writers wait here instead of at a table that is being altered.
            conn.exec_driver_sql("SELECT 1 FROM revision WHERE id = 1 FOR UPDATE")
        version = _run_migrations(database, conn)
        if service_role is not None:
            grant_service_role(conn, service_role)
        database.commit(conn)
    except BaseException:  # re-raised: a partial migration must not stay
        database.rollback(conn)
        raise
    return version


def _run_migrations(database: Database, conn: Connection) -> str:
    """Run all migrations that are missing, in the transaction of the connection; return the last revision."""
    from alembic.runtime.environment import EnvironmentContext

    script = _script()
    with EnvironmentContext(
        _config(),
        script,
        fn=lambda rev, _context: script._upgrade_revs("head", rev),
        destination_rev="head",
    ) as environment:
        environment.configure(
            connection=conn,
            target_metadata=tables.metadata,
            transactional_ddl=False,
            render_as_batch=database.embedded,
        )
        environment.run_migrations()
    version = head_revision()
    conn.execute(update(tables.revision).values(schema_version=",".join(_served_versions())))
    return version
