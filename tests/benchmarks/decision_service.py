"""Durable decisions a second of the decision service, without HTTP.

``python -m tests.benchmarks.decision_service [postgresql://…]``
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import insert

from aizen_hub.authorization.decisions.decision_service import DecisionRequest, DecisionService
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.settings import Settings
from aizen_hub.store import migrate, tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from tests.benchmarks import install
from tests.benchmarks.figure import Figure

OPERATOR = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
CONNECTIONS = (1, 16, 64)
SECONDS = 2.0


def prepare(store: Store) -> list[DecisionRequest]:
    """Register 16 people with a role and a session each, and return what each of them asks."""
    requests = []
    with store.write(OPERATOR) as tx:
        rows = {"alerts": {}, "display_name": "", "created": tx.now, "active": True}
        project = {"description": "", "created_by": "user:c0", "created": tx.now, "version": 1}
        tx.conn.execute(insert(tables.projects).values(name="bench", **project))
        for number in range(16):
            name = f"c{number}"
            tx.conn.execute(insert(tables.users).values(name=name, provider="local", subject=name, **rows))
            tx.conn.execute(
                insert(tables.assignment_rows).values(
                    role="PROJECT_EXECUTOR", scope="bench", identity=f"user:{name}", reason="", granted_by="user:c0",
                    granted=tx.now, creator=False, revision=1,
                )
            )  # fmt: skip
            tx.conn.execute(
                insert(tables.sessions).values(
                    id=f"{number:032x}", user=name, hub="main", server="", project="bench", credential=f"{number:064x}",
                    started=tx.now, last_seen=tx.now,
                )
            )  # fmt: skip
            actor = Actor(
                Identity.user(name), Channel.KERNEL, session=f"{number:032x}", project="bench", token_id="f" * 32
            )
            requests.append(
                DecisionRequest(actor, AuthorizationRequest(Permission("execute", "training"), "bench", actor.session))
            )
        tx.record_change("benchmark", {}, ["*"])
    return requests


async def rate(
    decisions: DecisionService, requests: list[DecisionRequest], connections: int, seconds: float = SECONDS
) -> tuple[float, float]:
    """Return decisions per second, and the median in milliseconds, with so many callers at once."""
    ends = time.perf_counter() + seconds
    times: list[float] = []

    async def decide_repeatedly(request: DecisionRequest) -> None:
        while (started := time.perf_counter()) < ends:
            recorded = await decisions.decide(request)
            if not recorded.decision.allowed:
                raise RuntimeError(recorded.decision.sentence)
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(decide_repeatedly(requests[number % len(requests)]) for number in range(connections)))
    return len(times) / seconds, sorted(times)[len(times) // 2] * 1000


def measure(settings: Settings) -> list[Figure]:
    """Return the figures for the database of ``settings``."""
    store = Store.open(settings, install.catalog())
    decisions = DecisionService(store)
    kind = "SQLite" if store.database.embedded else "PostgreSQL"
    out = []
    try:
        requests = prepare(store)
        for connections in CONNECTIONS:
            asyncio.run(rate(decisions, requests, connections, 0.3))
            per_second, median = asyncio.run(rate(decisions, requests, connections))
            out.append(Figure(f"decision service on {kind}, {connections} callers", per_second, "1/s"))
            out.append(Figure(f"decision service on {kind}, {connections} callers, median", median, "ms"))
    finally:
        decisions.close()
        store.close()
    return out


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else None
        if url is not None:
            migrate.upgrade(url)
        for figure in measure(Settings(data_dir=Path(folder), database=url)):
            print(f"{figure.name}: {figure.figure:,.1f} {figure.unit}")


if __name__ == "__main__":
    main()
