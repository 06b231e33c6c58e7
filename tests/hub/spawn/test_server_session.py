"""What a start may ask for, and what the server gets."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, SpawnException

from aizen_hub.client.errors import Unreachable
from aizen_hub.client.responses import Opened
from aizen_hub.client.service_client import HubRoad
from aizen_hub.hub.spawn.server_session import SessionKeeper, check_uid, chosen_project, requester_of, strictest
from aizen_hub.problems import Denied, NotFound
from aizen_hub.settings import Settings


@pytest.mark.parametrize(
    ("given", "project"), [("churn", "churn"), (["churn"], "churn"), (("churn",), "churn"), ("", None), ([""], None)]
)
def test_one_name_or_none(given: Any, project: str | None) -> None:
    assert chosen_project({"project": given, "other": "x"}) == project


@pytest.mark.parametrize(
    "options",
    [None, {}, [], "churn", {"project": None}, {"project": []}, {"project": ["a", "b"]}, {"project": 7},
     {"project": {}}, {"project": [["a"]]}, {"project": "a\nb"}, {"project": "x" * 257}, {"project": b"churn"},
     {"projects": "churn"}],
)  # fmt: skip
@pytest.mark.proves("R34", "T-23")
def test_anything_else_is_refused(options: Any) -> None:
    with pytest.raises(SpawnException) as error:
        chosen_project(options)
    assert error.value.status_code == 400


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_is_stored_gives_a_name_or_a_refusal(options: Any) -> None:
    try:
        found = chosen_project(options)
    except SpawnException:
        return
    assert found is None or isinstance(found, str)


@pytest.mark.parametrize(
    ("configured", "limit", "result"),
    [
        (None, None, None),
        (0, None, None),
        (0, 4, 4),
        (None, 4, 4),
        (8, 4, 4),
        (2, 4, 2),
        (2, None, 2),
        (None, 0, 0),
        (2, 0, 0),
    ],
)
def test_the_strictest_of_two_limits(configured: float | None, limit: float | None, result: int | None) -> None:
    assert strictest(configured, limit, int) == result


class Road:
    """A stand-in for the client of the service: notes what it is asked, and answers or fails as told."""

    def __init__(self, answer: Opened | Exception) -> None:
        self.answer, self.asked = answer, []
        self.asked: list[tuple[Any, ...]] = []

    async def open_session(self, *args: Any) -> Opened:
        self.asked.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def end_session(self, *args: Any) -> int:
        self.asked.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return 1


OPENED = Opened(session="s", token="a.b.c", expires_in=300, project="churn", limits={"memory": 2**30, "cpu": 1.5})


class Spawner(SimpleNamespace):
    __hash__ = object.__hash__


def spawner(requester: str | None = "erin", kind: str = "user", **more: Any) -> Any:
    handler = None if requester is None else SimpleNamespace(current_user=SimpleNamespace(name=requester, kind=kind))
    values = {"handler": handler, "user_options": {"project": "churn"}, "name": "lab", "api_token": "t" * 32,
              "environment": {"MINE": "1"}, "mem_limit": None, "cpu_limit": 2.0}  # fmt: skip
    return Spawner(**(values | more))


def keeper(answer: Opened | Exception = OPENED, **settings: Any) -> tuple[SessionKeeper, Road]:
    road = Road(answer)
    return SessionKeeper(cast(HubRoad, road), Settings(insecure_same_uid=True, **settings)), road


ERIN = SimpleNamespace(name="erin")


async def test_the_server_gets_token_addresses_and_limits() -> None:
    sessions, road = keeper()
    one = spawner()
    await sessions.open(ERIN, one)
    assert road.asked == [("erin", "erin", "lab", "churn", hashlib.sha256(b"t" * 32).hexdigest())]
    assert one.environment == {
        "MINE": "1", "AIZEN_URL": "http://127.0.0.1:9095", "AIZEN_PROJECT": "churn", "AIZEN_TOKEN": "a.b.c"
    }  # fmt: skip
    assert (one.mem_limit, one.cpu_limit) == (2**30, 1.5)


async def test_a_spawner_that_is_used_again_forgets_the_limits_of_the_last_time() -> None:
    sessions, road = keeper()
    one = spawner()
    await sessions.open(ERIN, one)
    road.answer = OPENED.model_copy(update={"limits": {}, "token": "d.e.f", "project": None})
    await sessions.open(ERIN, one)
    assert (one.mem_limit, one.cpu_limit) == (None, 2.0)
    assert (one.environment["AIZEN_TOKEN"], one.environment["AIZEN_PROJECT"]) == ("d.e.f", "")


@pytest.mark.parametrize("one", [spawner("mallory"), spawner("erin", kind="service"), spawner(None), spawner("Erin")])
@pytest.mark.proves("R34")
async def test_only_the_owner_starts_a_server(one: Any) -> None:
    sessions, road = keeper()
    with pytest.raises(SpawnException, match="can be started by `erin` only") as error:
        await sessions.open(ERIN, one)
    assert error.value.status_code == 403
    assert road.asked == []
    assert "AIZEN_TOKEN" not in one.environment


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (NotFound("not found"), 403, "There is no project `churn` that you may enter"),
        (Denied("no role", remedy="ask <b>maker</b>"), 403, "No role. Ask <b>maker</b>."),
        (Unreachable("no"), 503, "The access service does not answer"),
    ],
)
async def test_a_refusal_is_said_in_plain_words(answer: Exception, status: int, text: str) -> None:
    sessions, _ = keeper(answer)
    one = spawner()
    with pytest.raises(SpawnException) as error:
        await sessions.open(ERIN, one)
    assert error.value.status_code == status
    assert text in error.value.message
    assert "<b>" not in error.value.message_html
    assert "AIZEN_TOKEN" not in one.environment


async def test_a_session_that_cannot_be_ended_now_does_not_stop_the_stop() -> None:
    sessions, road = keeper(Unreachable("no"))
    await sessions.close(ERIN, spawner())
    assert len(road.asked) == 1


async def test_no_session_is_opened_while_a_heartbeat_is_under_way() -> None:
    import asyncio

    sessions, road = keeper()
    sessions.quiet.clear()
    opening = asyncio.ensure_future(sessions.open(ERIN, spawner()))
    await asyncio.sleep(0.02)
    assert road.asked == []
    sessions.quiet.set()
    await opening
    assert len(road.asked) == 1


class TestAccounts:
    @pytest.mark.parametrize("name", ["root", "no-such-account-here"])
    def test_no_notebook_runs_as_root_or_as_nobody(self, name: str) -> None:
        with pytest.raises(SpawnException):
            check_uid(name, LocalProcessSpawner.__new__(LocalProcessSpawner))

    def test_other_spawners_have_other_accounts(self) -> None:
        check_uid("root", SimpleLocalProcessSpawner.__new__(SimpleLocalProcessSpawner))
        check_uid("root", object())

    def test_a_service_is_nobody(self) -> None:
        assert requester_of(spawner("erin", kind="service")) is None
        assert requester_of(spawner("erin")) == "erin"
