"""The client: tokens, time limits, files, and invalid responses."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.notebook import client as client_module
from aizen_hub.notebook import transport
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.errors import (
    CommandFileError,
    ProblemResponseError,
    ResponseInterruptedError,
    ServiceUnreachableError,
)
from aizen_hub.notebook.files import MAX_FILE, find_file_names, read_file
from tests.fixtures.timing import within
from tests.notebook.service_double import HUB_TOKEN, ServiceDouble, deny_with, respond_with, role_token, stream_events

LIST = "list projects"
TABLE = {"kind": "table", "message": "", "columns": ["name"], "rows": [["churn"]], "data": {}}


def read_request(peer: socket.socket) -> None:
    # Read completely: closing a socket with unread data would reset the connection.
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = (int(lengths[0].split(b":")[1]) if lengths else 0) - len(body)
    while missing > 0:
        missing -= len(peer.recv(missing))


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that sends arbitrary data to every connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            with peer:
                peer.settimeout(5)
                try:
                    read_request(peer)
                    talk(peer)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        thread.join(10)
        listener.close()


def client_of(url: str) -> NotebookClient:
    return NotebookClient.from_environment(
        {"AIZEN_URL": url, "AIZEN_TOKEN": role_token(), "JUPYTERHUB_API_TOKEN": HUB_TOKEN}
    )


def test_an_account_command_yields_a_decision_and_an_end(client: NotebookClient, double: ServiceDouble) -> None:
    double.scripts[LIST] = respond_with(TABLE)
    first, last = client.run(LIST)
    assert (first["event"], first["decision"]["allowed"]) == ("decision", True)
    assert (last["event"], last["state"], last["result"]) == ("end", "done", TABLE)
    assert double.commands == [{"text": LIST}]


def test_a_core_command_streams(client: NotebookClient, double: ServiceDouble) -> None:
    events: list[dict[str, Any]] = [
        {"event": "progress", "fraction": 0.5, "message": "half"},
        {"event": "end", "state": "done", "result": None},
    ]
    double.scripts["start training churn"] = stream_events(*events)
    assert list(client.run("start training churn"))[1:] == events


def test_a_refusal_has_its_problem_document(client: NotebookClient, double: ServiceDouble) -> None:
    double.scripts[LIST] = deny_with(detail="no", who_can_grant=["alice"])
    with pytest.raises(ProblemResponseError) as caught:
        list(client.run(LIST))
    assert caught.value.status == 403
    assert caught.value.document["who_can_grant"] == ["alice"]


def test_a_token_about_to_expire_is_renewed_first(double: ServiceDouble) -> None:
    double.scripts[LIST] = respond_with(TABLE)
    double.token = role_token(seconds=10)
    client = NotebookClient.from_environment(double.environment())
    list(client.run(LIST))
    (form,) = double.renewals
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": HUB_TOKEN,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    list(client.run(LIST))
    assert len(double.renewals) == 1, "the new token is still valid"


def test_a_rejected_token_is_renewed_once(client: NotebookClient, double: ServiceDouble) -> None:
    double.scripts[LIST] = respond_with(TABLE)
    double.token = role_token(99)
    list(client.run(LIST))
    assert len(double.renewals) == 1
    assert double.commands == [{"text": LIST}], "the rejected request did not execute the command"


def test_a_token_rejected_twice_is_an_error(client: NotebookClient, double: ServiceDouble) -> None:
    double.token, double.issues_valid_tokens = role_token(99), False
    with pytest.raises(ProblemResponseError) as caught:
        list(client.run(LIST))
    assert caught.value.status == 401
    assert len(double.renewals) == 1


def test_an_ended_session_is_explained(client: NotebookClient, double: ServiceDouble) -> None:
    double.token, double.renewal = (
        role_token(99),
        {"error": "invalid_grant", "error_description": "the session has ended"},
    )
    with pytest.raises(ProblemResponseError, match="the session has ended") as caught:
        list(client.run(LIST))
    assert "restart your server" in caught.value.document["remedy"]


@pytest.mark.parametrize(
    ("renewal", "title"),
    [
        ({"error": "invalid_target", "error_description": "there is no project `x`"}, "The project was not changed"),
        ({"error": "temporarily_unavailable", "error_description": "too many tokens"}, "The project was not changed"),
        ({"error": "invalid_grant", "error_description": "the session"}, "Your session could not be renewed"),
    ],
)
def test_a_refused_project_is_no_reason_to_restart_the_server(
    client: NotebookClient, double: ServiceDouble, renewal: dict[str, str], title: str
) -> None:
    double.renewal = renewal
    with pytest.raises(ProblemResponseError, match=renewal["error_description"]) as caught:
        client.token.renew(project="x")
    assert caught.value.document["title"] == title
    assert ("restart" in caught.value.document["remedy"]) == (renewal["error"] == "invalid_grant")


def test_a_renewal_takes_no_longer_than_its_request_may(client: NotebookClient, double: ServiceDouble) -> None:
    """Completion asks within the blink of an eye, also after another notebook has changed the project."""
    double.token, double.renewal_seconds = role_token(99), 20.0
    with pytest.raises(ResponseInterruptedError, match=r"no response within 0\.5 s"):
        client.request_json("/api/v1/session", 0.5, repeated=False)


def test_without_a_hub_token_the_role_token_is_used_until_it_is_rejected(double: ServiceDouble) -> None:
    double.scripts[LIST] = respond_with(TABLE)
    double.token = role_token(seconds=5)
    environment = double.environment()
    del environment["JUPYTERHUB_API_TOKEN"]
    client = NotebookClient.from_environment(environment)
    list(client.run(LIST))
    double.token = role_token(99)
    with pytest.raises(ProblemResponseError, match="JUPYTERHUB_API_TOKEN"):
        list(client.run(LIST))


def test_the_token_comes_from_a_file(double: ServiceDouble, tmp_path: Path) -> None:
    double.scripts[LIST] = respond_with(TABLE)
    file = tmp_path / "token"
    file.write_text(double.token + "\n")
    list(NotebookClient.from_environment({"AIZEN_URL": double.url, "AIZEN_TOKEN_FILE": str(file)}).run(LIST))
    missing = double.environment(AIZEN_TOKEN_FILE=str(tmp_path / "none"), AIZEN_TOKEN="")
    list(NotebookClient.from_environment(missing).run(LIST))
    assert len(double.renewals) == 1


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "é.é.é", "a." + "eyJ" * 5000 + ".c"])
def test_an_unreadable_token_is_replaced(double: ServiceDouble, token: str) -> None:
    double.scripts[LIST] = respond_with(TABLE)
    list(NotebookClient.from_environment(double.environment(AIZEN_TOKEN=token)).run(LIST))
    assert len(double.renewals) == 1


def test_setting_the_project_renews(client: NotebookClient, double: ServiceDouble) -> None:
    result = {"kind": "message", "message": "now in churn", "data": {"renew": True, "project": "churn"}}
    double.scripts["set project churn"] = respond_with(result)
    list(client.run("set project churn"))
    assert len(double.renewals) == 1
    assert client.token.project == "churn"


def test_tokens_are_not_printed(client: NotebookClient, double: ServiceDouble) -> None:
    assert double.token not in repr(client.token)
    double.token, double.renewal = role_token(99), {"error": "invalid_grant"}
    with pytest.raises(ProblemResponseError) as caught:
        list(client.run(LIST))
    assert HUB_TOKEN not in f"{caught.value}{caught.value.document}"


@pytest.mark.proves("R111")
def test_the_content_of_files_is_sent(
    client: NotebookClient, double: ServiceDouble, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("users.json").write_text('[{"id": "é"}]', encoding="utf-8")
    Path("my members.json").write_text("[]")
    for text in ("add users users.json", 'alter project churn,config="my members.json"'):
        double.scripts[text] = respond_with({"kind": "message", "message": "ok"})
        list(client.run(text))
    assert [command["files"] for command in double.commands] == [
        {"users.json": '[{"id": "é"}]'},
        {"my members.json": "[]"},
    ]


def test_a_missing_file_sends_nothing(
    client: NotebookClient, double: ServiceDouble, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandFileError, match="no such file"):
        list(client.run("add users none.json"))
    assert double.commands == []


@pytest.mark.proves("R111", "T-28")
def test_only_small_regular_text_files_are_read(tmp_path: Path) -> None:
    pipe, big, binary = tmp_path / "pipe", tmp_path / "big", tmp_path / "binary"
    os.mkfifo(pipe)
    big.write_bytes(b"x" * (MAX_FILE + 1))
    binary.write_bytes(b"\xff\xfe")
    for path, says in (
        (pipe, "regular"), (tmp_path, "director|regular"), (big, "more than"), (binary, "UTF-8"),
        ("/dev/zero", "regular"), ("a\0b", "not a file name"), ("x" * 5000, "too long"),
    ):  # fmt: skip
        with within(10), pytest.raises(CommandFileError, match=says):
            read_file(str(path))


@pytest.mark.parametrize(
    ("rest", "grammar", "files"),
    [
        ("users.json", "<config:file>", ("users.json",)),
        ("'my users.json'", "<config:file>", ("my users.json",)),
        ("two words", "<config:file>", ()),
        ("churn,config=a.json", "<name>[,config=<file>]", ("a.json",)),
        ('churn, config="a b.json"', "<name>[,config=<file>]", ("a b.json",)),
        ("churn", "<name>[,config=<file>]", ()),
        ("churn config=a.json epochs=3", "[<name>] [key=value …]", ("a.json",)),
        ("churn myconfig=a.json", "[<name>] [key=value …]", ()),
    ],
)
def test_file_names_are_found_in_the_arguments(rest: str, grammar: str, files: tuple[str, ...]) -> None:
    assert find_file_names(rest, grammar) == files


def test_an_unreachable_service_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ServiceUnreachableError, match="cannot be reached"):
        list(client_of(url).run(LIST))
    for url in ("", "ftp://service.example", "service.example:80", "http://"):
        with pytest.raises(ServiceUnreachableError):
            client_of(url)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"", ResponseInterruptedError),
        (b"rubbish\r\n\r\n", ResponseInterruptedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", ServiceUnreachableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", ResponseInterruptedError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ServiceUnreachableError),
        (b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno", ProblemResponseError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, ResponseInterruptedError),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\nnot json\n", ResponseInterruptedError),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n" + b'"' + b"x" * (2 << 20),
            ResponseInterruptedError,
        ),
    ],
    ids=["nothing", "rubbish", "html", "cut", "redirect", "500", "huge header", "bad line", "huge line"],
)
def test_every_invalid_response_is_one_of_our_errors(response: bytes, error: type[Exception]) -> None:
    with raw_server(lambda peer: peer.sendall(response)) as url, pytest.raises(error):
        list(client_of(url).run(LIST))


def test_a_response_that_arrives_byte_by_byte_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(peer: socket.socket) -> None:
        for _ in range(1200):
            peer.sendall(b"H")
            time.sleep(0.05)

    monkeypatch.setattr(transport, "RESPONSE_SECONDS", 0.3)
    with raw_server(drip) as url:
        client = client_of(url)
        # All of it takes a minute.
        with (
            within(20),
            pytest.raises(ResponseInterruptedError),
            client._transport.request("GET", "/", seconds=0.3),
        ):
            pass


def test_a_silent_stream_times_out(
    client: NotebookClient, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(client_module, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 0.3)
    double.states = [503]
    double.scripts["start training churn"] = stream_events({"event": "progress", "fraction": 0.1, "message": ""}, 2.0)
    with pytest.raises(ResponseInterruptedError, match="no data"):
        list(client.run("start training churn"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 0.3)


HALF: dict[str, Any] = {"event": "progress", "fraction": 0.5, "message": "half"}
START = "start training churn"


@pytest.mark.usefixtures("quick")
def test_a_command_with_a_broken_stream_is_polled(
    client: NotebookClient, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 60.0)
    double.scripts[START] = stream_events(HALF, end=False)
    double.states = [
        503, 429, {"state": "running"},
        {"state": "running", "progress": {"fraction": 0.7, "message": "more"}},
        {"state": "done", "result": TABLE, "message": "ready"},
    ]  # fmt: skip
    _, half, *reconnecting, more, end = client.run(START)
    assert half == HALF
    assert [(event["fraction"], "checking its state" in event["message"]) for event in reconnecting] == [
        (0.5, True)
    ] * 3
    assert more == {"event": "progress", "fraction": 0.7, "message": "more"}
    assert end == {"event": "end", "state": "done", "result": TABLE, "message": "ready"}
    assert len(double.commands) == 1, "it was polled, not sent again"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("state", "says"), [(503, "ended early"), (404, "no such command of yours")])
def test_a_command_that_cannot_be_polled_is_an_error(
    client: NotebookClient, double: ServiceDouble, state: int, says: str
) -> None:
    double.scripts[START], double.states = stream_events(HALF, end=False), [state]
    with within(30), pytest.raises(ResponseInterruptedError, match=says):
        list(client.run(START))


@pytest.mark.usefixtures("quick")
def test_an_end_without_a_result_is_explained(client: NotebookClient, double: ServiceDouble) -> None:
    double.scripts[START], double.states = stream_events(end=False), [{"state": "done", "result": None}]
    *_, end = client.run(START)
    assert (end["state"], end["message"]) == ("done", "its result was lost with the connection")


@pytest.mark.usefixtures("quick")
def test_a_repeated_request_of_a_running_command_is_followed(client: NotebookClient, double: ServiceDouble) -> None:
    double.scripts[START] = lambda handler, body: {"id": "d" * 32, "canonical": START, "state": "running"}
    double.states = [{"state": "running"}, {"state": "stopped", "message": "enough"}]
    first, *_, end = client.run(START)
    assert (first["event"], end["state"]) == ("decision", "stopped")


@pytest.mark.proves("R103")
def test_a_lost_response_is_requested_again_with_the_same_key(client: NotebookClient, double: ServiceDouble) -> None:
    def lose_the_first(handler: Any, body: dict[str, Any]) -> Any:
        if len(double.commands) == 1:
            handler.detach().close()
            return None
        return respond_with(TABLE)(handler, body)

    double.scripts[LIST] = lose_the_first
    assert list(client.run(LIST))[-1]["result"] == TABLE
    first, second = double.keys
    assert first == second
    assert first
    list(client.run(LIST))
    assert double.keys[-1] != first


def test_the_catalog_is_fetched_once(client: NotebookClient, double: ServiceDouble) -> None:
    assert client.cached_catalog is None
    for _ in range(3):
        assert ("start", "training") in client.get_catalog().entries
    assert double.catalog_requests == 1


def test_a_body_is_plain_json(client: NotebookClient, double: ServiceDouble) -> None:
    text = 'configure training "a\u2028b" note="é"'
    double.scripts[text] = respond_with(TABLE)
    list(client.run(text))
    assert json.loads(json.dumps(double.commands[0])) == {"text": text}
