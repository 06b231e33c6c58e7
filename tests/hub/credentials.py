"""Helpers without a browser: hub tokens, role tokens, and the databases of hub and service."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle


def create_hub_token(person: Browser) -> str:
    """Create a hub token for the user of a browser."""
    page = person.api("POST", f"/hub/api/users/{person.name}/tokens", {"note": "test", "expires_in": 600})
    assert page.status == 201, page.text
    return str(page.json()["token"])


def request_with_token(hub: HubHandle, token: str, method: str, path: str, body: Any = None) -> HtmlPage:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"token {token}", "Accept": "application/json", "Content-Type": "application/json"}
    return Browser(hub.url).request(method, path, data, headers)


def decide(url: str, token: str, body: Any) -> tuple[int, Any]:
    """Request a decision as a kernel does."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + "/api/v1/decisions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def renew_role_token(environ: Mapping[str, str]) -> str | None:
    """Exchange the server's hub token for a role token at the service; None where that is denied."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": environ["JUPYTERHUB_API_TOKEN"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    request = urllib.request.Request(environ["AIZEN_URL"] + "/oauth/token", urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["access_token"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 429:
            raise RuntimeError("the token endpoint is throttled, so the result is unknown") from None
        return None


def is_allowed_now(environ: Mapping[str, str], permission: str = "execute:training") -> bool:
    """Return whether a kernel has a permission now, with a new role token."""
    token = renew_role_token(environ)
    return token is not None and is_allowed_with(environ, token, permission)


def is_allowed_with(environ: Mapping[str, str], token: str, permission: str = "execute:training") -> bool:
    """Return whether a role token grants a permission now."""
    status, answer = decide(environ["AIZEN_URL"], token, {"permission": permission})
    return status == 200 and answer["decision"]["allowed"] is True


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until a condition is true; return the seconds it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "the condition did not become true in time"
        time.sleep(0.2)
    return time.monotonic() - start


def service_database(hub: HubHandle) -> sqlite3.Connection:
    """Open the service's own database, to read rows and to change their age."""
    return sqlite3.connect(f"file:{hub.settings.data_dir}/aizen.sqlite", uri=True, timeout=10)


def audit_details(hub: HubHandle, event: str) -> list[dict[str, Any]]:
    """Return the details of every audit row of one event, in order."""
    with service_database(hub) as db:
        rows = db.execute("select body from audit where event = ? order by number", (event,)).fetchall()
    return [json.loads(row[0])["details"] for row in rows]


def project_of_session(hub: HubHandle, user: str, server: str = "") -> str | None:
    """Return the project of a server's active session; empty for a system session, None without a session."""
    query = "select coalesce(project, '') from sessions where user = ? and server = ? and ended is null"
    with service_database(hub) as db:
        row = db.execute(query, (user, server)).fetchone()
    return None if row is None else str(row[0])


def has_running_server(hub: HubHandle, user: str) -> bool:
    """Return whether the hub's own database has a running server of a user."""
    with sqlite3.connect(f"file:{hub.folder}/jupyterhub.sqlite?mode=ro", uri=True, timeout=10) as db:
        query = "select 1 from spawners s join users u on u.id = s.user_id where u.name = ? and s.server_id is not null"
        return db.execute(query, (user,)).fetchone() is not None
