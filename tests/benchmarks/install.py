"""A store of a given size, each user with ten roles, written past the accounts layer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.settings import Settings
from aizen_hub.store.sql_store import Store

ASSIGNMENTS_PER_USER = 10
ROLES = ("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")


@dataclass(frozen=True)
class Size:
    """Numbers of users and projects; every user has `ASSIGNMENTS_PER_USER` assignments."""

    users: int
    projects: int

    @property
    def assignments(self) -> int:
        return self.users * ASSIGNMENTS_PER_USER

    def held(self, user: int) -> Iterator[tuple[str, str]]:
        """Yield the project and role of each assignment of one user; the same in every run."""
        for number in range(ASSIGNMENTS_PER_USER):
            # Two primes far apart: neighbours share few projects, and no user has two roles in one.
            project = (user * 7919 + number * 104_729) % self.projects
            yield f"p{project}", ROLES[(user + number) % len(ROLES)]


SMALL = Size(users=50, projects=50)
MIDDLE = Size(users=5_000, projects=500)
LARGE = Size(users=100_000, projects=10_000)


def catalog() -> Catalog:
    return load_catalog("aizen")


def build(folder: Path, size: Size) -> Settings:
    """Write a store on SQLite, unless the folder has one, and return settings that open it."""
    settings = Settings(data_dir=folder, admin_user="local:root")
    if (folder / "aizen.sqlite").exists():
        return settings
    Store.open(settings, catalog()).close()
    with sqlite3.connect(folder / "aizen.sqlite") as db:
        db.execute("PRAGMA cache_size=-200000")
        for table, columns, rows in _rows(size):
            placeholders = ", ".join("?" for _ in columns)
            db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders})", rows)
    db.close()
    return settings


def fill(url: str, size: Size) -> None:
    """Write the same rows into an empty PostgreSQL database that has the schema."""
    import psycopg

    with psycopg.connect(url) as db, db.cursor() as cursor:
        for table, columns, rows in _rows(size):
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        cursor.execute("ANALYZE")


def _rows(size: Size) -> Iterator[tuple[str, list[str], Iterator[tuple[object, ...]]]]:
    now = 1_767_225_600_000_000
    users = range(1, size.users + 1)
    yield (
        "users",
        ["name", "provider", "subject", "display_name", "alerts", "active", "email_unconfirmed", "created"],
        ((f"u{number}", "local", f"u{number}", "", "{}", True, False, now) for number in users),
    )
    yield (
        "projects",
        ["name", "description", "created_by", "created", "listed", "version"],
        ((f"p{number}", "", "user:u1", now, False, 1) for number in range(size.projects)),
    )
    yield (
        "assignments",
        ["role", "scope", "identity", "reason", "granted_by", "granted", "creator", "mapped", "revision"],
        (
            (role, project, f"user:u{number}", "", "user:u1", now, False, False, 1)
            for number in users
            for project, role in size.held(number)
        ),
    )
