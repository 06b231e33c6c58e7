"""Role tokens are made at a rate of each session's own: one flooder waits, with or without a good credential."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select

from aizen_hub.service.api import health
from aizen_hub.service.api.health import Unfit
from aizen_hub.service.auth import rate_limits as limits
from aizen_hub.service.context import House
from aizen_hub.service.oauth.exchange import ACCESS_TOKEN, GRANT, JWT
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store import tables
from aizen_hub.store.transaction import Read
from tests.service.conftest import Driver, Response, Session

BURST = 6
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NEIGHBOURS = [f"n{number}" for number in range(10)]
PROBES = ("/livez", "/readyz", "/metrics", "/.well-known/jwks.json")


@pytest.fixture
def options() -> dict[str, Any]:
    # The bucket of a source address holds ten times `burst`: everything here comes from one.
    return {"rate": {"requests_per_second": 5, "burst": 10, "tokens_per_minute": 0.01, "token_burst": BURST}}


async def exchange(service: Driver, subject: str, **more: str) -> Response:
    fields = {"grant_type": GRANT, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, **more}
    return await service.call("POST", "/oauth/token", raw=urlencode(fields).encode(), headers=FORM)


async def revoke(service: Driver, token: str) -> int:
    return (await service.call("POST", "/oauth/revoke", raw=f"token={token}".encode(), headers=FORM)).status


def recorded(service: Driver, event: str = "exchange") -> int:
    with service.house.store.read() as tx:
        count = select(func.count()).select_from(tables.audit).where(tables.audit.c.event == event)
        return int(tx.conn.execute(count).scalar_one())


async def flooded(service: Driver, sent: int, **form: str) -> Counter[int]:
    """Send many exchanges over sixteen connections; returns how often each status came."""
    found: Counter[int] = Counter()
    left = iter(range(sent))

    async def one() -> None:
        for _ in left:
            found[(await exchange(service, **form)).status] += 1

    await asyncio.gather(*(one() for _ in range(16)))
    return found


async def neighbours(service: Driver) -> list[Session]:
    return [await service.open("rob", server=name) for name in NEIGHBOURS]


async def rounds(service: Driver, sessions: list[Session]) -> Counter[int]:
    """Let everybody renew a few times, and everything be probed, while something else happens."""
    found: Counter[int] = Counter()
    for _ in range(BURST - 1):
        for session in sessions:
            found[(await service.renew(session)).status] += 1
        for path in PROBES:
            found[(await service.call("GET", path)).status] += 1
    return found


@pytest.mark.proves("R125", "T-36", "T-37")
async def test_who_renews_without_end_is_refused_and_nobody_else(service: Driver) -> None:
    eve, others = await service.open("eve"), await neighbours(service)
    before = recorded(service)
    flood, calm = await asyncio.gather(flooded(service, 150, subject=eve.hub_token), rounds(service, others))
    assert calm == {200: (BURST - 1) * (len(others) + len(PROBES))}
    assert set(flood) == {200, 429}
    assert flood[200] == BURST
    assert recorded(service) - before == flood[200] + (BURST - 1) * len(others), "a refusal writes nothing"
    refused = await exchange(service, eve.hub_token)
    assert (refused.status, refused.json["error"]) == (429, "temporarily_unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    second = await service.open("eve", server="second")
    assert (await service.renew(second)).status == 200, "another kernel of the same person has its own share"


@pytest.mark.proves("R125")
async def test_who_asks_again_at_once_is_answered_slowly(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_SECONDS", 3600)
    eve, rob = await service.open("eve"), await service.open("rob")
    assert {(await service.renew(eve)).status for _ in range(BURST)} == {200}
    asked = [asyncio.create_task(service.renew(eve)) for _ in range(3)]
    assert (await service.renew(rob)).status == 200
    assert {answer.status for answer in await asyncio.gather(*asked)} == {503}, "no longer than any request may take"


@pytest.mark.proves("R125", "R127", "T-36", "T-37")
async def test_a_flood_of_credentials_that_are_none_takes_nothing_from_others(service: Driver) -> None:
    others = await neighbours(service)
    flood, calm = await asyncio.gather(flooded(service, 400, subject="garbage"), rounds(service, others))
    assert calm == {200: (BURST - 1) * (len(others) + len(PROBES))}
    assert set(flood) <= {400, 429}
    assert len(service.house.limits._minted) == len(others), "no bucket for what is not known to be a session's"


@pytest.mark.proves("R125", "T-36", "T-37")
async def test_to_narrow_without_end_is_refused_and_leaves_the_session_its_renewals(service: Driver) -> None:
    eve = await service.open("eve")
    form = {"subject": eve.token, "subject_token_type": JWT, "scope": "read:training"}
    flood = await flooded(service, 60, **form)
    assert set(flood) == {200, 429}
    assert flood[200] == BURST
    assert (await service.renew(eve)).status == 200


@pytest.mark.proves("R125", "T-09", "T-37")
async def test_a_role_token_without_its_credential_cannot_fill_the_audit(service: Driver) -> None:
    eve = await service.open("eve")
    before = recorded(service)
    for number in range(40):
        await exchange(service, f"guess{number}", actor_token=eve.token, actor_token_type=JWT)
    assert recorded(service) - before == 10
    assert (await service.renew(eve)).status == 200


@pytest.mark.proves("R52", "R125", "T-37")
async def test_who_keeps_a_dead_token_uses_up_nobody_s_revocations(service: Driver) -> None:
    eve = await service.open("eve")
    statuses = [await revoke(service, eve.token) for _ in range(40)]
    assert set(statuses) == {200, 429}
    assert recorded(service, "token.revoked") == 1
    fresh = (await service.renew(eve)).json["access_token"]
    assert await revoke(service, fresh) == 200
    assert recorded(service, "token.revoked") == 2


@pytest.mark.proves("R125")
async def test_a_flood_of_probes_is_one_question_to_the_store(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    look, fitness, go = health._unfit, health._fitness, asyncio.Event()
    loop, all_came = asyncio.get_running_loop(), asyncio.Event()
    came: list[Call] = []
    looks: list[House] = []

    async def counted(call: Call) -> Unfit | None:
        came.append(call)
        if len(came) == 40:
            all_came.set()
        return await fitness(call)

    def slow(house: House, tx: Read) -> Unfit | None:
        looks.append(house)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(timeout=30)
        return look(house, tx)

    monkeypatch.setattr(health, "_unfit", slow)
    monkeypatch.setattr(health, "_fitness", counted)
    probes = [asyncio.create_task(service.call("GET", "/readyz")) for _ in range(40)]
    await asyncio.wait_for(all_came.wait(), timeout=30)
    assert (await service.call("GET", "/livez")).status == 200
    go.set()
    assert {answer.status for answer in await asyncio.gather(*probes)} == {200}
    assert len(looks) == 1


@pytest.mark.proves("R125")
async def test_figures_are_not_made_anew_for_everybody_who_asks(
    service: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PAGES_PER_SECOND", 1e-6)
    pages = {(await service.call("GET", "/metrics")).body for _ in range(60)}
    assert len(pages) == health.PAGES_AT_ONCE
