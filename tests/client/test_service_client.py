"""Both clients: requests, responses, and errors for every invalid response."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub import problems
from aizen_hub.client.errors import ConnectionLost, ForeignService, InvalidResponse, Unreachable, parse_problem
from aizen_hub.client.service_client import ServiceClient
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Denied, Escalation, Fault, LastHolder, Problem, TooManyRequests
from tests.client.conftest import FakeService
from tests.fixtures.timing import within

SECRET = "hub-secret-that-must-not-appear-anywhere"
INSTANCE = "0123456789abcdef"


@pytest.fixture
def client(server: FakeService) -> Iterator[ServiceClient]:
    client = ServiceClient(server.url, SECRET, deadline=2.0)
    yield client
    client.close()


class TestRequests:
    async def test_a_login_report(self, server: FakeService, client: ServiceClient) -> None:
        server.respond_with(
            200, {"outcome": "admitted", "user": "alice", "reason": "welcome", "hub_user": {"groups": ["ops"]}}
        )
        answer = await client.report_login("lab", "id-1", "Älice", groups=["g"], source="127.0.0.1")
        assert (answer.outcome, answer.user, answer.hub_user and answer.hub_user.groups) == (
            "admitted",
            "alice",
            ("ops",),
        )
        (request,) = server.requests
        assert (request["method"], request["path"]) == ("POST", "/api/v1/login")
        assert request["headers"]["Authorization"] == f"Bearer {SECRET}"
        assert json.loads(request["body"]) == {
            "provider": "lab", "subject": "id-1", "name": "Älice", "groups": ["g"], "source": "127.0.0.1"
        }  # fmt: skip

    async def test_unknown_groups_are_not_an_empty_list(self, server: FakeService, client: ServiceClient) -> None:
        server.respond_with(200, {"outcome": "not-registered"})
        await client.report_login("lab", "id-1", "alice")
        await client.report_login("lab", "id-1", "alice", groups=[])
        assert [json.loads(request["body"])["groups"] for request in server.requests] == [None, []]

    async def test_names_are_encoded_in_addresses(self, server: FakeService, client: ServiceClient) -> None:
        server.respond_with(200, {"projects": [{"name": "p"}], "system_session": True, "new": 1})
        choices = await client.get_spawn_options("a&user=b c/é")
        assert choices.projects[0].name == "p"
        assert choices.system_session is True
        assert server.requests[0]["path"] == "/api/v1/sessions/choices?user=a%26user%3Db+c%2F%C3%A9"

    async def test_a_request_for_access_says_what_became_of_it(
        self, server: FakeService, client: ServiceClient
    ) -> None:
        server.respond_with(201, {"message": "it waits"})
        assert await client.request_access("alice", "churn", "PROJECT_READER", "7d", "to read") == "it waits"
        body = {"user": "alice", "project": "churn", "role": "PROJECT_READER", "duration": "7d", "because": "to read"}
        assert json.loads(server.requests[0]["body"]) == body

    async def test_a_session_hides_its_token(self, server: FakeService, client: ServiceClient) -> None:
        document = {"session": "s", "token": "secret.role.token", "expires_in": 300, "project": None, "environment": {}}
        server.respond_with(201, document)
        opened = await client.open_session("alice", "alice", "", None, "0" * 64)
        assert opened.token == "secret.role.token"
        assert "secret.role.token" not in repr(opened)
        assert SECRET not in repr(client)

    async def test_a_heartbeat(self, server: FakeService, client: ServiceClient) -> None:
        server.respond_with(200, {"ended": [], "stop": [{"user": "a", "server": ""}]})
        answer = await client.send_heartbeat([("a", ""), ("b", "lab")])
        assert [(target.user, target.server) for target in answer.stop] == [("a", "")]
        assert json.loads(server.requests[0]["body"])["live"][1] == {"user": "b", "server": "lab"}


BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nContent-Type: text/html\r\n\r\nugh\n"
LOSSES = {"cut off": b"", "by a load balancer": BAD_GATEWAY}


@pytest.mark.proves("R103")
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
class TestLostConnections:
    """A replica that is killed takes the connections with it; the others answer what is sent again."""

    async def test_the_hub_sends_again_what_has_one_effect(
        self, server: FakeService, client: ServiceClient, loss: bytes
    ) -> None:
        server.respond_with(200, {"stop": [{"user": "alice", "server": ""}]})
        server.losses = [loss, loss]
        assert len((await client.send_heartbeat([("alice", "")])).stop) == 1
        assert len(server.requests) == 3
        server.losses = [loss] * 3
        with pytest.raises(ConnectionLost):
            await client.send_heartbeat([("alice", "")])
        assert server.losses == []

    async def test_the_hub_does_not_repeat_the_check_of_a_password(
        self, server: FakeService, client: ServiceClient, loss: bytes
    ) -> None:
        server.losses = [loss]
        with pytest.raises(ConnectionLost):
            await client.check_password("local", "alice", "a password")
        assert len(server.requests) == 1

    @pytest.mark.proves("R142")
    async def test_the_hub_does_not_repeat_the_end_of_a_session(
        self, server: FakeService, client: ServiceClient, loss: bytes
    ) -> None:
        """It may have arrived, and the server have started again meanwhile, with a session that must not end."""
        server.losses = [loss]
        with pytest.raises(ConnectionLost):
            await client.end_session("alice", "", "stopped")
        assert len(server.requests) == 1

    def test_the_command_line_sends_a_change_again_with_its_key(self, server: FakeService, loss: bytes) -> None:
        server.respond_with(200, {"message": "done"})
        server.losses = [loss, loss]
        assert SyncClient(server.url).request("POST", "/api/v1/roles", {}, repeat=True) == {"message": "done"}
        assert len({request["headers"]["Idempotency-Key"] for request in server.requests}) == 1
        assert len(server.requests) == 3
        server.losses = [loss]
        assert SyncClient(server.url).get("/api/v1/roles") == {"message": "done"}

    def test_the_command_line_does_not_repeat_what_has_no_key(self, server: FakeService, loss: bytes) -> None:
        server.losses = [loss]
        with pytest.raises(ConnectionLost):
            SyncClient(server.url).post("/api/v1/users", {})
        assert len(server.requests) == 1


def invalid_responses() -> list[Any]:
    return [
        pytest.param({"body": b"not json"}, id="no-json"),
        pytest.param({"body": b'{"outcome": "admitted"'}, id="cut-short"),
        pytest.param({"body": b'{"outcome": "refused", "outcome": "admitted", "user": "a"}'}, id="duplicate-member"),
        pytest.param({"body": b"[]"}, id="no-object"),
        pytest.param({"body": b'{"outcome": "Admitted", "user": "a"}'}, id="unknown-outcome"),
        pytest.param({"body": b'{"outcome": "admitted", "user": ["a"]}'}, id="wrong-type"),
        pytest.param({"body": b'{"user": "a"}'}, id="no-outcome"),
        pytest.param({"body": b""}, id="empty"),
        pytest.param({"body": b'{"x": "' + b"a" * (5 << 20) + b'"}'}, id="too-large"),
        pytest.param({"body": b"[" * 100_000}, id="too-deep"),
        pytest.param({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, id="redirect"),
        pytest.param({"status": 500, "body": b"oops"}, id="error-without-reason"),
        pytest.param({"raw": b"nonsense\r\n\r\n"}, id="no-http"),
        pytest.param({"raw": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"}, id="hung-up"),
    ]


@pytest.mark.parametrize("answer", invalid_responses())
@pytest.mark.proves("R59", "R110")
async def test_an_invalid_response_is_an_error(
    server: FakeService, client: ServiceClient, answer: dict[str, Any]
) -> None:
    for name, value in answer.items():
        setattr(server, name, value)
    with pytest.raises(Problem) as error:
        await client.report_login("lab", "id", "alice")
    assert error.value.status >= 500
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("answer", invalid_responses())
async def test_no_error_names_the_address_of_the_service(
    server: FakeService, answer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in answer.items():
        setattr(server, name, value)
    for instance in (None, INSTANCE):
        client = ServiceClient(server.url, SECRET, deadline=2.0, instance=instance)
        with pytest.raises(Problem) as error:
            await client.report_login("lab", "id", "alice")
        client.close()
        assert "127.0.0.1" not in f"{error.value.detail} {error.value.remedy}"
    assert server.url in caplog.text, "the operator finds it in the log"


@pytest.mark.parametrize(
    "answer",
    [
        case
        for case in invalid_responses()
        if case.id not in ("no-object", "unknown-outcome", "wrong-type", "no-outcome", "empty")
    ],
)
def test_an_invalid_response_is_an_error_for_the_command_line(server: FakeService, answer: dict[str, Any]) -> None:
    for name, value in answer.items():
        setattr(server, name, value)
    with pytest.raises(Problem):
        SyncClient(server.url, f"token {SECRET}", deadline=2).get("/api/v1/me")


class TestDeadlines:
    async def test_a_service_that_stalls(self, server: FakeService) -> None:
        server.release.clear()
        client = ServiceClient(server.url, SECRET, deadline=0.3)
        with within(20), pytest.raises(Unreachable, match="within the deadline"):
            await client.get_spawn_options("alice")
        client.close()

    def test_a_service_that_stalls_for_the_command_line(self, server: FakeService) -> None:
        server.release.clear()
        with within(20), pytest.raises(Unreachable, match=r"within 0\.3 seconds"):
            SyncClient(server.url, deadline=0.3).get("/api/v1/me")

    async def test_a_closed_port(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        client = ServiceClient(url, SECRET, deadline=1)
        with pytest.raises(Unreachable):
            await client.get_spawn_options("alice")
        with pytest.raises(Unreachable):
            SyncClient(url, deadline=1).get("/")
        client.close()

    async def test_many_at_once_share_the_deadline_and_not_a_queue(self, server: FakeService) -> None:
        server.release.clear()
        client = ServiceClient(server.url, SECRET, deadline=3.0)
        with within(20):
            results = await asyncio.gather(*(client.get_spawn_options("a") for _ in range(40)), return_exceptions=True)
        assert all(isinstance(result, Unreachable) for result in results)
        assert len(server.requests) == 40, "none waited for the end of another one"
        client.close()


class TestInstance:
    @pytest.mark.parametrize("shown", [None, "", "other", INSTANCE + "x", INSTANCE.upper()])
    async def test_another_service_on_this_port_is_rejected(self, server: FakeService, shown: str | None) -> None:
        server.respond_with(200, {"outcome": "admitted", "user": "alice"})
        if shown is not None:
            server.headers["X-Aizen-Instance"] = shown
        client = ServiceClient(server.url, SECRET, instance=INSTANCE)
        with pytest.raises(ForeignService):
            await client.report_login("lab", "id", "alice")
        client.close()
        with pytest.raises(ForeignService):
            SyncClient(server.url, instance=INSTANCE).get("/api/v1/me")

    async def test_the_expected_instance_is_accepted(self, server: FakeService) -> None:
        server.respond_with(200, {"outcome": "admitted", "user": "alice"})
        server.headers["X-Aizen-Instance"] = INSTANCE
        client = ServiceClient(server.url, SECRET, instance=INSTANCE)
        assert (await client.report_login("lab", "id", "alice")).user == "alice"
        client.close()
        assert SyncClient(server.url, instance=INSTANCE).get("/x")["user"] == "alice"


class TestSync:
    def test_a_request_and_its_answer(self, server: FakeService) -> None:
        server.respond_with(200, {"a": 1})
        server.headers["ETag"] = '"7"'
        client = SyncClient(server.url + "/services/aizen/", f"token {SECRET}")
        assert client.post("/api/v1/x", {"name": "ü"}) == {"a": 1}
        assert server.requests[0]["path"] == "/services/aizen/api/v1/x"
        assert json.loads(server.requests[0]["body"]) == {"name": "ü"}
        status, headers, _ = client.request_with_headers("PUT", "/api/v1/x", {}, {"If-Match": '"6"'})
        assert (status, headers["etag"]) == (200, '"7"')
        assert server.requests[1]["headers"]["If-Match"] == '"6"'
        assert SECRET not in repr(client)

    def test_lines_as_they_arrive(self, server: FakeService) -> None:
        server.headers = {"Content-Type": "application/x-ndjson; charset=utf-8"}
        server.body = b'{"event": "decision"}\n\n{"event": "end"}'
        assert [line["event"] for line in SyncClient(server.url).stream_lines("POST", "/x", {})] == ["decision", "end"]

    def test_one_document_is_one_line(self, server: FakeService) -> None:
        server.respond_with(200, {"id": 1})
        assert list(SyncClient(server.url).stream_lines("POST", "/x", {})) == [{"id": 1}]

    def test_an_empty_response_is_none(self, server: FakeService) -> None:
        server.status, server.body = 204, b""
        assert SyncClient(server.url).post("/x", {}) is None

    @pytest.mark.parametrize("url", ["ftp://x", "x", "", "http://", "file:///etc/passwd"])
    def test_other_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="not an http or https address"):
            SyncClient(url)


class TestProblems:
    @pytest.mark.parametrize(
        "kind", [Denied, Escalation, LastHolder, TooManyRequests, problems.NotFound, problems.Stale]
    )
    def test_the_error_comes_back_as_it_was(self, kind: type[Problem]) -> None:
        sent = kind(
            "no `x`", remedy="ask", faults=[Fault("/0", "bad", ("a", "b"))], extensions={"decision": {"id": "1"}}
        )
        got = parse_problem(sent.status, json.dumps(sent.to_json()).encode())
        assert type(got) is kind
        assert got.to_json() == sent.to_json()

    def test_a_kind_of_a_newer_service_keeps_its_status(self) -> None:
        got = parse_problem(418, b'{"type": "/docs/problems/teapot", "title": "Short", "detail": "and stout"}')
        assert (got.status, got.slug, got.title, got.detail) == (418, "teapot", "Short", "and stout")

    @given(st.binary(max_size=200), st.integers(400, 599))
    def test_any_body_is_an_error(self, body: bytes, status: int) -> None:
        assert isinstance(parse_problem(status, body), Problem)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8
        )
    )
    def test_any_members_are_accepted(self, value: Any) -> None:
        document = {"type": value, "detail": value, "remedy": value, "errors": value, "title": value}
        got = parse_problem(403, json.dumps(document).encode())
        assert isinstance(got, Problem)
        assert isinstance(got.detail, str)
        assert got.remedy is None or isinstance(got.remedy, str)

    def test_a_response_without_a_reason(self) -> None:
        assert isinstance(parse_problem(500, b"<html>"), InvalidResponse)
        assert isinstance(parse_problem(502, b"<html>"), ConnectionLost), "a load balancer says so"


async def test_a_redirect_is_not_followed_with_the_secret(server: FakeService, client: ServiceClient) -> None:
    server.status, server.headers = 307, {"Location": f"{server.url}/elsewhere"}
    with pytest.raises(InvalidResponse):
        await client.get_spawn_options("alice")
    with pytest.raises(InvalidResponse):
        SyncClient(server.url, f"token {SECRET}").get("/api/v1/me")
    assert [request["path"].partition("?")[0] for request in server.requests] == [
        "/api/v1/sessions/choices",
        "/api/v1/me",
    ]
