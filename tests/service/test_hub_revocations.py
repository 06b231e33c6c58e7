"""What a stop tells of the hubs, and concurrent stops of one user."""

from __future__ import annotations

import asyncio

import pytest

from aizen_hub.commands.result import Result
from aizen_hub.service.hub_revocations import HubRevocations, with_hub_results
from tests.service.fake_hub_api import FakeHubApi


@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        ((), "eve is locked; 1 session ended, 4 servers stopped, 2 tokens deleted, signed out everywhere"),
        (
            ("gpu",),
            "eve is locked; 1 session ended, 2 servers stopped, 1 token deleted; the hub `gpu` does not answer, "
            "servers and tokens there end as soon as it does",
        ),
        (
            ("main", "gpu"),
            "eve is locked; 1 session ended; the hubs `main` and `gpu` do not answer, servers and tokens there end as "
            "soon as they do",
        ),
    ],
)
async def test_the_result_of_a_stop_names_the_hubs_that_do_not_answer(silent: tuple[str, ...], expected: str) -> None:
    apis = {"main": FakeHubApi(), "gpu": FakeHubApi("another")}
    for name in silent:
        apis[name].answers = False
    ended = await HubRevocations([api.connection(id) for id, api in apis.items()]).revoke_everywhere("eve")
    result = Result("message", message="eve is locked", data={"sessions_ended": 1})
    assert with_hub_results(result, ended) == expected


async def test_concurrent_stops_of_one_user_share_one_request() -> None:
    api = FakeHubApi()
    revocations, hub = HubRevocations([api.connection("main")]), api.connection("main")
    api.hangs.clear()
    first, second = (asyncio.ensure_future(revocations.revoke_at(hub, "eve")) for _ in range(2))
    other = asyncio.ensure_future(revocations.revoke_at(hub, "rob"))
    await asyncio.sleep(0)
    api.hangs.set()
    assert await first == await second == await other == {"tokens": 1, "servers": 2}
    assert api.requests == [("eve", None), ("rob", None)]
    await revocations.revoke_at(hub, "eve")
    assert api.requests[2:] == [("eve", None)]


def test_the_only_hub_needs_no_name() -> None:
    sentence = with_hub_results(Result("message", message="eve is locked", data={"sessions_ended": 0}), {"main": None})
    assert sentence == (
        "eve is locked; 0 sessions ended; the hub does not answer, servers and tokens there end as soon as it does"
    )
