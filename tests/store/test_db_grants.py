"""Grants of the service's database role on a real PostgreSQL: full access, but append-only for audit records."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError

from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.doctor.checks import STORE_CHECKS
from aizen_hub.cli.doctor.store import check_store
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import ConfigurationError, Settings
from aizen_hub.store import migrate
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
ROLE = "aizen_service"


def _check_store(settings: Settings) -> list[CheckResult]:
    return list(check_store(Installation(Path("aizen.yaml"), settings, Path("none")), STORE_CHECKS))


@pytest.fixture
def as_service(postgres_url: str) -> Iterator[str]:
    """Upgrade as the owner, and return the URL with which the service connects."""
    owner = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with owner.begin() as conn:
        conn.exec_driver_sql(f"DROP ROLE IF EXISTS {ROLE}")
        conn.exec_driver_sql(f"CREATE ROLE {ROLE} LOGIN")
    migrate.upgrade(postgres_url, ROLE)
    migrate.upgrade(postgres_url, ROLE)  # a second upgrade changes nothing
    yield postgres_url.replace("postgres@", f"{ROLE}@")
    with owner.begin() as conn:
        conn.exec_driver_sql(f"DROP OWNED BY {ROLE}")
        conn.exec_driver_sql(f"DROP ROLE {ROLE}")
    owner.dispose()


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
def test_the_service_works_and_cannot_rewrite_audit_records(as_service: str, tmp_path) -> None:
    store = Store.open(Settings(data_dir=tmp_path, database=as_service), load_catalog("aizen"))
    try:
        with store.write(OPERATOR) as tx:
            registration.create_user(tx, "ada", password="a password, long and made up")
            assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.user("ada"))
            lifecycle.create_project(tx, "p1", owner=Identity.user("ada"))
        with store.write(OPERATOR) as tx:
            lifecycle.delete_project(tx, "p1")
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
                # GRANT without the privilege is a warning, not an error: check that nothing was granted.
                granted = conn.exec_driver_sql("SELECT has_table_privilege('audit', 'UPDATE')").scalar()
                assert (granted, before) == (False, conn.exec_driver_sql("SELECT count(*) FROM audit").scalar()), sql
    finally:
        store.close()


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ((), set()),
        ((f"GRANT UPDATE ON audit TO {ROLE}",), {"audit"}),
        (("GRANT DELETE ON changes TO PUBLIC",), {"changes"}),
        ((f"GRANT TRUNCATE ON audit, changes TO {ROLE}",), {"audit", "changes"}),
        ((f"ALTER TABLE audit OWNER TO {ROLE}", f"REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM {ROLE}"), {"audit"}),
    ],
    ids=("as upgraded", "update", "delete, to public", "truncate", "an owner, who can grant it again"),
)
def test_a_role_that_could_rewrite_audit_records_is_reported(
    statements: tuple[str, ...],
    expected: set[str],
    as_service: str,
    postgres_url: str,
    tmp_path: Path,
    catalog: Catalog,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as owner:
        for statement in statements:
            owner.execute(statement)
    assert reported_tables(Settings(data_dir=tmp_path, database=as_service), catalog, caplog) == expected


@pytest.mark.needs("postgres")
@pytest.mark.proves("R97")
def test_a_superuser_is_reported(
    as_service: str, postgres_url: str, tmp_path: Path, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=tmp_path, database=postgres_url)
    assert reported_tables(settings, catalog, caplog) == {"audit", "changes"}


def reported_tables(settings: Settings, catalog: Catalog, caplog: pytest.LogCaptureFixture) -> set[str]:
    """Open the store like a service, and run doctor; return the tables that both report."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        Store.open(settings, catalog).close()
        # An operator command, such as doctor, logs no warning.
        (finding,) = [finding for finding in _check_store(settings) if "the service's database role" in finding.message]
    warnings = [text for record in caplog.records if "R97" in (text := record.getMessage())]
    if not warnings:
        assert finding.level == "ok"
        return set()
    assert (finding.level, len(warnings)) == ("fail", 1)
    for text in (finding.remedy, warnings[0]):
        assert "db upgrade --service-role" in text
    reported, logged = (set(re.findall(r"\b(?:audit|changes)\b", text)) for text in (finding.message, warnings[0]))
    assert reported == logged
    return reported


@pytest.mark.needs("postgres")
def test_invalid_service_roles_are_refused(postgres_url: str) -> None:
    for role in ("postgres", "a; DROP TABLE audit", "Upper", ""):
        with pytest.raises(ConfigurationError):
            migrate.upgrade(postgres_url, role)


def test_an_embedded_database_has_no_roles(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="no roles"):
        migrate.upgrade(f"sqlite:///{tmp_path}/x.sqlite", ROLE)
