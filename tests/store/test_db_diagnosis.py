"""Errors of databases, diagnosed for operators: the cause and a remedy, never a password."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from aizen_hub.problems import Unavailable
from aizen_hub.store import migrate
from aizen_hub.store.database import database_url
from aizen_hub.store.db_diagnosis import diagnose, translate_for_operator
from tests.fixtures.databases.postgres import Server

SECRET = "not-so-secret"


def unavailable(url: str) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        migrate.check(url)
    assert SECRET not in f"{error.value.detail} {error.value.remedy}"
    assert error.value.remedy
    return error.value


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_no_server() -> None:
    problem = unavailable(f"postgresql://aizen:{SECRET}@127.0.0.1:1/aizen")
    assert problem.detail == "no PostgreSQL server accepts connections at 127.0.0.1:1"


def test_a_server_that_does_not_answer(silent_port: int) -> None:
    problem = unavailable(f"postgresql://aizen:{SECRET}@127.0.0.1:{silent_port}/aizen?connect_timeout=2")
    assert problem.detail == f"the database server at 127.0.0.1:{silent_port} does not answer in time"


@pytest.mark.needs("postgres")
def test_what_a_server_says(fast_postgres_server: Server, migrated_url: str) -> None:
    port = fast_postgres_server.port
    for url, says, remedy in (
        (f"postgresql://postgres@127.0.0.1:{port}/none", "has no database `none`", "createdb none"),
        (f"postgresql://stranger:{SECRET}@127.0.0.1:{port}/postgres", "has no role `stranger`", "createuser stranger"),
        (f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require", "no encrypted connection", "sslmode"),
    ):
        problem = unavailable(url)
        assert says in problem.detail
        assert remedy in (problem.remedy or "")
    engine = create_engine(database_url(migrated_url))
    with engine.connect() as conn:
        conn.exec_driver_sql("CREATE ROLE poor LOGIN")
        conn.commit()
    engine.dispose()
    try:
        problem = unavailable(migrated_url.replace("postgres@", "poor@"))
        assert problem.detail.startswith("the role `poor` lacks privileges")
        assert "db upgrade --service-role poor" in (problem.remedy or "")
    finally:
        engine = create_engine(database_url(migrated_url))
        with engine.connect() as conn:
            conn.exec_driver_sql("DROP ROLE poor")
            conn.commit()
        engine.dispose()


def test_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database\n" * 100)
    assert "is not a SQLite database" in unavailable(f"sqlite:///{tmp_path / 'text'}").detail
    assert "cannot be opened" in unavailable(f"sqlite:///{tmp_path / 'none'}").detail
    assert not (tmp_path / "none").exists(), "a check creates nothing"
    with pytest.raises(Unavailable, match="cannot be opened"):
        migrate.upgrade(f"sqlite:///{tmp_path / 'text' / 'below-a-file'}")


def test_a_locked_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"
    migrate.upgrade(url)

    def create_table() -> None:
        with (
            translate_for_operator(database_url(url)),
            create_engine(url, connect_args={"timeout": 0}).connect() as conn,
        ):
            conn.exec_driver_sql("CREATE TABLE more (id)")

    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=0)) as first:
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process holds the lock"):
            create_table()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('FATAL:  password authentication failed for user "aizen"', "rejects the password of the role `aizen`"),
        ("fe_sendauth: no password supplied", "rejects the password"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "admits no connection of the role `aizen`"),
        ("FATAL:  sorry, too many clients already", "has no connection left"),
        ("FATAL:  the database system is starting up", "is starting or stopping"),
        ("failed to resolve host 'db.example.org'", "the name `db.example.org`"),
        ("certificate verify failed", "no encrypted connection"),
        ("something never seen before", "cannot be used: OperationalError"),
    ],
)
def test_messages_of_servers_that_the_tests_do_not_have(text: str, says: str) -> None:
    class OperationalError(Exception):
        pass

    url = database_url(f"postgresql://aizen:{SECRET}@db.example.org/aizen")
    problem = diagnose(OperationalError(f"connection failed ({SECRET}): {text}"), url)
    assert says in problem.detail
    assert SECRET not in f"{problem.detail} {problem.remedy}"


def test_bugs_are_not_taken_for_outages(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"

    def run_wrong_statement() -> None:
        with translate_for_operator(database_url(url)), create_engine(url).connect() as conn:
            conn.exec_driver_sql("SELECT no_such_column")

    with pytest.raises(OperationalError, match="no_such_column"):
        run_wrong_statement()


def test_other_problems_pass() -> None:
    with pytest.raises(Unavailable, match="as it is"), translate_for_operator(database_url("sqlite:///x")):
        raise Unavailable("as it is")
