"""Check of the replicas that share the database: what their configurations must have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from aizen_hub.cli.doctor.store import MAX_CLOCK_SKEW
from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation

if TYPE_CHECKING:
    from aizen_hub.store.sql_store import Store

_RUNNING = timedelta(seconds=45)
"""Replicas report themselves every ten seconds; one that was seen earlier has stopped."""


def check_replicas(store: Store, _installation: Installation) -> Iterator[CheckResult]:
    from aizen_hub.store import tables

    r = tables.replicas
    with store.read() as tx:
        query = select(r).where(r.c.seen > tx.now - _RUNNING).order_by(r.c.host, r.c.instance)
        rows = tx.conn.execute(query).all()
    # Of secrets the table has keyed hashes, so that values can be compared and not shown.
    hosts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, value in row.configuration.items():
            hosts[name][str(value)].append(row.host)
    differing = sorted(name for name, values in hosts.items() if len(values) > 1)
    for name in differing:
        groups = " but ".join(" and ".join(sorted(set(group))) for group in hosts[name].values())
        yield CheckResult.error(
            "replicas-differ",
            in_settings(name),
            f"the replicas have different values of {name}: {groups}",
            "give all replicas the same configuration and files, and restart those that differ",
        )
    for row in rows:
        if abs(row.clock_offset) > MAX_CLOCK_SKEW.total_seconds():
            yield CheckResult.error(
                "replica-clock",
                f"the clock of {row.host}",
                f"the clock of the replica on {row.host} is {abs(row.clock_offset):.0f} s off the database's",
                "run NTP on that machine",
            )
    if rows and not differing:
        yield CheckResult.passed("replicas-differ", f"{len(rows)} running replicas have the same configuration")
