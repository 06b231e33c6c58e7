"""The service's database role on a real PostgreSQL: it works with everything and rewrites nothing that was recorded."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError

from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.doctor.store import look
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store import migrate as schema
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
ROLE = "aizen_service"


@pytest.fixture
def as_service(postgres_url: str) -> Iterator[str]:
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
@pytest.mark.proves("R97")
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), set()),
        ((f"GRANT UPDATE ON audit TO {ROLE}",), {"audit"}),
        (("GRANT DELETE ON changes TO PUBLIC",), {"changes"}),
        ((f"GRANT TRUNCATE ON audit, changes TO {ROLE}",), {"audit", "changes"}),
        ((f"ALTER TABLE audit OWNER TO {ROLE}", f"REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM {ROLE}"), {"audit"}),
    ],
    ids=("as upgrade left it", "update", "delete, to everybody", "truncate", "an owner who can give it back"),
)
def test_a_role_that_could_rewrite_what_was_recorded_is_named(
    given: tuple[str, ...],
    named: set[str],
    as_service: str,
    postgres_url: str,
    tmp_path: Path,
    catalog: Catalog,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as owner:
        for statement in given:
            owner.execute(statement)
    assert _named(Settings(data_dir=tmp_path, database=as_service), catalog, caplog) == named


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
def test_a_superuser_is_named(
    as_service: str, postgres_url: str, tmp_path: Path, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=tmp_path, database=postgres_url)
    assert _named(settings, catalog, caplog) == {"audit", "changes"}


def _named(settings: Settings, catalog: Catalog, caplog: pytest.LogCaptureFixture) -> set[str]:
    """Open the store as a start does, and ask the doctor; return the tables that both name."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Store.open(settings, catalog).close()
        # An operator's command, as the doctor is one, adds nothing to the log.
        (finding,) = [one for one in look(settings) if "the service's database role" in one.what]
    warnings = [text for record in caplog.records if "R97" in (text := record.getMessage())]
    if not warnings:
        assert finding.level == "ok"
        return set()
    assert (finding.level, len(warnings)) == ("fail", 1)
    for text in (finding.remedy, warnings[0]):
        assert "db upgrade --service-role" in text
    told, logged = (set(re.findall(r"\b(?:audit|changes)\b", text)) for text in (finding.what, warnings[0]))
    assert told == logged
    return told


@pytest.mark.needs("postgres")
def test_the_owner_is_no_service_role_and_a_name_is_a_name(postgres_url: str) -> None:
    for role in ("postgres", "a; DROP TABLE audit", "Upper", ""):
        with pytest.raises(ConfigurationError):
            schema.upgrade(postgres_url, role)


def test_an_embedded_database_has_no_roles(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="no roles"):
        schema.upgrade(f"sqlite:///{tmp_path}/x.sqlite", ROLE)
