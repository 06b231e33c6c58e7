"""How many decisions a second the court makes durable, without HTTP around it.

``python -m tests.benchmarks.decision_service [postgresql://…]``
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import insert

from aizen_hub.authorization.decisions.decision_service import Court, Question
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.settings import Settings
from aizen_hub.store import migrate as schema
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store
from tests.benchmarks import install as town
from tests.benchmarks.figure import Figure

OPERATOR = Actor(Identity.service_account("aizen-hub"), Road.OPERATOR)
CONNECTIONS = (1, 16, 64)
SECONDS = 2.0


def prepare(store: Store) -> list[Question]:
    """Register 16 people with a role and a session each, and return what each of them asks."""
    asked = []
    with store.write(OPERATOR) as tx:
        rows = {"alerts": {}, "display_name": "", "created": tx.now, "active": True}
        project = {"description": "", "created_by": "user:c0", "created": tx.now, "version": 1}
        tx.conn.execute(insert(tables.projects).values(name="court", **project))
        for number in range(16):
            name = f"c{number}"
            tx.conn.execute(insert(tables.users).values(name=name, provider="local", subject=name, **rows))
            tx.conn.execute(
                insert(tables.assignments).values(
                    role="PROJECT_EXECUTOR", scope="court", identity=f"user:{name}", reason="", granted_by="user:c0",
                    granted=tx.now, creator=False, revision=1,
                )
            )  # fmt: skip
            tx.conn.execute(
                insert(tables.sessions).values(
                    id=f"{number:032x}", user=name, server="", project="court", credential=f"{number:064x}",
                    started=tx.now, heard=tx.now,
                )
            )  # fmt: skip
            actor = Actor(
                Identity.user(name), Road.KERNEL, session=f"{number:032x}", project="court", token_id="f" * 32
            )
            asked.append(Question(actor, Request(Permission("execute", "training"), "court", actor.session)))
        tx.change("benchmark", {}, ["*"])
    return asked


async def rate(court: Court, asked: list[Question], connections: int, seconds: float = SECONDS) -> tuple[float, float]:
    """Return decisions per second, and the median in milliseconds, with so many askers at once."""
    ends = time.perf_counter() + seconds
    times: list[float] = []

    async def one(question: Question) -> None:
        while (started := time.perf_counter()) < ends:
            ruling = await court.decide(question)
            if not ruling.decision.allowed:
                raise RuntimeError(ruling.decision.sentence)
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(one(asked[number % len(asked)]) for number in range(connections)))
    return len(times) / seconds, sorted(times)[len(times) // 2] * 1000


def measure(settings: Settings) -> list[Figure]:
    """Return the figures for the database of ``settings``."""
    store = Store.open(settings, town.catalog())
    court = Court(store)
    kind = "SQLite" if store.database.embedded else "PostgreSQL"
    out = []
    try:
        asked = prepare(store)
        for connections in CONNECTIONS:
            asyncio.run(rate(court, asked, connections, 0.3))
            per_second, median = asyncio.run(rate(court, asked, connections))
            out.append(Figure(f"court on {kind}, {connections} askers", per_second, "1/s"))
            out.append(Figure(f"court on {kind}, {connections} askers, median", median, "ms"))
    finally:
        court.close()
        store.close()
    return out


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else None
        if url is not None:
            schema.upgrade(url)
        for figure in measure(Settings(data_dir=Path(folder), database=url)):
            print(f"{figure.name}: {figure.figure:,.1f} {figure.unit}")


if __name__ == "__main__":
    main()
