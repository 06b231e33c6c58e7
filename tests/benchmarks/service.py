"""The service over HTTP as kernels and the hub use it; beside it a bare Tornado handler and one that asks the hub."""

from __future__ import annotations

import hashlib
import json
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aizen_hub.accounts.roles import assignments
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install, servers
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import Size
from tests.benchmarks.load import Load, Outcome, run
from tests.benchmarks.servers import Running
from tests.fixtures.network.ports import free_port

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
            yield Figure(
                f"start to ready, {size.assignments:,} assignments", running.seconds_to_start, "s", "at most 3"
            )
            opening = _openings(running, hub_secret, size)
            yield Figure(f"session opening, median of {OPENINGS}", opening * 1000, "ms", "at most 15")
            token = open_session(running, hub_secret, CONNECTIONS, size)
            yield from _alone(running, bare, hub, token, hub_token, seconds / 2)
            many = list(together(running, bare, hub_secret, size, seconds, "SQLite", "at least 0.85"))
            yield from many
            yield Figure("peak memory of that service", running.peak_megabytes, "MB", "at most 400")
        name = f"a service that asks the hub each time, {CONNECTIONS} connections"
        with servers.hub_backed(folder / "hub-backed.log", hub) as other:
            measured = measure_load(other, _hub_backed(other, hub_token, seconds))
            yield rate_figure(name, [measured], other)
        ratio = many[1].figure / measured.outcome.rate
        yield Figure("decisions on SQLite, to asking the hub", ratio, "x", "at least 2.5", name)
    grants = _grants(settings, size)
    yield Figure(f"grant with its audit row, median of {GRANTS}", grants, "ms", "at most 10")


@contextmanager
def service(folder: Path, settings: Settings, *, limited: bool = False) -> Iterator[tuple[Running, str]]:
    """Start the service; yields it and the hub secret.

    Parameters
    ----------
    limited : bool
        Keep the default rate limits. Without, since one machine plays all users, each faster than any person is.
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
    store = Store.open(settings, install.catalog())
    admin, project = next(
        (user, project)
        for user in range(1, size.users + 1)
        for project, role in size.held(user)
        if role == "PROJECT_ADMIN"
    )
    actor = Actor(Identity.user(f"u{admin}"), Channel.KERNEL, project=project)
    members = {user for user in range(1, size.users + 1) if any(held == project for held, _ in size.held(user))}
    others = [user for user in range(1, size.users + 1) if user not in members][:GRANTS]
    try:
        return 1000 * _median(lambda index: _grant(store, actor, project, f"u{others[index]}"), len(others))
    finally:
        store.close()


def _grant(store: Store, actor: Actor, project: str, user: str) -> None:
    with store.write(actor) as tx:
        assignments.grant_roles(tx, [ROLE], project, Identity.user(user))


def _project(user: int, size: Size) -> str:
    return next(project for project, role in size.held(user) if role == ROLE)


def open_session(running: Running, hub_secret: str, user: int, size: Size) -> str:
    """Open a session of a user in one of its projects, and return the role token."""
    credential = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
    body = {
        "user": f"u{user}",
        "requester": f"u{user}",
        "server": "",
        "project": _project(user, size),
        "credential": credential,
    }
    opened = servers.post_json(f"{running.url}/api/v1/sessions", {"Authorization": f"Bearer {hub_secret}"}, body)
    token: str = opened["token"]
    return token


def _openings(running: Running, hub_secret: str, size: Size) -> float:
    rest = size.users - CONNECTIONS
    return _median(lambda index: open_session(running, hub_secret, 1 + CONNECTIONS + index % rest, size), OPENINGS)


def decisions(running: Running, tokens: list[str], seconds: float) -> Load:
    """Return a load of decisions that are allowed, with one connection for each token."""
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
    plain, ours = run(_bare(bare, 1, seconds)), run(decisions(running, [token], seconds))
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
    tokens = [open_session(running, hub_secret, user, size) for user in range(1, CONNECTIONS + 1)]
    name = f"bare Tornado handler, {CONNECTIONS} connections, beside {kind}"
    plain, ours, ratios, tails = [], [], [], []
    for _ in range(ROUNDS):
        plain.append(measure_load(bare, _bare(bare, CONNECTIONS, seconds)))
        ours.append(measure_load(running, decisions(running, tokens, seconds)))
        tails.append(ours[-1].outcome.p99)
        ratios.append(ours[-1].outcome.rate / plain[-1].outcome.rate)
    yield rate_figure(name, plain, bare)
    yield rate_figure(f"decisions on {kind}, {CONNECTIONS} connections", ours, running)
    yield Figure(f"the slowest hundredth of them, {kind}", statistics.median(tails), "ms")
    yield Figure(f"decisions on {kind}, to the bare handler", statistics.median(ratios), "x", target, name)


class Measured(NamedTuple):
    """The outcome of one round, with the processor time of the server for each answer in µs."""

    outcome: Outcome
    cpu_microseconds: float


def measure_load(server: Running, load: Load) -> Measured:
    """Run a load against a server."""
    before = server.cpu_seconds
    outcome = run(load)
    return Measured(outcome, 1e6 * (server.cpu_seconds - before) / outcome.total)


def rate_figure(name: str, rounds: Sequence[Measured], server: Running) -> Figure:
    """Return the median rate of some rounds."""
    return Figure(
        name,
        statistics.median(measured.outcome.rate for measured in rounds),
        "1/s",
        cpu_microseconds=statistics.median(measured.cpu_microseconds for measured in rounds),
        peak_megabytes=server.peak_megabytes,
    )


def _hub_backed(running: Running, hub_token: str, seconds: float) -> Load:
    return Load(
        running.host,
        running.port,
        "POST",
        "/decisions",
        [[f"Authorization: token {hub_token}"]] * CONNECTIONS,
        json.dumps({"command": COMMAND}),
        '"allowed": true',
        seconds,
    )


def _median(operation: Callable[[int], object], count: int) -> float:
    taken = []
    for index in range(count):
        started = time.perf_counter()
        operation(index)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
