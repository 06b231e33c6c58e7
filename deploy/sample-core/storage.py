"""Storage of the core: configurations per project, executed commands, jobs and their log."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS projects (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS configurations (
    project TEXT NOT NULL, noun TEXT NOT NULL, name TEXT NOT NULL, settings TEXT NOT NULL, changed REAL NOT NULL,
    changed_by TEXT NOT NULL, PRIMARY KEY (project, noun, name));
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, project TEXT, command TEXT NOT NULL, at REAL NOT NULL, end TEXT);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, project TEXT NOT NULL, noun TEXT NOT NULL, name TEXT NOT NULL,
    state TEXT NOT NULL, fraction REAL, message TEXT NOT NULL DEFAULT '', result TEXT, started REAL NOT NULL,
    ended REAL, reported INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, job TEXT NOT NULL, line TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS log_of_job ON log (job, number);
"""
_MAX_LOG_LINES = 2_000
_KEEP_SECONDS = 30 * 86_400


class Storage:
    """One SQLite file, used by one process."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_TABLES)
        # Decision tokens are valid for seconds, so an id this old is never sent again.
        self._db.execute("DELETE FROM commands WHERE at < ? AND end IS NOT NULL", (time.time() - _KEEP_SECONDS,))

    def close(self) -> None:
        self._db.close()

    def add_prepared(self, project: str, configurations: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """Create the prepared configurations of a project at its first command."""
        self._db.execute("BEGIN IMMEDIATE")
        if self._db.execute("INSERT OR IGNORE INTO projects VALUES (?)", (project,)).rowcount:
            for noun, of_noun in configurations.items():
                for name, settings in of_noun.items():
                    self._write_configuration(project, noun, name, settings, "sample core")
        self._db.execute("COMMIT")

    def claim_id(self, id: str, user: str, project: str | None, command: str) -> bool:
        """Store the id of a decision; False if it was used before, also before a restart."""
        row = (id, user, project, command, time.time())
        return bool(
            self._db.execute(
                "INSERT OR IGNORE INTO commands (id, user, project, command, at) VALUES (?, ?, ?, ?, ?)", row
            ).rowcount
        )

    def end_command(self, id: str, end: Mapping[str, Any]) -> None:
        self._db.execute("UPDATE commands SET end = ? WHERE id = ?", (json.dumps(end), id))

    def command(self, id: str) -> dict[str, Any] | None:
        """Return user, project and, once it has ended, ``end`` of a command."""
        row = self._db.execute("SELECT user, project, end FROM commands WHERE id = ?", (id,)).fetchone()
        return None if row is None else {**dict(row), "end": json.loads(row["end"]) if row["end"] else None}

    def _write_configuration(self, project: str, noun: str, name: str, settings: Mapping[str, Any], user: str) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO configurations VALUES (?, ?, ?, ?, ?, ?)",
            (project, noun, name, json.dumps(settings), time.time(), user),
        )

    def configure(self, project: str, noun: str, name: str, settings: Mapping[str, Any], user: str) -> None:
        self._write_configuration(project, noun, name, settings, user)

    def configuration(self, project: str, noun: str, name: str) -> dict[str, Any] | None:
        row = self._db.execute(
            "SELECT settings FROM configurations WHERE (project, noun, name) = (?, ?, ?)", (project, noun, name)
        ).fetchone()
        return None if row is None else json.loads(row["settings"])

    def configurations(self, project: str, noun: str) -> list[sqlite3.Row]:
        return self._db.execute(
            "SELECT name, settings, changed, changed_by FROM configurations"
            " WHERE (project, noun) = (?, ?) ORDER BY name",
            (project, noun),
        ).fetchall()

    def delete(self, project: str, noun: str, name: str) -> None:
        self._db.execute("DELETE FROM configurations WHERE (project, noun, name) = (?, ?, ?)", (project, noun, name))

    def start_job(self, id: str, user: str, project: str, noun: str, name: str) -> None:
        self._db.execute(
            "INSERT INTO jobs (id, user, project, noun, name, state, started) VALUES (?, ?, ?, ?, ?, 'running', ?)",
            (id, user, project, noun, name, time.time()),
        )

    def progress(self, id: str, fraction: float | None, message: str) -> None:
        self._db.execute("UPDATE jobs SET fraction = ?, message = ? WHERE id = ?", (fraction, message, id))

    def log(self, id: str, line: str) -> None:
        self._db.execute(
            "INSERT INTO log (job, line) SELECT ?, ? WHERE (SELECT count(*) FROM log WHERE job = ?) < ?",
            (id, line, id, _MAX_LOG_LINES),
        )

    def end_job(self, id: str, state: str, message: str, result: Mapping[str, Any] | None) -> None:
        self._db.execute(
            "UPDATE jobs SET state = ?, message = ?, result = ?, ended = ?,"
            " fraction = CASE ? WHEN 'done' THEN 1 ELSE fraction END WHERE id = ?",
            (state, message, None if result is None else json.dumps(result), time.time(), state, id),
        )

    def reported(self, id: str) -> None:
        self._db.execute("UPDATE jobs SET reported = 1 WHERE id = ?", (id,))

    def unreported(self) -> list[sqlite3.Row]:
        return self._db.execute("SELECT * FROM jobs WHERE ended IS NOT NULL AND reported = 0 ORDER BY ended").fetchall()

    def unfinished_jobs(self) -> list[sqlite3.Row]:
        return self._db.execute("SELECT * FROM jobs WHERE ended IS NULL").fetchall()

    def jobs(self, project: str, noun: str, name: str | None = None, limit: int = 100) -> list[sqlite3.Row]:
        """Return the latest jobs first."""
        return self._db.execute(
            "SELECT * FROM jobs WHERE (project, noun) = (?, ?) AND (? IS NULL OR name = ?)"
            " ORDER BY started DESC LIMIT ?",
            (project, noun, name, name, limit),
        ).fetchall()

    def log_lines(self, id: str, limit: int = 50) -> list[str]:
        rows = self._db.execute("SELECT line FROM log WHERE job = ? ORDER BY number DESC LIMIT ?", (id, limit))
        return [row["line"] for row in rows][::-1]
