"""Revocations on one replica, each followed at once by commands of all affected users on the other."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from aizen_hub.accounts.groups import management, membership
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install
from tests.benchmarks.figure import Figure
from tests.benchmarks.load import Load, run_in_background
from tests.faults.installation import (
    ADMINS,
    COMMAND,
    DUEL,
    EXECUTOR,
    PROJECTS,
    Installation,
    create_installation,
    write_configuration,
)
from tests.faults.installation import run_installation as founded

COMMANDS = 10_000
CREW = tuple(f"c{number}" for number in range(20))
PROJECT = PROJECTS[0]
OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)


def measure(folder: Path, url: str, seconds: float) -> Iterator[Figure]:
    """Take a role from twenty people at once on replica A, let all of them ask on replica B at once, and do it again.

    Others ask on B all the time. Ends after `COMMANDS` denials, or when the time is over.

    Raises
    ------
    RuntimeError
        A command was allowed after its revocation was acknowledged, or denied before: nothing is measured then.
    """
    secrets = create_installation(folder, url, people=CREW)
    _enrol(folder, url)
    with founded(folder, secrets, url, replicas=2) as here, _beside(here, seconds + 60):
        denied, rounds = _rounds(here, time.monotonic() + seconds)
    yield Figure(f"commands on B after a revocation on A: denied, of {COMMANDS:,}", denied, "", f"at least {COMMANDS}")
    yield Figure("revocations before them", rounds, "")


def _enrol(folder: Path, url: str) -> None:
    store = Store.open(Settings.load(write_configuration(folder, 1, url), {}), install.catalog())
    try:
        with store.write(OPERATOR) as tx:
            management.create_group(tx, "crew")
            for name in CREW:
                membership.add_member(tx, "crew", Identity.user(name))
    finally:
        store.close()


def _rounds(here: Installation, until: float) -> tuple[int, int]:
    admin, callers = _Caller(here, 0), [_Caller(here, -1) for _ in CREW]
    tokens = [_open(callers[0], here, name, PROJECT) for name in CREW]
    change = {"roles": [EXECUTOR], "scope": PROJECT, "identity": "group:crew"}
    denied = rounds = 0
    with ThreadPoolExecutor(len(CREW)) as pool:
        while denied < COMMANDS and time.monotonic() < until:
            admin.post("/api/v1/assignments", here.admin_credential, change)
            if not _allowed(callers[0], tokens[rounds % len(tokens)]):
                raise RuntimeError("denied although the grant was acknowledged")
            admin.post("/api/v1/assignments/revoke", here.admin_credential, change)
            # All at once, on connections of their own: each command comes as soon as the revocation is acknowledged.
            if any(pool.map(_allowed, callers, tokens)):
                raise RuntimeError("allowed although the revocation was acknowledged")
            denied += len(tokens)
            rounds += 1
    return denied, rounds


def _allowed(caller: _Caller, token: str) -> bool:
    answer: bool = caller.post("/api/v1/decisions", token, {"command": COMMAND})["decision"]["allowed"]
    return answer


def _open(caller: _Caller, here: Installation, name: str, project: str) -> str:
    credential = hashlib.sha256(name.encode()).hexdigest()
    body = {"user": name, "requester": name, "server": "", "project": project, "credential": credential}
    token: str = caller.post("/api/v1/sessions", here.hub_secret, body)["token"]
    return token


def _beside(here: Installation, seconds: float) -> AbstractContextManager[None]:
    """Let four connections ask the second replica all the time."""
    token = _open(_Caller(here, -1), here, ADMINS[1], DUEL)
    headers = [[f"Authorization: Bearer {token}"]] * 4
    asked, port = json.dumps({"command": COMMAND}), here.services[-1].port
    return run_in_background(
        Load(
            "127.0.0.1",
            port,
            "POST",
            "/api/v1/decisions",
            headers,
            asked,
            '"allowed":true',
            seconds,
            also_accepted=(503,),
        )
    )


class _Caller:
    """One connection to one replica, which asks again where the service was too slow to be sure."""

    def __init__(self, here: Installation, replica: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", here.services[replica].port, timeout=30)

    def post(self, path: str, credential: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {credential}"}
        for _ in range(5):
            self._connection.request("POST", path, json.dumps(body), headers)
            answer = self._connection.getresponse()
            content = json.loads(answer.read())
            if answer.status < 300:
                return content
            if answer.status != 503:
                break
        raise RuntimeError(f"{path}: {answer.status} {content}")
