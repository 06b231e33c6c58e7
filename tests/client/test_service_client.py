"""Both clients: what goes out, what comes back, and that nothing good follows from a bad answer."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub import problems
from aizen_hub.client.errors import ForeignService, Garbled, Unreachable, problem_from
from aizen_hub.client.service_client import HubRoad
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Denied, Escalation, Fault, LastHolder, Problem, TooMany
from tests.client.conftest import Answering

SECRET = "hub-secret-that-nobody-may-see-anywhere"
INSTANCE = "0123456789abcdef"


@pytest.fixture
def road(server: Answering) -> Iterator[HubRoad]:
    made = HubRoad(server.url, SECRET, deadline=2.0)
    yield made
    made.close()


class TestWhatGoesOut:
    async def test_a_login_report(self, server: Answering, road: HubRoad) -> None:
        server.say(
            200, {"outcome": "admitted", "user": "alice", "reason": "welcome", "projection": {"groups": ["ops"]}}
        )
        answer = await road.login("lab", "id-1", "Älice", groups=["g"], source="127.0.0.1")
        assert (answer.outcome, answer.user, answer.projection and answer.projection.groups) == (
            "admitted",
            "alice",
            ("ops",),
        )
        (asked,) = server.asked
        assert (asked["method"], asked["path"]) == ("POST", "/api/v1/login")
        assert asked["headers"]["Authorization"] == f"Bearer {SECRET}"
        assert json.loads(asked["body"]) == {
            "provider": "lab", "subject": "id-1", "name": "Älice", "groups": ["g"], "source": "127.0.0.1"
        }  # fmt: skip

    async def test_unknown_groups_are_not_no_groups(self, server: Answering, road: HubRoad) -> None:
        server.say(200, {"outcome": "not-registered"})
        await road.login("lab", "id-1", "alice")
        await road.login("lab", "id-1", "alice", groups=[])
        assert [json.loads(one["body"])["groups"] for one in server.asked] == [None, []]

    async def test_names_are_encoded_in_addresses(self, server: Answering, road: HubRoad) -> None:
        server.say(200, {"projects": [{"name": "p", "limits": {"memory": 1}}], "system_session": True, "new": 1})
        choices = await road.choices("a&user=b c/é")
        assert choices.projects[0].name == "p"
        assert choices.system_session is True
        assert server.asked[0]["path"] == "/api/v1/sessions/choices?user=a%26user%3Db+c%2F%C3%A9"

    async def test_a_session_hides_its_token(self, server: Answering, road: HubRoad) -> None:
        document = {"session": "s", "token": "secret.role.token", "expires_in": 300, "project": None, "environment": {}}
        server.say(201, document)
        opened = await road.open_session("alice", "alice", "", None, "0" * 64)
        assert opened.token == "secret.role.token"
        assert "secret.role.token" not in repr(opened)
        assert SECRET not in repr(road)

    async def test_a_heartbeat(self, server: Answering, road: HubRoad) -> None:
        server.say(200, {"ended": [], "stop": [{"user": "a", "server": ""}]})
        answer = await road.heartbeat([("a", ""), ("b", "lab")])
        assert [(one.user, one.server) for one in answer.stop] == [("a", "")]
        assert json.loads(server.asked[0]["body"])["live"][1] == {"user": "b", "server": "lab"}


def bad_answers() -> list[Any]:
    return [
        pytest.param({"body": b"not json"}, id="no-json"),
        pytest.param({"body": b'{"outcome": "admitted"'}, id="cut-short"),
        pytest.param({"body": b'{"outcome": "refused", "outcome": "admitted", "user": "a"}'}, id="said-twice"),
        pytest.param({"body": b"[]"}, id="no-object"),
        pytest.param({"body": b'{"outcome": "Admitted", "user": "a"}'}, id="unknown-outcome"),
        pytest.param({"body": b'{"outcome": "admitted", "user": ["a"]}'}, id="wrong-type"),
        pytest.param({"body": b'{"user": "a"}'}, id="nothing-said"),
        pytest.param({"body": b""}, id="empty"),
        pytest.param({"body": b'{"x": "' + b"a" * (5 << 20) + b'"}'}, id="too-large"),
        pytest.param({"body": b"[" * 100_000}, id="too-deep"),
        pytest.param({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, id="redirect"),
        pytest.param({"status": 500, "body": b"oops"}, id="error-without-reason"),
        pytest.param({"raw": b"nonsense\r\n\r\n"}, id="no-http"),
        pytest.param({"raw": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"}, id="hung-up"),
    ]


@pytest.mark.parametrize("answer", bad_answers())
@pytest.mark.proves("R59", "R110")
async def test_nothing_follows_from_a_bad_answer(server: Answering, road: HubRoad, answer: dict[str, Any]) -> None:
    for name, value in answer.items():
        setattr(server, name, value)
    with pytest.raises(Problem) as error:
        await road.login("lab", "id", "alice")
    assert error.value.status >= 500
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    "answer",
    [
        one
        for one in bad_answers()
        if one.id not in ("no-object", "unknown-outcome", "wrong-type", "nothing-said", "empty")
    ],
)
def test_nor_for_the_command_line(server: Answering, answer: dict[str, Any]) -> None:
    for name, value in answer.items():
        setattr(server, name, value)
    with pytest.raises(Problem):
        SyncClient(server.url, f"token {SECRET}", deadline=2).get("/api/v1/me")


class TestDeadlines:
    async def test_a_service_that_stalls(self, server: Answering) -> None:
        server.stall.clear()
        road = HubRoad(server.url, SECRET, deadline=0.3)
        start = time.monotonic()
        with pytest.raises(Unreachable, match="within the deadline"):
            await road.choices("alice")
        assert time.monotonic() - start < 1.0
        road.close()

    def test_and_for_the_command_line(self, server: Answering) -> None:
        server.stall.clear()
        start = time.monotonic()
        with pytest.raises(Unreachable, match=r"within 0\.3 seconds"):
            SyncClient(server.url, deadline=0.3).get("/api/v1/me")
        assert time.monotonic() - start < 1.5

    async def test_nobody_there(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        road = HubRoad(url, SECRET, deadline=1)
        with pytest.raises(Unreachable):
            await road.choices("alice")
        with pytest.raises(Unreachable):
            SyncClient(url, deadline=1).get("/")
        road.close()

    async def test_many_at_once_share_the_deadline_and_not_a_queue(self, server: Answering) -> None:
        server.stall.clear()
        road = HubRoad(server.url, SECRET, deadline=0.5)
        start = time.monotonic()
        results = await asyncio.gather(*(road.choices("a") for _ in range(40)), return_exceptions=True)
        assert time.monotonic() - start < 2.0
        assert all(isinstance(one, Unreachable) for one in results)
        road.close()


class TestInstance:
    @pytest.mark.parametrize("shown", [None, "", "other", INSTANCE + "x", INSTANCE.upper()])
    async def test_another_service_on_our_port_is_believed_nothing(self, server: Answering, shown: str | None) -> None:
        server.say(200, {"outcome": "admitted", "user": "alice"})
        if shown is not None:
            server.headers["X-Aizen-Instance"] = shown
        road = HubRoad(server.url, SECRET, instance=INSTANCE)
        with pytest.raises(ForeignService):
            await road.login("lab", "id", "alice")
        road.close()
        with pytest.raises(ForeignService):
            SyncClient(server.url, instance=INSTANCE).get("/api/v1/me")

    async def test_ours_is(self, server: Answering) -> None:
        server.say(200, {"outcome": "admitted", "user": "alice"})
        server.headers["X-Aizen-Instance"] = INSTANCE
        road = HubRoad(server.url, SECRET, instance=INSTANCE)
        assert (await road.login("lab", "id", "alice")).user == "alice"
        road.close()
        assert SyncClient(server.url, instance=INSTANCE).get("/x")["user"] == "alice"


class TestSync:
    def test_a_request_and_its_answer(self, server: Answering) -> None:
        server.say(200, {"a": 1})
        server.headers["ETag"] = '"7"'
        client = SyncClient(server.url + "/services/aizen/", f"token {SECRET}")
        assert client.post("/api/v1/x", {"name": "ü"}) == {"a": 1}
        assert server.asked[0]["path"] == "/services/aizen/api/v1/x"
        assert json.loads(server.asked[0]["body"]) == {"name": "ü"}
        status, headers, _ = client.exchange("PUT", "/api/v1/x", {}, {"If-Match": '"6"'})
        assert (status, headers["etag"]) == (200, '"7"')
        assert server.asked[1]["headers"]["If-Match"] == '"6"'
        assert SECRET not in repr(client)

    def test_lines_as_they_come(self, server: Answering) -> None:
        server.headers = {"Content-Type": "application/x-ndjson; charset=utf-8"}
        server.body = b'{"event": "decision"}\n\n{"event": "end"}'
        assert [one["event"] for one in SyncClient(server.url).lines("POST", "/x", {})] == ["decision", "end"]

    def test_one_document_is_one_line(self, server: Answering) -> None:
        server.say(200, {"id": 1})
        assert list(SyncClient(server.url).lines("POST", "/x", {})) == [{"id": 1}]

    def test_nothing_is_none(self, server: Answering) -> None:
        server.status, server.body = 204, b""
        assert SyncClient(server.url).post("/x", {}) is None

    @pytest.mark.parametrize("url", ["ftp://x", "x", "", "http://", "file:///etc/passwd"])
    def test_other_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="not an http or https address"):
            SyncClient(url)


class TestProblems:
    @pytest.mark.parametrize("kind", [Denied, Escalation, LastHolder, TooMany, problems.NotFound, problems.Stale])
    def test_the_error_comes_back_as_it_was(self, kind: type[Problem]) -> None:
        sent = kind("no `x`", remedy="ask", faults=[Fault("/0", "bad", ("a", "b"))], more={"decision": {"id": "1"}})
        got = problem_from(sent.status, json.dumps(sent.to_json()).encode())
        assert type(got) is kind
        assert got.to_json() == sent.to_json()

    def test_a_kind_of_a_newer_service_keeps_its_status(self) -> None:
        got = problem_from(418, b'{"type": "urn:aizen:problem:teapot", "title": "Short", "detail": "and stout"}')
        assert (got.status, got.slug, got.title, got.detail) == (418, "teapot", "Short", "and stout")

    @given(st.binary(max_size=200), st.integers(400, 599))
    def test_whatever_comes_is_an_error(self, body: bytes, status: int) -> None:
        assert isinstance(problem_from(status, body), Problem)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8
        )
    )
    def test_whatever_members_it_has(self, value: Any) -> None:
        document = {"type": value, "detail": value, "remedy": value, "errors": value, "title": value}
        got = problem_from(403, json.dumps(document).encode())
        assert isinstance(got, Problem)
        assert isinstance(got.detail, str)
        assert got.remedy is None or isinstance(got.remedy, str)

    def test_an_answer_without_a_reason_is_none(self) -> None:
        assert isinstance(problem_from(502, b"<html>"), Garbled)


async def test_a_redirect_is_not_followed_with_the_secret(server: Answering, road: HubRoad) -> None:
    server.status, server.headers = 307, {"Location": f"{server.url}/elsewhere"}
    with pytest.raises(Garbled):
        await road.choices("alice")
    with pytest.raises(Garbled):
        SyncClient(server.url, f"token {SECRET}").get("/api/v1/me")
    assert [one["path"].partition("?")[0] for one in server.asked] == ["/api/v1/sessions/choices", "/api/v1/me"]
