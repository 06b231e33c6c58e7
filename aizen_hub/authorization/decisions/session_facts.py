"""What a decision needs beside rights: whether the session lives, the project exists, the token still counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from aizen_hub.store.database import Database
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.tokens.keys import SKEW, KeyState

MAX_ENTRIES = 50_000
_SESSION = (
    'SELECT s."user", s.project, s.ended, s.tokens_from, u.not_before, p.id, p.not_before FROM sessions s'
    ' LEFT JOIN users u ON u.name = s."user" LEFT JOIN projects p ON p.name = s.project WHERE s.id = ?'
)
_PROJECT = "SELECT id FROM projects WHERE name = ?"
_KEY = "SELECT state, changed FROM keys WHERE kid = ?"


class Session(NamedTuple):
    """A session with what may have ended the tokens of its user and of its project; times in microseconds."""

    user: str
    project: str | None
    ended: int | None
    tokens_from: int | None
    user_not_before: int | None
    project_id: int | None
    project_not_before: int | None


class Facts:
    """Looks facts up in one transaction, and remembers them while the revision stands still.

    Plain statements through the driver: this is the path of every command.
    """

    def __init__(self, database: Database) -> None:
        self._session, self._project, self._key = map(database.sql, (_SESSION, _PROJECT, _KEY))
        self._cursor: Any = None
        self._known_at = (-1, 0)
        self._sessions: dict[str, Session | None] = {}
        self._projects: dict[str, bool] = {}
        self._keys: dict[str, tuple[str, int] | None] = {}

    def at(self, revision: int, cursor: Any, server: int = 0) -> None:
        """Use this cursor from now on; what is of another revision or server is forgotten."""
        self._cursor = cursor
        held = len(self._sessions) + len(self._projects) + len(self._keys)
        if (revision, server) != self._known_at or held > MAX_ENTRIES:
            self._sessions, self._projects, self._keys = {}, {}, {}
            self._known_at = (revision, server)

    def session(self, number: str) -> Session | None:
        if number not in self._sessions:
            row = self._look_up(self._session, number)
            self._sessions[number] = None if row is None else Session(*row)
        return self._sessions[number]

    def project_exists(self, name: str) -> bool:
        if name not in self._projects:
            self._projects[name] = self._look_up(self._project, name) is not None
        return self._projects[name]

    def key_counts(self, kid: str, issued: datetime) -> bool:
        """Tell whether a token of that time can come from this key (R47)."""
        if kid not in self._keys:
            row = self._look_up(self._key, kid)
            self._keys[kid] = None if row is None else (row[0], row[1])
        found = self._keys[kid]
        if found is None or found[0] == KeyState.WITHDRAWN:
            return False
        return found[0] != KeyState.RETIRED or to_microseconds(issued - SKEW) <= found[1]

    def _look_up(self, statement: str, name: str) -> Any:
        self._cursor.execute(statement, (name,))
        return self._cursor.fetchone()
