"""State that a decision needs besides rights: session, credential, signing key, and whether the project exists."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from aizen_hub.store.database import Database
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.tokens.keys import CLOCK_SKEW, KeyState

MAX_CACHE_ENTRIES = 50_000
_SESSION = (
    'SELECT s."user", s.project, s.ended, s.min_token_revision, u.not_before, p.id, p.not_before FROM sessions s'
    ' LEFT JOIN users u ON u.name = s."user" LEFT JOIN projects p ON p.name = s.project WHERE s.id = ?'
)
_PROJECT = "SELECT id FROM projects WHERE name = ?"
_KEY = "SELECT state, changed FROM keys WHERE kid = ?"
_CREDENTIAL = (
    "SELECT a.name, c.expires FROM credentials c JOIN service_accounts a ON a.id = c.service_account_id"
    " WHERE c.hash = ?"
)


class Session(NamedTuple):
    """A session with the ``not_before`` times of its user and its project; times in microseconds since the epoch."""

    user: str
    project: str | None
    ended: int | None
    min_token_revision: int | None
    user_not_before: int | None
    project_id: int | None
    project_not_before: int | None


class DecisionContext:
    """Looks up sessions, projects, keys and credentials, and caches them while the revision does not change.

    Uses SQL through the driver directly, since every command takes this path.
    """

    def __init__(self, database: Database) -> None:
        statements = (_SESSION, _PROJECT, _KEY, _CREDENTIAL)
        self._session, self._project, self._key, self._credential = map(database.with_placeholders, statements)
        self._cursor: Any = None
        self._cache_key = (-1, 0)
        self._sessions: dict[str, Session | None] = {}
        self._projects: dict[str, bool] = {}
        self._keys: dict[str, tuple[str, int] | None] = {}
        self._credentials: dict[str, tuple[str, int] | None] = {}

    def bind(self, revision: int, cursor: Any, server: int = 0) -> None:
        """Use a cursor from now on; the cache is cleared if it is of another revision or database server."""
        self._cursor = cursor
        cached = len(self._sessions) + len(self._projects) + len(self._keys) + len(self._credentials)
        if (revision, server) != self._cache_key or cached > MAX_CACHE_ENTRIES:
            self._sessions, self._projects, self._keys, self._credentials = {}, {}, {}, {}
            self._cache_key = (revision, server)

    def session(self, session_id: str) -> Session | None:
        """Return a session by its id, or None."""
        if session_id not in self._sessions:
            row = self._select_row(self._session, session_id)
            self._sessions[session_id] = None if row is None else Session(*row)
        return self._sessions[session_id]

    def project_exists(self, name: str) -> bool:
        """Return whether a project of this name exists."""
        if name not in self._projects:
            self._projects[name] = self._select_row(self._project, name) is not None
        return self._projects[name]

    def key_is_accepted(self, kid: str, issued: datetime) -> bool:
        """Return whether a token issued at that time can be signed by this key (R47)."""
        if kid not in self._keys:
            row = self._select_row(self._key, kid)
            self._keys[kid] = None if row is None else (row[0], row[1])
        key_row = self._keys[kid]
        if key_row is None or key_row[0] == KeyState.WITHDRAWN:
            return False
        return key_row[0] != KeyState.RETIRED or to_microseconds(issued - CLOCK_SKEW) <= key_row[1]

    def credential_account(self, credential_hash: str, now: datetime) -> str | None:
        """Return the name of the service account that a credential belongs to; None if it is unknown or expired."""
        if credential_hash not in self._credentials:
            row = self._select_row(self._credential, credential_hash)
            self._credentials[credential_hash] = None if row is None else (row[0], row[1])
        credential = self._credentials[credential_hash]
        return None if credential is None or credential[1] <= to_microseconds(now) else credential[0]

    def _select_row(self, statement: str, name: str) -> Any:
        self._cursor.execute(statement, (name,))
        return self._cursor.fetchone()
