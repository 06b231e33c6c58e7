"""Malformed input gets a 4xx problem that points to the fault, changes nothing, and is never a 500."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.service.conftest import Driver

DEEP = "[" * 40 + "]" * 40
COMMANDS = "/api/v1/commands"
SESSIONS = "/api/v1/sessions"
GOOD_SESSION = {"user": "eve", "requester": "eve", "server": "", "project": "p1", "credential": "0" * 64}

# channel, path, body, status, pointer (None: any), description
BAD = [
    ("kernel", COMMANDS, b"{", 400, None, "half a document"),
    ("kernel", COMMANDS, b"", 400, None, "nothing"),
    ("kernel", COMMANDS, b"[]", 400, "", "a list"),
    ("kernel", COMMANDS, b'"text"', 400, "", "a text"),
    ("kernel", COMMANDS, b"\xff\xfe", 400, None, "not UTF-8"),
    ("kernel", COMMANDS, b'\xef\xbb\xbf{"text":"list projects"}', 400, None, "a byte order mark"),
    ("kernel", COMMANDS, b'{"text":"list projects"} x', 400, None, "text after the end"),
    ("kernel", COMMANDS, b'{"text":"list projects","text":"list users"}', 400, None, "a member twice"),
    ("kernel", COMMANDS, b'{"text":NaN}', 400, None, "not a number"),
    ("kernel", COMMANDS, b'{"text":"\\ud800"}', 400, None, "a lone surrogate"),
    ("kernel", COMMANDS, b'{"text":' + DEEP.encode() + b"}", 413, None, "too deep"),
    ("kernel", COMMANDS, b'{"text":5}', 400, "/text", "a number for a text"),
    ("kernel", COMMANDS, b'{"text":null}', 400, "/text", "null for a text"),
    ("kernel", COMMANDS, b'{"text":["list projects"]}', 400, "/text", "a list for a text"),
    ("kernel", COMMANDS, b'{"txt":"list projects"}', 400, "/txt", "an unknown member"),
    ("kernel", COMMANDS, b'{"text":"list projects","id":"1"}', 400, "/id", "a member that is ours to set"),
    ("kernel", COMMANDS, b'{"text":"list projects","revision":1}', 400, "/revision", "another"),
    ("kernel", COMMANDS, b'{"text":"list projects","files":{"a":1}}', 400, "/files/a", "a file that is a number"),
    (
        "kernel",
        COMMANDS,
        b'{"text":"list projects","project":"p2"}',
        400,
        "/project",
        "a project in addition to the session's",
    ),
    ("kernel", COMMANDS, b'{"text":"' + b"x" * 9000 + b'"}', 400, "/text", "a line that is too long"),
    ("kernel", COMMANDS, b'{"text":"' + b"x" * (3 << 20) + b'"}', 413, None, "too large"),
    ("kernel", COMMANDS, b'{"text":""}', 400, "/text", "an empty line"),
    ("kernel", COMMANDS, b'{"text":"list projects\\nlist users"}', 400, "/text", "a line break"),
    ("kernel", COMMANDS, b'{"text":"list\\u0000projects"}', 400, "/text", "NUL"),
    ("kernel", COMMANDS, b'{"text":"list\\u00a0projects"}', 400, "/text", "a no-break space"),
    ("kernel", COMMANDS, b'{"text":"list\\u200bprojects"}', 400, "/text", "a zero-width character"),
    ("kernel", COMMANDS, b'{"text":"list projects; list users"}', 400, "/text", "two commands"),
    ("kernel", COMMANDS, b'{"text":"show project \\"p1"}', 400, "/text", "an open quote"),
    ("kernel", COMMANDS, b'{"text":"lst projects"}', 400, "/text", "an unknown command"),
    ("kernel", COMMANDS, b'{"text":"list project"}', 400, "/text", "singular for plural"),
    ("kernel", "/api/v1/decisions", b"{}", 400, "", "no decision request"),
    (
        "kernel",
        "/api/v1/decisions",
        b'{"command":"list projects","permission":"read:x"}',
        400,
        "",
        "two decision requests",
    ),
    ("kernel", "/api/v1/decisions", b'{"permission":"Read Training"}', 400, "/permission", "not a permission"),
    ("hub", SESSIONS, {**GOOD_SESSION, "credential": "0" * 63}, 400, "/credential", "half a hash"),
    ("hub", SESSIONS, {**GOOD_SESSION, "credential": "0" * 64 + "\n"}, 400, "/credential", "a hash and more"),
    ("hub", SESSIONS, {**GOOD_SESSION, "user": 7}, 400, "/user", "a number for a name"),
    ("hub", SESSIONS, {**GOOD_SESSION, "user": "e\u202eve"}, 400, "/user", "a bidi character"),
    ("hub", SESSIONS, {**GOOD_SESSION, "user": "x" * 10_000}, 400, "/user", "a name of 10 kB"),
    ("hub", SESSIONS, {**GOOD_SESSION, "is_admin": True}, 400, "/is_admin", "a member that would make an admin"),
    ("hub", SESSIONS, {"user": "eve"}, 400, "/requester", "missing members"),
    ("hub", SESSIONS, {**GOOD_SESSION, "user": "unknown", "requester": "unknown"}, 404, None, "an unknown user"),
    ("hub", SESSIONS, {**GOOD_SESSION, "project": "p2"}, 404, None, "a foreign project"),
    ("hub", SESSIONS, {**GOOD_SESSION, "project": "p9"}, 404, None, "an unknown project"),
    ("hub", SESSIONS, {**GOOD_SESSION, "requester": "boss"}, 403, None, "another user's server"),
    ("hub", "/api/v1/login", {"provider": "local", "subject": "s"}, 400, "/name", "no name"),
    ("hub", "/api/v1/login", {"provider": "LDAP!", "subject": "s", "name": "n"}, 400, "/provider", "not a provider"),
    (
        "hub",
        "/api/v1/login",
        {"provider": "local", "subject": "s", "name": "n", "groups": "admins"},
        400,
        "/groups",
        "groups that are one text",
    ),
    (
        "hub",
        "/api/v1/login",
        {"provider": "local", "subject": "s", "name": "n", "groups": [["a"]]},
        400,
        "/groups/0",
        "a group that is a list",
    ),
    ("hub", "/api/v1/sessions/heartbeat", {"live": [{"user": "eve"}]}, 400, "/live/0/server", "half a server"),
    ("boss", "/api/v1/locks", {"target": "galaxy", "name": "x", "reason": "r"}, 400, "/target", "no such target"),
    (
        "boss",
        "/api/v1/assignments",
        {"roles": ["PROJECT_ADMIN"], "scope": "p1", "identity": "eve"},
        400,
        "/identity",
        "an identity without a kind",
    ),
    (
        "boss",
        "/api/v1/assignments",
        {"roles": [], "scope": "p1", "identity": "user:eve"},
        400,
        "/roles",
        "no role at all",
    ),
    (
        "boss",
        "/api/v1/assignments",
        {"roles": ["PROJECT_ADMIN"], "scope": "p1", "identity": "user:eve", "ends": "2030-01-01T00:00:00"},
        400,
        "/ends",
        "a time without a zone",
    ),
]


@pytest.mark.proves("R110", "R114", "R74", "R87", "I8", "T-29")
async def test_bad_input(service: Driver) -> None:
    eve, boss = await service.open("eve"), await service.open("boss", None)
    credentials = {"kernel": eve.auth, "boss": boss.auth, "hub": f"Bearer {service.hub_secret}"}
    revision = service.revision()
    for channel, path, body, status, pointer, what in BAD:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await service.call("POST", path, raw=raw, auth=credentials[channel])
        assert answer.status == status, (what, answer.status, answer.body[:300])
        assert answer.headers["Content-Type"] == "application/problem+json", what
        problem = answer.json
        assert problem["status"] == status, what
        assert problem["type"].startswith("/services/aizen/docs/problems/"), what
        assert problem["detail"], what
        if pointer is not None:
            assert pointer in [error["pointer"] for error in problem["errors"]], (what, problem)
    assert service.revision() == revision, "no malformed request changed anything"


async def test_an_unknown_command_comes_with_a_suggestion(service: Driver) -> None:
    eve = await service.open("eve")
    answer = await service.command(eve, "strat training churn")
    assert (answer.status, answer.json["type"]) == (400, "/services/aizen/docs/problems/unknown-command")
    assert answer.json["suggestion"] == "start training"
    assert answer.json["decision"]["reason"] == "unknown-command"


@pytest.mark.proves("R87")
async def test_an_unparsable_command_is_recorded(service: Driver) -> None:
    from aizen_hub.audit.search import AuditFilter, search_newest

    eve = await service.open("eve")
    answer = await service.command(eve, "start 'training")
    with service.context.store.read() as tx:
        rows = search_newest(tx.conn, AuditFilter(id=answer.json["decision"]["id"]))
    assert [(row["allowed"], row["reason"]) for row in rows] == [(False, "syntax")]


@pytest.mark.proves("R126", "T-51")
async def test_limits_of_the_request_itself(service: Driver) -> None:
    eve = await service.open("eve")
    long = await service.call("GET", "/api/v1/me?" + "a" * 5000, auth=eve.auth)
    assert long.status == 413
    many = {f"X-{index}": "y" for index in range(80)}
    assert (await service.call("GET", "/api/v1/me", auth=eve.auth, headers=many)).status == 400
    assert (await service.call("GET", "/api/v1/me?a=1", auth=eve.auth)).status == 400
    assert (await service.call("GET", "/api/v1/locks?x=1", auth=eve.auth)).status == 400
    fields = "&".join(f"user={index}" for index in range(2))
    assert (await service.hub("GET", f"/sessions/choices?{fields}")).status == 400
    huge = "&".join(f"a{index}=1" for index in range(100))
    assert (await service.hub("GET", f"/sessions/choices?{huge}")).status == 400
    assert (await service.hub("GET", "/sessions/choices?user=%ff")).status == 400
    assert (await service.call("PATCH", "/api/v1/users/" + "a" * 400, {}, auth=eve.auth)).status == 400
    assert (await service.call("PATCH", "/api/v1/users/a%0Ab", {}, auth=eve.auth)).status == 400


async def test_methods_and_media_types(service: Driver) -> None:
    eve = await service.open("eve")
    refused = await service.call("DELETE", "/api/v1/me", auth=eve.auth)
    assert (refused.status, refused.headers["Allow"]) == (405, "GET")
    assert (await service.call("TRACE", "/api/v1/me", auth=eve.auth)).status in (400, 405)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.call("POST", COMMANDS, raw=b"text=list+projects", auth=eve.auth, headers=form)
    assert answer.status == 415
    compressed = {"Content-Encoding": "gzip"}
    answer = await service.call("POST", COMMANDS, {"text": "list projects"}, auth=eve.auth, headers=compressed)
    assert answer.status == 415


@pytest.mark.parametrize(
    ("media_type", "encoding"),
    [
        ("application/json; charset=utf-16", "utf-16"),
        ("application/json; charset=utf-16", "utf-8"),
        ("application/json;charset=UTF-16LE", "utf-16-le"),
        ('application/json; charset="iso-8859-1"', "latin-1"),
        ("application/json; charset=utf-8; charset=utf-16", "utf-8"),
        ("application/json; charset*=utf-16''x", "utf-8"),
        ("application/json; charset", "utf-8"),
    ],
)
@pytest.mark.proves("R110")
async def test_another_encoding_than_utf_8_is_refused(service: Driver, media_type: str, encoding: str) -> None:
    eve = await service.open("eve")
    raw, headers = '{"text": "list projects"}'.encode(encoding), {"Content-Type": media_type}
    answer = await service.call("POST", COMMANDS, raw=raw, auth=eve.auth, headers=headers)
    assert (answer.status, answer.json["type"]) == (415, "/services/aizen/docs/problems/media-type")
    assert "UTF-8" in answer.json["detail"]


@pytest.mark.parametrize("media_type", ["application/json; charset=UTF-8", 'application/json;charset="utf-8" ; x=y'])
async def test_utf_8_may_be_named(service: Driver, media_type: str) -> None:
    eve = await service.open("eve")
    raw, headers = b'{"text": "list projects"}', {"Content-Type": media_type}
    assert (await service.call("POST", COMMANDS, raw=raw, auth=eve.auth, headers=headers)).status == 200


@pytest.mark.proves("R126")
async def test_an_endless_body_is_refused(service: Driver) -> None:
    eve = await service.open("eve")
    reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
    head = (
        f"POST {COMMANDS} HTTP/1.1\r\nHost: x\r\nAuthorization: {eve.auth}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode())
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    try:
        for _ in range(80):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    status = await asyncio.wait_for(reader.readline(), 5)
    assert status.startswith(b"HTTP/1.1 413")
    writer.close()
    assert (await service.call("GET", "/livez")).status == 200


async def test_an_unexpected_error_is_503_with_an_id_and_nothing_else(
    service: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from aizen_hub.accounts.sessions import project_entry

    def fail(*_: object) -> None:
        raise RuntimeError("secret-in-a-message")

    monkeypatch.setattr(project_entry, "active_roles", fail)
    answer = await service.hub("GET", "/sessions/choices?user=eve")
    assert (answer.status, answer.json["type"]) == (503, "/services/aizen/docs/problems/unavailable")
    assert b"secret" not in answer.body
    assert b"RuntimeError" not in answer.body
    records = [record for record in caplog.records if getattr(record, "data", {}).get("id") == answer.json["id"]]
    assert [record.levelname for record in records] == ["ERROR"]
