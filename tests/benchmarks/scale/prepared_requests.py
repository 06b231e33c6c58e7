"""The requests of kernels, hub and browsers, prepared as lines for `request_load`."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.benchmarks.scale.installation import ADMIN, PASSWORD, ScaleInstallation, hub_token

COMMAND = "start training churn"
PREFIX = "/services/aizen/"
GROUPS = [f"cn=team-{number},ou=groups,dc=lab,dc=test" for number in range(5)]
_JSON = "Content-Type: application/json"
_FORM = "Content-Type: application/x-www-form-urlencoded"
_CODE = "a-code"


def write_requests(folder: Path, name: str, requests: Iterable[dict[str, Any]]) -> str:
    """Write requests into a file, and return its path."""
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    file.chmod(0o600)
    return str(file)


def renewals(here: ScaleInstallation) -> Iterator[dict[str, Any]]:
    """One of each session, by the hub token of its server (RFC 8693)."""
    for user in range(1, here.sessions + 1):
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": hub_token(user),
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        yield _request("POST", "/oauth/token", [_FORM], urlencode(form))


def decisions(tokens: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One of each session, by its role token."""
    body = json.dumps({"command": COMMAND})
    for token in tokens:
        yield _request("POST", "/api/v1/decisions", [_JSON, f"Authorization: Bearer {token}"], body)


def logins(here: ScaleInstallation) -> Iterator[dict[str, Any]]:
    """Reports of people whom a directory authenticated, with their groups."""
    for user in _newcomers(here):
        body = {"provider": "lab", "subject": f"u{user}", "name": f"u{user}", "groups": GROUPS}
        yield _by_hub(here, "/api/v1/login", body)


def passwords(here: ScaleInstallation, number: int) -> Iterator[dict[str, Any]]:
    """Checks of the right password of a local account."""
    for _ in range(number):
        yield _by_hub(here, "/api/v1/login/password", {"provider": "local", "name": ADMIN, "password": PASSWORD})


def starts(here: ScaleInstallation) -> Iterator[dict[str, Any]]:
    """Sessions of servers that start."""
    for user in _newcomers(here):
        body = {
            "user": f"u{user}",
            "requester": f"u{user}",
            "server": "",
            "project": here.project(user),
            "credential": hashlib.sha256(hub_token(user).encode()).hexdigest(),
        }
        yield _by_hub(here, "/api/v1/sessions", body)


def heartbeats(here: ScaleInstallation) -> Iterator[dict[str, Any]]:
    """The hub's list of all servers with a planted session, as often as it is asked for."""
    live = [{"user": f"u{user}", "server": ""} for user in range(1, here.sessions + 1)]
    yield _by_hub(here, "/api/v1/sessions/heartbeat", {"live": live})


def pages(cookie: str, page: str) -> Iterator[dict[str, Any]]:
    """A page of the panel in a signed-in browser."""
    yield _request("GET", PREFIX + page, [f"Cookie: {cookie}"], "")


def sign_in(here: ScaleInstallation, user: str = ADMIN) -> str:
    """Sign a browser in to the panel at the first replica; return its cookies, which all replicas accept.

    Raises
    ------
    RuntimeError
        It was not signed in.
    """
    connection = http.client.HTTPConnection("127.0.0.1", here.ports[0], timeout=30)
    cookies: dict[str, str] = {}

    def get(page: str) -> str:
        head = {"Cookie": _join(cookies)} if cookies else {}
        connection.request("GET", PREFIX + page, headers=head)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                cookies[key] = rest.partition(";")[0]
        if answer.status != 302:
            raise RuntimeError(f"sign-in to the panel: {answer.status} {text[:600]}")
        return answer.getheader("Location", "")

    try:
        state = parse_qs(urlsplit(get("me")).query)["state"][0]
        here.hub.tokens[f"token-of-{user}"] = user
        here.hub.codes[_CODE] = f"token-of-{user}"
        get("oauth_callback?" + urlencode({"code": _CODE, "state": state}))
    finally:
        connection.close()
    return _join(cookies)


def _join(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items() if value)


def _newcomers(here: ScaleInstallation) -> range:
    return range(here.sessions + 1, here.size.users + 1)


def _by_hub(here: ScaleInstallation, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _request("POST", path, [_JSON, f"Authorization: Bearer {here.hub_secret}"], json.dumps(body))


def _request(method: str, path: str, head: list[str], body: str) -> dict[str, Any]:
    return {"method": method, "path": path, "head": head, "body": body}
