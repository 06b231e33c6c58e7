"""Test double of the service: an HTTP server with scripted responses, for errors of the service and the network."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from aizen_hub.catalogs.loader import load_catalog

HUB_TOKEN = "hub-token-of-this-server"
Script = Callable[[RequestHandler, dict[str, Any]], Any]


def role_token(serial: int = 0, seconds: float = 300) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part({'exp': time.time() + seconds, 'n': serial})}.x"


@dataclass
class ServiceDouble:
    """The recorded requests, and the scripted responses."""

    url: str = ""
    token: str = field(default_factory=role_token)
    commands: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    states: list[dict[str, Any] | int] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    renewals: list[dict[str, str]] = field(default_factory=list)
    renewal: dict[str, Any] | None = None
    renewal_seconds: float = 0.0
    issues_valid_tokens: bool = True
    catalog_requests: int = 0
    catalog_status: int = 200
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    job_events: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    questions: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    completed: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()
    completion_seconds: float = 0.0

    def environment(self, **more: str) -> dict[str, str]:
        return {"AIZEN_URL": self.url, "AIZEN_TOKEN": self.token, "JUPYTERHUB_API_TOKEN": HUB_TOKEN, **more}


class _Base(RequestHandler):
    double: ServiceDouble

    def initialize(self, double: ServiceDouble) -> None:
        self.double = double

    def problem(self, status: int, **document: Any) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(json.dumps({"status": status, **document}))

    def prepare(self) -> None:
        if self.request.headers.get("Authorization") != f"Bearer {self.double.token}":
            self.problem(401, title="The credential was not accepted", detail="the token has expired", code="expired")


class _Commands(_Base):
    async def post(self) -> None:
        body = json.loads(self.request.body)
        self.double.commands.append(body)
        self.double.keys.append(self.request.headers.get("Idempotency-Key"))
        script = self.double.scripts.get(body["text"])
        if script is None:
            self.problem(400, title="There is no such command", detail=f"no script for `{body['text']}`")
            return
        answer = script(self, body)
        if asyncio.iscoroutine(answer):
            await answer
        elif answer is not None:
            self.finish(answer)


class _State(_Base):
    def get(self, id: str) -> None:
        """Return the next scripted state of a command, the last one repeatedly; a number is an error status."""
        states = self.double.states or [404]
        state = states.pop(0) if len(states) > 1 else states[0]
        if isinstance(state, int):
            self.problem(state, title="No", detail="there is no such command of yours")
        else:
            self.finish({"id": id, "canonical": "", **state})


class _Requests(_Base):
    def post(self) -> None:
        body = json.loads(self.request.body)
        self.double.requests.append(body)
        if body["role"] == "NONE":
            self.problem(400, title="The request is not well formed", detail="there is no role `NONE`")
            return
        self.set_status(201)
        self.finish({"kind": "message", "message": f"requested {body['role']} in `{body['scope']}`", "data": {}})


class _Catalog(_Base):
    def get(self) -> None:
        self.double.catalog_requests += 1
        if self.double.catalog_status != 200:
            self.problem(self.double.catalog_status, title="The service cannot decide now", detail="starting")
            return
        catalog = load_catalog("aizen")
        self.finish(
            {
                "name": catalog.name,
                "roles": [
                    {"name": name, "scopes": sorted(map(str, role.scopes))} for name, role in catalog.roles.items()
                ],
                "commands": [
                    {
                        "command": words,
                        "grammar": entry.grammar,
                        "description": entry.description,
                        "only_reads": catalog.only_reads(entry),
                    }
                    for words, entry in catalog.commands.items()
                ],
            }
        )


class _Session(_Base):
    def get(self) -> None:
        role = {
            "role": "PROJECT_READER",
            "scope": "churn",
            "via": [],
            "source": "paul",
            "ends": None,
            "state": "effective",
        }
        self.finish({"user": "bob", "project": "churn", "roles": [role], "limits": []})


class _Jobs(_Base):
    """The scripted jobs, by id."""

    def get(self, id: str = "", action: str = "") -> None:
        if not id:
            self.finish({"jobs": list(self.double.jobs.values()), "more": False})
            return
        found = [job for job in self.double.jobs.values() if job["id"].endswith(id)]
        if len(found) != 1:
            self.problem(404, title="Not found", detail="you have no such job")
        elif action == "events":
            self.set_header("Content-Type", "application/x-ndjson")
            for event in self.double.job_events:
                self.write(json.dumps(event) + "\n")
        else:
            self.finish(found[0])

    def post(self, id: str, action: str) -> None:
        state = self.double.jobs[id]["state"]
        if state != "running":
            self.problem(409, title="This conflicts", detail=f"this job has ended already: {state}", state=state)
            return
        self.double.stopped.append(id)
        self.double.jobs[id]["state"] = "stopped"
        self.set_status(202)
        self.finish(self.double.jobs[id])


class _AllowedCommands(_Base):
    def get(self) -> None:
        commands = [{"command": f"{verb} training", "verb": verb, "noun": "training"} for verb in ("start", "list")]
        self.finish({"project": "churn", "commands": [*commands, {"verb": "list", "noun": "projects"}], "total": 155})


class _Questions(_Base):
    def post(self, kind: str) -> None:
        self.double.questions.append((kind, json.loads(self.request.body)))
        self.finish(self.double.answers[kind])


class _Completions(_Base):
    async def get(self) -> None:
        self.double.completed.append(self.get_query_argument("line"))
        await asyncio.sleep(self.double.completion_seconds)
        line = self.double.completed[-1]
        start = len(line) - len(line.rpartition(" ")[2])
        texts = [text for text in self.double.names if text.startswith(line[start:])]
        self.finish(
            {"start": start, "end": len(line), "completions": [{"text": text} for text in texts], "more": False}
        )


class _Token(_Base):
    def prepare(self) -> None:
        """The hub token is in the form."""

    async def post(self) -> None:
        form = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.double.renewals.append(form)
        await asyncio.sleep(self.double.renewal_seconds)
        if self.double.renewal is not None:
            self.set_status(400)
            self.finish(self.double.renewal)
            return
        token = role_token(len(self.double.renewals))
        if self.double.issues_valid_tokens:
            self.double.token = token
        self.finish({"access_token": token, "expires_in": 300, "project": "churn", "token_type": "Bearer"})


ROUTES = (
    (r"/api/v1/commands", _Commands),
    (r"/api/v1/commands/(\w+)", _State),
    (r"/api/v1/requests", _Requests),
    (r"/api/v1/catalog", _Catalog),
    (r"/api/v1/session", _Session),
    (r"/api/v1/session/commands", _AllowedCommands),
    (r"/api/v1/jobs", _Jobs),
    (r"/api/v1/jobs/(\w+)", _Jobs),
    (r"/api/v1/jobs/(\w+)/(\w+)", _Jobs),
    (r"/api/v1/access-queries/(.+)", _Questions),
    (r"/api/v1/completions", _Completions),
    (r"/oauth/token", _Token),
)


@contextmanager
def service_double() -> Iterator[ServiceDouble]:
    """Run the double in a thread."""
    double = ServiceDouble()
    ready, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        double.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        server = HTTPServer(Application([(path, handler, {"double": double}) for path, handler in ROUTES]))
        server.add_sockets(sockets)
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield double
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


def decision(allowed: bool = True, **more: Any) -> dict[str, Any]:
    return {"id": "d" * 32, "allowed": allowed, "reason": "granted", "sentence": "fine", "revision": 7, **more}


def respond_with(result: dict[str, Any]) -> Script:
    """Return the script of an account command: one JSON response."""

    def script(handler: RequestHandler, body: dict[str, Any]) -> dict[str, Any]:
        return {"id": "d" * 32, "canonical": body["text"], "decision": decision(), "result": result}

    return script


def deny_with(**document: Any) -> Script:
    def script(handler: Any, body: dict[str, Any]) -> None:
        handler.problem(403, title="Not allowed", **document)

    return script


def stream_events(*events: dict[str, Any] | float | bytes, end: bool = True) -> Script:
    """Return the script of a core command: NDJSON; a number is a pause in seconds, bytes are sent unchanged."""

    async def script(handler: RequestHandler, body: dict[str, Any]) -> None:
        handler.set_header("Content-Type", "application/x-ndjson")
        first = {"event": "decision", "id": "d" * 32, "canonical": body["text"], "decision": decision()}
        for event in (first, *events):
            if isinstance(event, int | float):
                await asyncio.sleep(event)
                continue
            handler.write(event if isinstance(event, bytes) else json.dumps(event) + "\n")
            await handler.flush()
        if not end:
            stream = handler.detach()
            stream.close()

    return script
