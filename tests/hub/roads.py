"""What goes past the pages of a hub: hub tokens, role tokens, and what the service's own database holds."""

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
from aizen_hub.demo.page import Page
from tests.fixtures.hub import HubHandle


def api_token(person: Browser) -> str:
    """Make a hub token of one's own."""
    page = person.api("POST", f"/hub/api/users/{person.name}/tokens", {"note": "test", "expires_in": 600})
    assert page.status == 201, page.text
    return str(page.json()["token"])


def with_token(hub: HubHandle, token: str, method: str, path: str, body: Any = None) -> Page:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"token {token}", "Accept": "application/json", "Content-Type": "application/json"}
    return Browser(hub.url).request(method, path, data, headers)


def ask(url: str, token: str, body: Any) -> tuple[int, Any]:
    """Decide as a kernel does."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + "/api/v1/decisions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def renewed(environ: Mapping[str, str]) -> str | None:
    """Exchange the server's hub token for a role token, past the hub; None where that is refused."""
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
            raise RuntimeError("who asks too often learns nothing") from None
        return None


def may(environ: Mapping[str, str], permission: str = "execute:training") -> bool:
    """Whether a kernel may do something now, with a role token that it fetches for it."""
    token = renewed(environ)
    return token is not None and holds(environ, token, permission)


def holds(environ: Mapping[str, str], token: str, permission: str = "execute:training") -> bool:
    """Whether a role token opens something now."""
    status, answer = ask(environ["AIZEN_URL"], token, {"permission": permission})
    return status == 200 and answer["decision"]["allowed"] is True


def wait_for(what: Callable[[], bool], seconds: float) -> float:
    """Wait until something is so; return how many seconds it took."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.2)
    return time.monotonic() - start


def store(hub: HubHandle) -> sqlite3.Connection:
    """The service's own database, which tests read, and make older."""
    return sqlite3.connect(f"file:{hub.settings.data_dir}/aizen.sqlite", uri=True, timeout=10)


def recorded(hub: HubHandle, event: str) -> list[dict[str, Any]]:
    """The details of every audit row of one kind, in order."""
    with store(hub) as db:
        rows = db.execute("select body from audit where event = ? order by number", (event,)).fetchall()
    return [json.loads(row[0])["details"] for row in rows]


def project_of_session(hub: HubHandle, user: str, server: str = "") -> str | None:
    """The project of the live session of a server; empty for a system session, None where there is no session."""
    query = "select coalesce(project, '') from sessions where user = ? and server = ? and ended is null"
    with store(hub) as db:
        found = db.execute(query, (user, server)).fetchone()
    return None if found is None else str(found[0])


def runs(hub: HubHandle, user: str) -> bool:
    """Whether the hub's own database has a server of somebody."""
    with sqlite3.connect(f"file:{hub.folder}/jupyterhub.sqlite?mode=ro", uri=True, timeout=10) as db:
        query = "select 1 from spawners s join users u on u.id = s.user_id where u.name = ? and s.server_id is not null"
        return db.execute(query, (user,)).fetchone() is not None
