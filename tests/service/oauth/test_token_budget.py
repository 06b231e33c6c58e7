"""Each session has its own budget of role tokens, so that a flood from one client delays no other client."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select

from aizen_hub.service.auth import rate_limits
from aizen_hub.service.oauth.exchange import ACCESS_TOKEN_TYPE, JWT_TYPE, TOKEN_EXCHANGE_GRANT
from aizen_hub.store import tables
from tests.service.conftest import Driver, Response, Session

BURST = 6
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OTHER_SERVERS = [f"n{number}" for number in range(10)]
PROBES = ("/livez", "/readyz", "/metrics", "/.well-known/jwks.json")


@pytest.fixture
def options() -> dict[str, Any]:
    # The bucket of a client address holds ten times `burst`; all requests of this test come from one address.
    return {"rate": {"requests_per_second": 5, "burst": 10, "tokens_per_minute": 0.01, "token_burst": BURST}}


async def exchange(service: Driver, subject: str, **more: str) -> Response:
    fields = {
        "grant_type": TOKEN_EXCHANGE_GRANT,
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN_TYPE,
        **more,
    }
    return await service.call("POST", "/oauth/token", raw=urlencode(fields).encode(), headers=FORM)


async def revoke(service: Driver, token: str) -> int:
    return (await service.call("POST", "/oauth/revoke", raw=f"token={token}".encode(), headers=FORM)).status


def recorded(service: Driver, event: str = "exchange") -> int:
    with service.context.store.read() as tx:
        count = select(func.count()).select_from(tables.audit).where(tables.audit.c.event == event)
        return int(tx.conn.execute(count).scalar_one())


async def flood_exchanges(service: Driver, sent: int, **form: str) -> Counter[int]:
    """Send many exchanges over sixteen connections; returns the number of responses by status."""
    statuses: Counter[int] = Counter()
    remaining = iter(range(sent))

    async def send() -> None:
        for _ in remaining:
            statuses[(await exchange(service, **form)).status] += 1

    await asyncio.gather(*(send() for _ in range(16)))
    return statuses


async def open_other_sessions(service: Driver) -> list[Session]:
    return [await service.open("rob", server=name) for name in OTHER_SERVERS]


async def renew_and_probe(service: Driver, sessions: list[Session]) -> Counter[int]:
    """Renew all sessions and send probes a few times; returns the number of responses by status."""
    statuses: Counter[int] = Counter()
    for _ in range(BURST - 1):
        for session in sessions:
            statuses[(await service.renew(session)).status] += 1
        for path in PROBES:
            statuses[(await service.call("GET", path)).status] += 1
    return statuses


@pytest.mark.proves("R125", "T-36", "T-37")
async def test_a_flood_of_renewals_is_refused_and_no_other_request(service: Driver) -> None:
    eve, others = await service.open("eve"), await open_other_sessions(service)
    before = recorded(service)
    flood, others_statuses = await asyncio.gather(
        flood_exchanges(service, 150, subject=eve.hub_token), renew_and_probe(service, others)
    )
    assert others_statuses == {200: (BURST - 1) * (len(others) + len(PROBES))}
    assert set(flood) == {200, 429}
    assert flood[200] == BURST
    assert recorded(service) - before == flood[200] + (BURST - 1) * len(others), "a refusal writes nothing"
    refused = await exchange(service, eve.hub_token)
    assert (refused.status, refused.json["error"]) == (429, "temporarily_unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    second = await service.open("eve", server="second")
    assert (await service.renew(second)).status == 200, "another session of the same user has its own budget"


@pytest.mark.proves("R125")
async def test_refusals_are_delayed(service: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MIN_REFUSAL_DELAY_SECONDS", 3600)
    eve, rob = await service.open("eve"), await service.open("rob")
    assert {(await service.renew(eve)).status for _ in range(BURST)} == {200}
    tasks = [asyncio.create_task(service.renew(eve)) for _ in range(3)]
    assert (await service.renew(rob)).status == 200
    assert {response.status for response in await asyncio.gather(*tasks)} == {503}, "within the deadline of a request"


@pytest.mark.proves("R125", "R127", "T-36", "T-37")
async def test_a_flood_of_invalid_credentials_does_not_affect_others(service: Driver) -> None:
    others = await open_other_sessions(service)
    flood, others_statuses = await asyncio.gather(
        flood_exchanges(service, 400, subject="garbage"), renew_and_probe(service, others)
    )
    assert others_statuses == {200: (BURST - 1) * (len(others) + len(PROBES))}
    assert set(flood) <= {400, 429}
    assert len(service.context.rate_limiter._issued_tokens) == len(others), "no bucket for unknown credentials"


@pytest.mark.proves("R125", "T-36", "T-37")
async def test_a_flood_of_downscoping_is_refused_and_leaves_renewals_possible(service: Driver) -> None:
    eve = await service.open("eve")
    form = {"subject": eve.token, "subject_token_type": JWT_TYPE, "scope": "read:training"}
    flood = await flood_exchanges(service, 60, **form)
    assert set(flood) == {200, 429}
    assert flood[200] == BURST
    assert (await service.renew(eve)).status == 200


@pytest.mark.proves("R125", "T-09", "T-37")
async def test_a_role_token_without_its_credential_cannot_fill_the_audit(service: Driver) -> None:
    eve = await service.open("eve")
    before = recorded(service)
    for number in range(40):
        await exchange(service, f"guess{number}", actor_token=eve.token, actor_token_type=JWT_TYPE)
    assert recorded(service) - before == 10
    assert (await service.renew(eve)).status == 200


@pytest.mark.proves("R52", "R125", "T-37")
async def test_a_revoked_token_does_not_use_up_the_budget_of_its_session(service: Driver) -> None:
    eve = await service.open("eve")
    statuses = [await revoke(service, eve.token) for _ in range(40)]
    assert set(statuses) == {200, 429}
    assert recorded(service, "token.revoked") == 1
    fresh = (await service.renew(eve)).json["access_token"]
    assert await revoke(service, fresh) == 200
    assert recorded(service, "token.revoked") == 2
