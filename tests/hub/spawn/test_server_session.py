"""What a server start may request, and what the server gets."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, SpawnException
from traitlets import Float, HasTraits
from traitlets import Instance as TraitInstance

from aizen_hub.api_models.sessions import OpenSessionResponse
from aizen_hub.client.errors import Unreachable
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.spawn.server_session import (
    SessionManager,
    requester_of,
    require_unprivileged_uid,
    selected_project,
)
from aizen_hub.problems import Denied, NotFound
from aizen_hub.settings import Settings


@pytest.mark.parametrize(
    ("given", "project"), [("churn", "churn"), (["churn"], "churn"), (("churn",), "churn"), ("", None), ([""], None)]
)
def test_the_project_is_one_name_or_none(given: Any, project: str | None) -> None:
    assert selected_project({"project": given, "other": "x"}) == project


@pytest.mark.parametrize(
    "options",
    [None, {}, [], "churn", {"project": None}, {"project": []}, {"project": ["a", "b"]}, {"project": 7},
     {"project": {}}, {"project": [["a"]]}, {"project": "a\nb"}, {"project": "x" * 257}, {"project": b"churn"},
     {"projects": "churn"}],
)  # fmt: skip
@pytest.mark.proves("R34", "T-23")
def test_anything_else_is_refused(options: Any) -> None:
    with pytest.raises(SpawnException) as error:
        selected_project(options)
    assert error.value.status_code == 400


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_stored_value_gives_a_name_or_an_error(options: Any) -> None:
    try:
        project = selected_project(options)
    except SpawnException:
        return
    assert project is None or isinstance(project, str)


class FakeServiceClient:
    """A fake client of the service: records calls, and returns or raises `answer`."""

    def __init__(self, answer: OpenSessionResponse | Exception) -> None:
        self.answer, self.calls = answer, []
        self.calls: list[tuple[Any, ...]] = []

    async def open_session(self, *args: Any) -> OpenSessionResponse:
        self.calls.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def end_session(self, *args: Any) -> int:
        self.calls.append(args)
        if isinstance(self.answer, Exception):
            raise self.answer
        return 1


SESSION = OpenSessionResponse(
    session="s", token="a.b.c", expires_in=300, project="churn", limits={"memory": 2**30, "cpu": 1.5}
)


class Spawner(HasTraits):
    """What the session manager uses of a spawner."""

    mem_limit, mem_guarantee = TraitInstance(int, allow_none=True), TraitInstance(int, allow_none=True)
    cpu_limit, cpu_guarantee = Float(None, allow_none=True), Float(None, allow_none=True)

    def __init__(self, **values: Any) -> None:
        super().__init__()
        for name, value in values.items():
            setattr(self, name, value)


def spawner(requester: str | None = "erin", kind: str = "user", **more: Any) -> Any:
    handler = None if requester is None else SimpleNamespace(current_user=SimpleNamespace(name=requester, kind=kind))
    values = {"handler": handler, "user_options": {"project": "churn"}, "name": "lab", "api_token": "t" * 32,
              "hub": SimpleNamespace(base_url="/jupyter/hub/"), "environment": {"MINE": "1"}, "mem_limit": None,
              "cpu_limit": 2.0}  # fmt: skip
    return Spawner(**(values | more))


def session_manager(
    answer: OpenSessionResponse | Exception = SESSION, **settings: Any
) -> tuple[SessionManager, FakeServiceClient]:
    client = FakeServiceClient(answer)
    return SessionManager(cast(ServiceClient, client), Settings(insecure_same_uid=True, **settings)), client


ERIN = SimpleNamespace(name="erin")


async def test_the_server_gets_token_urls_and_limits() -> None:
    sessions, client = session_manager()
    server = spawner()
    await sessions.open_session(ERIN, server)
    assert client.calls == [("erin", "erin", "lab", "churn", hashlib.sha256(b"t" * 32).hexdigest())]
    assert server.environment == {
        "MINE": "1", "AIZEN_URL": "http://127.0.0.1:9095", "AIZEN_PROJECT": "churn", "AIZEN_TOKEN": "a.b.c"
    }  # fmt: skip
    assert (server.mem_limit, server.cpu_limit) == (2**30, 1.5)
    assert server.aizen_pod_audience is None


@pytest.mark.proves("R50")
async def test_the_token_of_a_pod_is_for_its_session_only() -> None:
    sessions, _ = session_manager(pod_identity={"namespaces": ["users"]})
    server = spawner()
    await sessions.open_session(ERIN, server)
    assert server.aizen_pod_audience == "aizen-hub:s"


@pytest.mark.parametrize(
    ("permitted", "remaining"), [((), {}), (("profile",), {"profile": "large"}), (("project", "image"), {})]
)
@pytest.mark.proves("R138", "T-58")
async def test_only_listed_options_of_the_user_remain(permitted: tuple[str, ...], remaining: dict[str, str]) -> None:
    sessions, _ = session_manager(spawn={"user_options": permitted})
    stored = SimpleNamespace(user_options=None)
    wishes = {"project": ["churn"], "profile": "large", "memory": "3G", "prologue": "rm -rf /"}
    server = spawner(user_options=wishes, orm_spawner=stored)
    await sessions.open_session(ERIN, server)
    assert server.user_options == {"project": "churn", **remaining}
    assert stored.user_options == server.user_options


async def test_a_reused_spawner_drops_earlier_limits() -> None:
    sessions, client = session_manager()
    server = spawner()
    await sessions.open_session(ERIN, server)
    client.answer = SESSION.model_copy(update={"limits": {}, "token": "d.e.f", "project": None})
    limits = server.aizen_limits
    await sessions.open_session(ERIN, server)
    assert server.aizen_limits is limits, "each one observes the spawner"
    assert (server.mem_limit, server.cpu_limit) == (None, 2.0)
    assert (server.environment["AIZEN_TOKEN"], server.environment["AIZEN_PROJECT"]) == ("d.e.f", "")


@pytest.mark.parametrize(("name", "what"), [("memory", "no memory"), ("cpu", "no processor cores")])
async def test_a_limit_of_zero_is_not_read_as_no_limit(name: str, what: str) -> None:
    sessions, _ = session_manager(SESSION.model_copy(update={"limits": {name: 0}}))
    server = spawner()
    with pytest.raises(SpawnException, match=f"Your limits allow {what}"):
        await sessions.open_session(ERIN, server)
    assert "AIZEN_TOKEN" not in server.environment


@pytest.mark.parametrize(
    "server", [spawner("mallory"), spawner("erin", kind="service"), spawner(None), spawner("Erin")]
)
@pytest.mark.proves("R34")
async def test_only_the_owner_starts_a_server(server: Any) -> None:
    sessions, client = session_manager()
    with pytest.raises(SpawnException, match="can be started by `erin` only") as error:
        await sessions.open_session(ERIN, server)
    assert error.value.status_code == 403
    assert client.calls == []
    assert "AIZEN_TOKEN" not in server.environment


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (NotFound("not found"), 403, "There is no project `churn` that you may enter"),
        (Denied("no role", remedy="ask <b>maker</b>"), 403, "No role. Ask <b>maker</b>."),
        (Unreachable("no"), 503, "The access service does not respond"),
    ],
)
async def test_a_denial_is_explained(answer: Exception, status: int, text: str) -> None:
    sessions, _ = session_manager(answer)
    server = spawner()
    with pytest.raises(SpawnException) as error:
        await sessions.open_session(ERIN, server)
    assert error.value.status_code == status
    assert text in error.value.message
    assert "<b>" not in error.value.message_html
    assert "AIZEN_TOKEN" not in server.environment
    why = "/jupyter/services/aizen/why?do=enter%3Aproject&in=churn"
    assert (why in error.value.jupyterhub_message) == (status == 403)  # type: ignore[attr-defined]
    assert ('<a href="' + why.replace("&", "&amp;") + '">Why</a>' in error.value.message_html) == (status == 403)


async def test_an_error_while_ending_the_session_does_not_prevent_the_stop() -> None:
    sessions, client = session_manager(Unreachable("no"))
    await sessions.end_session(ERIN, spawner())
    assert len(client.calls) == 1


async def test_an_unanswered_start_waits_for_the_service_once() -> None:
    sessions, client = session_manager(Unreachable("no"))
    server = spawner()
    for _ in range(2):
        with pytest.raises(SpawnException):
            await sessions.open_session(ERIN, server)
        await sessions.end_session(ERIN, server)
    assert len(client.calls) == 2, "the heartbeat ends what it may have opened"


async def test_no_session_is_opened_during_a_heartbeat() -> None:
    import asyncio

    sessions, client = session_manager()
    sessions.heartbeat_idle.clear()
    opening = asyncio.ensure_future(sessions.open_session(ERIN, spawner()))
    await asyncio.sleep(0.02)
    assert client.calls == []
    sessions.heartbeat_idle.set()
    await opening
    assert len(client.calls) == 1


class TestAccounts:
    @pytest.mark.parametrize("name", ["root", "no-such-account-here"])
    def test_no_notebook_runs_as_root_or_an_unknown_account(self, name: str) -> None:
        with pytest.raises(SpawnException):
            require_unprivileged_uid(name, LocalProcessSpawner.__new__(LocalProcessSpawner))

    def test_other_spawners_have_other_accounts(self) -> None:
        require_unprivileged_uid("root", SimpleLocalProcessSpawner.__new__(SimpleLocalProcessSpawner))
        require_unprivileged_uid("root", object())

    def test_a_service_is_not_a_requester(self) -> None:
        assert requester_of(spawner("erin", kind="service")) is None
        assert requester_of(spawner("erin")) == "erin"
