"""The service over HTTP as kernels and the hub use it; beside it a bare Tornado handler and one that asks the hub."""

from __future__ import annotations

import hashlib
import json
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store
from tests.benchmarks import install as town
from tests.benchmarks import servers
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import Size
from tests.benchmarks.load import Load, run
from tests.benchmarks.servers import Running
from tests.fixtures.ports import free_port

CONNECTIONS = 16
ROUNDS = 3
OPENINGS = 50
GRANTS = 50
ROLE = "PROJECT_EXECUTOR"
COMMAND = "start training churn"


def measure(folder: Path, settings: Settings, size: Size, *, seconds: float) -> Iterator[Figure]:
    """Yield the figures of a service on the store that ``settings`` name; ``seconds`` is the length of one round."""
    with servers.hub(folder / "hub") as (hub, hub_token), servers.bare(folder / "bare.log") as bare:
        with service(folder, settings) as (running, hub_secret):
            started = running.seconds_to_start
            opening = _openings(running, hub_secret, size)
            token = _open(running, hub_secret, CONNECTIONS, size)
            alone = list(_alone(running, bare, hub, token, hub_token, seconds / 2))
            many = list(together(running, bare, hub_secret, size, seconds, "SQLite", "at least 0.6"))
            peak = running.peak_megabytes
        with servers.asking(folder / "asking.log", hub) as asking:
            theirs = run(_asking(asking, hub_token, seconds)).rate
    yield from many
    name = f"a service that asks the hub each time, {CONNECTIONS} connections"
    yield Figure(name, theirs, "1/s")
    yield Figure("decisions on SQLite, to asking the hub", many[1].figure / theirs, "x", "at least 2.5", name)
    yield Figure(f"session opening, median of {OPENINGS}", opening * 1000, "ms", "at most 15")
    grants = _grants(settings, size)
    yield Figure(f"grant with its audit row, median of {GRANTS}", grants, "ms", "at most 10")
    yield Figure(f"start to ready, {size.assignments:,} assignments", started, "s", "at most 3")
    yield Figure("peak memory of that service", peak, "MB", "at most 400")
    yield from alone


@contextmanager
def service(folder: Path, settings: Settings, *, limited: bool = False) -> Iterator[tuple[Running, str]]:
    """Start the service; yields it and the hub's secret.

    Parameters
    ----------
    limited : bool
        With the limits that it has by itself. Elsewhere one machine plays all people, each faster than any person.
    """
    port = free_port()
    config = folder / "aizen.yaml"
    config.write_text(
        json.dumps(
            {
                "data_dir": str(settings.data_dir),
                "admin_user": settings.admin_user,
                **({"database": settings.database} if settings.database else {}),
                "service": {"port": port},
                **({} if limited else {"rate": {"requests_per_second": 1e6, "burst": 1_000_000}}),
            }
        ),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "aizen_hub.service", str(config)]
    environ = {"AIZEN_LOG_LEVEL": "WARNING"}
    with servers.server(command, port, "/readyz", folder / "service.log", environ=environ) as running:
        yield running, (settings.hub_secret_path).read_text(encoding="ascii").strip()


def _grants(settings: Settings, size: Size) -> float:
    """Return milliseconds of one grant by a project's admin, its change record and audit row included."""
    store = Store.open(settings, town.catalog())
    admin, project = next(
        (user, project)
        for user in range(1, size.users + 1)
        for project, role in size.held(user)
        if role == "PROJECT_ADMIN"
    )
    actor = Actor(Identity.user(f"u{admin}"), Road.KERNEL, project=project)
    members = {user for user in range(1, size.users + 1) if any(where == project for where, _ in size.held(user))}
    others = [user for user in range(1, size.users + 1) if user not in members][:GRANTS]
    try:
        return 1000 * _median(lambda number: _grant(store, actor, project, f"u{others[number]}"), len(others))
    finally:
        store.close()


def _grant(store: Store, actor: Actor, project: str, user: str) -> None:
    with store.write(actor) as tx:
        assignments.grant(tx, [ROLE], project, Identity.user(user))


def _project(user: int, size: Size) -> str:
    return next(project for project, role in size.held(user) if role == ROLE)


def _open(running: Running, hub_secret: str, user: int, size: Size) -> str:
    credential = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
    body = {
        "user": f"u{user}",
        "requester": f"u{user}",
        "server": "",
        "project": _project(user, size),
        "credential": credential,
    }
    opened = servers.ask(f"{running.url}/api/v1/sessions", {"Authorization": f"Bearer {hub_secret}"}, body)
    token: str = opened["token"]
    return token


def _openings(running: Running, hub_secret: str, size: Size) -> float:
    rest = size.users - CONNECTIONS
    return _median(lambda number: _open(running, hub_secret, 1 + CONNECTIONS + number % rest, size), OPENINGS)


def _decisions(running: Running, tokens: list[str], seconds: float) -> Load:
    return Load(
        running.host,
        running.port,
        "POST",
        "/api/v1/decisions",
        [[f"Authorization: Bearer {token}"] for token in tokens],
        json.dumps({"command": COMMAND}),
        '"allowed":true',
        seconds,
    )


def _bare(running: Running, connections: int, seconds: float) -> Load:
    return Load(
        running.host,
        running.port,
        "POST",
        "/decisions",
        [["Authorization: Bearer " + "x" * 500]] * connections,
        json.dumps({"command": COMMAND}),
        '"allowed": true',
        seconds,
    )


def _alone(
    running: Running, bare: Running, hub: Running, token: str, hub_token: str, seconds: float
) -> Iterator[Figure]:
    """One caller at a time: how long one answer takes."""
    name = "bare Tornado handler, one caller"
    plain, ours = run(_bare(bare, 1, seconds)), run(_decisions(running, [token], seconds))
    asked = run(
        Load(
            hub.host, hub.port, "GET", "/hub/api/user", [[f"Authorization: token {hub_token}"]], "", '"alice"', seconds
        )
    )
    yield Figure(name, plain.median, "ms")
    yield Figure("decision over HTTP, one caller", ours.median, "ms")
    yield Figure("GET /hub/api/user, one caller", asked.median, "ms")
    yield Figure("decision to bare handler, one caller", ours.median / plain.median, "x", None, name)


def together(
    running: Running, bare: Running, hub_secret: str, size: Size, seconds: float, kind: str, target: str
) -> Iterator[Figure]:
    """Sixteen connections: how many answers a second, in turns with the yardstick."""
    tokens = [_open(running, hub_secret, user, size) for user in range(1, CONNECTIONS + 1)]
    name = f"bare Tornado handler, {CONNECTIONS} connections, beside {kind}"
    plain, ours, ratios, tails = [], [], [], []
    for _ in range(ROUNDS):
        plain.append(run(_bare(bare, CONNECTIONS, seconds)).rate)
        outcome = run(_decisions(running, tokens, seconds))
        ours.append(outcome.rate)
        tails.append(outcome.p99)
        ratios.append(ours[-1] / plain[-1])
    yield Figure(name, statistics.median(plain), "1/s")
    yield Figure(f"decisions on {kind}, {CONNECTIONS} connections", statistics.median(ours), "1/s")
    yield Figure(f"the slowest hundredth of them, {kind}", statistics.median(tails), "ms")
    yield Figure(f"decisions on {kind}, to the bare handler", statistics.median(ratios), "x", target, name)


def _asking(asking: Running, hub_token: str, seconds: float) -> Load:
    return Load(
        asking.host,
        asking.port,
        "POST",
        "/decisions",
        [[f"Authorization: token {hub_token}"]] * CONNECTIONS,
        json.dumps({"command": COMMAND}),
        '"allowed": true',
        seconds,
    )


def _median(work: Callable[[int], object], count: int) -> float:
    taken = []
    for number in range(count):
        started = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
