"""The service's database role on a real PostgreSQL: it works with everything and rewrites nothing that was recorded."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError

from aizen_hub.accounts import assignments, projects, users
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store import schema
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
ROLE = "aizen_service"


@pytest.fixture
def as_service(postgres_url: str) -> str:
    """Upgrade as the owner, and return the address with which the service connects."""
    owner = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with owner.begin() as conn:
        conn.exec_driver_sql(f"DROP ROLE IF EXISTS {ROLE}")
        conn.exec_driver_sql(f"CREATE ROLE {ROLE} LOGIN")
    schema.upgrade(postgres_url, ROLE)
    schema.upgrade(postgres_url, ROLE)  # again changes nothing
    yield postgres_url.replace("postgres@", f"{ROLE}@")
    with owner.begin() as conn:
        conn.exec_driver_sql(f"DROP OWNED BY {ROLE}")
        conn.exec_driver_sql(f"DROP ROLE {ROLE}")
    owner.dispose()


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
def test_the_service_works_and_cannot_rewrite_what_was_recorded(as_service: str, tmp_path) -> None:
    store = Store.open(Settings(data_dir=tmp_path, database=as_service), load_catalog("aizen"))
    try:
        with store.write(OPERATOR) as tx:
            users.create(tx, "ada", password="a password, long and made up")
            assignments.put(tx, "AIZEN_ADMIN", "system", Identity.user("ada"))
            projects.create(tx, "p1", owner=Identity.user("ada"))
        with store.write(OPERATOR) as tx:
            projects.remove(tx, "p1")
        for sql in (
            "UPDATE audit SET event = 'x'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "UPDATE changes SET payload = '[]'",
            "DELETE FROM changes",
            "DROP TABLE audit",
            "ALTER TABLE audit DISABLE TRIGGER ALL",
            f"GRANT ALL ON audit TO {ROLE}",
        ):
            with store.database.engine.connect() as conn:
                before = conn.exec_driver_sql("SELECT count(*) FROM audit").scalar()
                conn.rollback()
                try:
                    conn.exec_driver_sql(sql)
                    conn.commit()
                except ProgrammingError:
                    conn.rollback()
                    continue
                # GRANT by somebody without the right is a warning, not an error: what counts is that nothing was given.
                given = conn.exec_driver_sql("SELECT has_table_privilege('audit', 'UPDATE')").scalar()
                assert (given, before) == (False, conn.exec_driver_sql("SELECT count(*) FROM audit").scalar()), sql
    finally:
        store.close()


@pytest.mark.needs("postgres")
def test_the_owner_is_no_service_role_and_a_name_is_a_name(postgres_url: str) -> None:
    for role in ("postgres", "a; DROP TABLE audit", "Upper", ""):
        with pytest.raises(ConfigurationError):
            schema.upgrade(postgres_url, role)


def test_an_embedded_database_has_no_roles(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="no roles"):
        schema.upgrade(f"sqlite:///{tmp_path}/x.sqlite", ROLE)
