"""Texts are ordered as Python orders them, whatever the collation of the database."""

from __future__ import annotations

import secrets
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import column, create_engine, select, values

from aizen_hub.store.collation import in_code_points
from tests.fixtures.databases.postgres import Server

NAMES = ["a-z", "ab", "Ab", "a_b", "ä", "b", "B"]


@pytest.mark.needs("postgres")
def test_names_are_ordered_by_code_points_in_a_database_of_a_language(fast_postgres_server: Server) -> None:
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(fast_postgres_server.url(), autocommit=True) as conn:
        conn.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'"
        )
    engine = create_engine(fast_postgres_server.url(name).replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as conn:
            tx: Any = SimpleNamespace(conn=conn)
            names = values(column("name"), name="names").data([(name,) for name in NAMES])
            by_language = conn.execute(select(names.c.name).order_by(names.c.name)).scalars().all()
            by_code_points = (
                conn.execute(select(names.c.name).order_by(in_code_points(tx, names.c.name))).scalars().all()
            )
    finally:
        engine.dispose()
        with psycopg.connect(fast_postgres_server.url(), autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert by_code_points == sorted(NAMES)
    assert by_language != sorted(NAMES), "else nothing is shown"
