"""A real PostgreSQL beside SQLite, for the queries that differ."""

from __future__ import annotations

from tests.fixtures.postgres import postgres_server, postgres_url  # noqa: F401 - fixtures
