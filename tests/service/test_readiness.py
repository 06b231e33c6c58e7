"""Concurrent probes; the reasons are tested where they arise: `test_replicas`, `test_seal` and `test_clock_check`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aizen_hub.service.readiness import NotReady, ReadinessCheck
from aizen_hub.store.transaction import ReadTransaction
from tests.service.conftest import Driver


@pytest.mark.proves("R125")
async def test_concurrent_probes_share_one_query(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    check, result, go = ReadinessCheck._check, ReadinessCheck.result, asyncio.Event()
    loop, all_arrived = asyncio.get_running_loop(), asyncio.Event()
    arrived, checks = [], []

    async def counted(self: ReadinessCheck, read: Any) -> NotReady | None:
        arrived.append(read)
        if len(arrived) == 40:
            all_arrived.set()
        return await result(self, read)

    def slow(self: ReadinessCheck, tx: ReadTransaction) -> NotReady | None:
        checks.append(tx)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(timeout=30)
        return check(self, tx)

    monkeypatch.setattr(ReadinessCheck, "_check", slow)
    monkeypatch.setattr(ReadinessCheck, "result", counted)
    probes = [asyncio.create_task(service.call("GET", "/readyz")) for _ in range(40)]
    await asyncio.wait_for(all_arrived.wait(), timeout=30)
    assert (await service.call("GET", "/livez")).status == 200
    go.set()
    assert {response.status for response in await asyncio.gather(*probes)} == {200}
    assert len(checks) == 1
