"""The schema's life: made and changed by migrations only, and checked before anything else happens (R5)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from aizen_hub.settings import ConfigurationError
from aizen_hub.store import tables
from aizen_hub.store.audit_log import baseline
from aizen_hub.store.database import Database
from aizen_hub.store.db_grants import grant_service

_MIGRATIONS = Path(__file__).with_name("migrations")
_RECORDED = "0009"  # from this revision on changes record which rows they write
_LOCK = 0x61697A656E  # any number that no other user of the database takes


class SchemaError(ConfigurationError):
    """The database's schema is not the one that this version works with."""


def upgrade(url: str, service_role: str | None = None) -> str:
    """Bring the schema to this version and return its revision; waits for another upgrade that is under way.

    Parameters
    ----------
    service_role : str, optional
        On PostgreSQL, the database role that the service connects with; see `privileges.grant_service`.

    Raises
    ------
    SchemaError
        The database was made by a newer version.
    """
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
        It is not; says whether to upgrade the database or the program.
    """
    database = Database(url)
    try:
        with database.engine.connect() as conn:
            return _check(conn)
    finally:
        database.dispose()


def prepare(database: Database) -> None:
    """Create the schema in a new embedded file; check it everywhere else."""
    with database.engine.connect() as conn:
        if database.embedded and not inspect(conn).get_table_names():
            _upgrade(database, conn)
        else:
            _check(conn)


def head() -> str:
    """Return the revision that this version works with."""
    found = _script().get_current_head()
    if found is None:
        raise RuntimeError("the package holds no migrations")
    return found


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _check(conn: Connection) -> str:
    found = MigrationContext.configure(conn).get_current_revision()
    wanted = head()
    if found == wanted:
        return wanted
    if found is None:
        raise SchemaError("the database has no schema of ours; run `aizen-hub db upgrade`")
    if found not in {one.revision for one in _script().walk_revisions()}:
        raise SchemaError(
            f"the database's schema `{found[:40]}` is newer than `{wanted}`, the last this aizen-hub knows: upgrade it"
        )
    raise SchemaError(f"the database's schema is `{found}`, this version needs `{wanted}`: run `aizen-hub db upgrade`")


def _upgrade(database: Database, conn: Connection, service_role: str | None = None) -> str:
    # One transaction around all steps, on SQLite too: a kill in between leaves the former schema.
    if database.embedded:
        conn.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        conn.exec_driver_sql("BEGIN")
        conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    try:
        found = MigrationContext.configure(conn).get_current_revision()
        script = _script()
        if found is not None and found not in {one.revision for one in script.walk_revisions()}:
            _check(conn)
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
        if found is not None and found < _RECORDED:
            # Here, not in a migration: it reads the tables as this version knows them.
            baseline.record(conn, datetime.now(UTC))
        if service_role is not None:
            grant_service(conn, service_role)
        database.commit(conn)
    except BaseException:  # goes on up; a half migration must not stay
        database.rollback(conn)
        raise
    return head()
