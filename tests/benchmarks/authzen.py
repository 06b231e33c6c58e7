"""OpenID AuthZEN evaluations by a service account, in turns with the decisions of role tokens."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install, service
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import Size
from tests.benchmarks.load import Load
from tests.benchmarks.servers import Running

ACCOUNT = Identity.service_account("bench-tool")
OPERATOR = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
PER_REQUEST = 50
ACTIONS = ("read:training", "execute:training", "write:dataset", "delete:training", "manage:members")
SUBJECT = 1
"""The user that is asked about."""


def measure(folder: Path, settings: Settings, size: Size, *, seconds: float) -> Iterator[Figure]:
    """Yield the figures of a service on the store that ``settings`` name; ``seconds`` is the length of one round."""
    credential = _create_account(settings)
    with service.service(folder, settings) as (running, hub_secret):
        users = range(1, service.CONNECTIONS + 1)
        tokens = [service.open_session(running, hub_secret, user, size) for user in users]
        yield from _in_turns(running, tokens, credential, size, seconds)


def _create_account(settings: Settings) -> str:
    """Create a service account that may read access everywhere, and return its credential."""
    store = Store.open(settings, install.catalog())
    try:
        with store.write(OPERATOR) as tx:
            accounts.create_service_account(tx, ACCOUNT.name)
            assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", ACCOUNT, reason="benchmark")
            credential: str = credentials.issue_credential(tx, ACCOUNT.name).data["credential"]
        return credential
    finally:
        store.close()


def _in_turns(running: Running, tokens: list[str], credential: str, size: Size, seconds: float) -> Iterator[Figure]:
    decision = service.decisions(running, tokens, seconds)
    single = _load(running, credential, "evaluation", _evaluation(size), seconds)
    many = _load(running, credential, "evaluations", _evaluations(size), seconds)
    rounds = [[service.measure_load(running, load) for load in (decision, single, many)] for _ in range(service.ROUNDS)]
    decided, evaluated, evaluated_many = zip(*rounds, strict=True)
    name, single_name = "decisions of role tokens, in turns with AuthZEN", "AuthZEN evaluations, one a request"
    yield service.rate_figure(name, decided, running)
    yield service.rate_figure(single_name, evaluated, running)
    ratio = statistics.median(ours.outcome.rate / other.outcome.rate for other, ours, _ in rounds)
    yield Figure("AuthZEN evaluations to decisions of role tokens", ratio, "x", "at least 0.8", name)
    rate = statistics.median(measured.outcome.rate for measured in evaluated_many) * PER_REQUEST
    yield Figure(f"AuthZEN evaluations, {PER_REQUEST} a request", rate, "1/s")
    ratio = statistics.median(PER_REQUEST * ours.outcome.rate / other.outcome.rate for _, other, ours in rounds)
    yield Figure(f"AuthZEN evaluations, {PER_REQUEST} a request to one", ratio, "x", "at least 5", single_name)


def _load(running: Running, credential: str, path: str, body: Any, seconds: float) -> Load:
    headers = [[f"Authorization: Bearer {credential}"]] * service.CONNECTIONS
    address = f"/access/v1/{path}"
    return Load(running.host, running.port, "POST", address, headers, json.dumps(body), '"decision":true', seconds)


def _evaluation(size: Size) -> dict[str, Any]:
    project = next(project for project, role in size.held(SUBJECT) if role == service.ROLE)
    return {"subject": _subject(), "action": {"name": "execute:training"}, "resource": _resource(project)}


def _evaluations(size: Size) -> dict[str, Any]:
    """What a tool asks to show one user's projects: which of several actions the user may do in each."""
    requests = [
        {"action": {"name": action}, "resource": _resource(project)}
        for project, _ in size.held(SUBJECT)
        for action in ACTIONS
    ]
    assert len(requests) == PER_REQUEST
    return {"subject": _subject(), "evaluations": requests}


def _subject() -> dict[str, str]:
    return {"type": "user", "id": f"u{SUBJECT}"}


def _resource(project: str) -> dict[str, str]:
    return {"type": "project", "id": project}
