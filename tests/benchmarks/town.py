"""A store with as many people as one likes: ``users`` of them, each with ten roles, written past the accounts layer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.settings import Settings
from aizen_hub.store.store import Store

EACH = 10
ROLES = ("PROJECT_READER", "PROJECT_EXECUTOR", "PROJECT_ADMIN")


@dataclass(frozen=True)
class Size:
    """How many; every user has `EACH` assignments."""

    users: int
    projects: int

    @property
    def assignments(self) -> int:
        return self.users * EACH

    def held(self, user: int) -> Iterator[tuple[str, str]]:
        """Yield the project and role of each assignment of one user; the same in every run."""
        for number in range(EACH):
            # Two primes far apart: neighbours share few projects, and nobody has two roles in one.
            project = (user * 7919 + number * 104_729) % self.projects
            yield f"p{project}", ROLES[(user + number) % len(ROLES)]


SMALL = Size(users=50, projects=50)
MIDDLE = Size(users=5_000, projects=500)
LARGE = Size(users=100_000, projects=10_000)


def catalog() -> Catalog:
    return load_catalog("aizen")


def build(folder: Path, size: Size) -> Settings:
    """Write the store and return settings that open it."""
    settings = Settings(data_dir=folder, admin_user="local:root")
    Store.open(settings, catalog()).close()
    now = 1_767_225_600_000_000
    with sqlite3.connect(folder / "aizen.sqlite") as db:
        db.execute("PRAGMA cache_size=-200000")
        users = range(1, size.users + 1)
        db.executemany(
            "INSERT INTO users (id, name, provider, subject, display_name, alerts, active, created)"
            " VALUES (?, ?, 'local', ?, '', '{}', 1, ?)",
            ((number, f"u{number}", f"u{number}", now) for number in users),
        )
        db.executemany(
            "INSERT INTO projects (id, name, description, created_by, created, version)"
            " VALUES (?, ?, '', 'user:u1', ?, 1)",
            ((number + 1, f"p{number}", now) for number in range(size.projects)),
        )
        db.executemany(
            "INSERT INTO assignments (role, scope, identity, reason, granted_by, granted, creator, revision)"
            " VALUES (?, ?, ?, '', 'user:u1', ?, 0, 1)",
            ((role, project, f"user:u{number}", now) for number in users for project, role in size.held(number)),
        )
        db.execute("ANALYZE")
    db.close()
    return settings
