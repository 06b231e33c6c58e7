"""Request handlers: POST, GET and DELETE of commands, each with a decision token."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from executor import CommandExecutor, CommandRequest
from job_runner import Event, JobRunner
from storage import Storage
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from verifier import DecisionTokenVerifier, KeysUnavailableError, TokenRefusedError, VerifiedDecision

_ID = re.compile(r"[0-9A-Za-z_-]{16,64}")
_MEMBERS = {
    "id": str, "command": str, "verb": str, "noun": str, "arguments": dict, "user": str, "project": (str, type(None)),
}  # fmt: skip


@dataclass(frozen=True)
class HandlerContext:
    """The objects that every handler uses."""

    verifier: DecisionTokenVerifier
    storage: Storage
    runner: JobRunner
    executor: CommandExecutor


class RequestError(Exception):
    """Ends a request with a problem document (RFC 9457)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class BaseHandler(RequestHandler):
    def initialize(self, context: HandlerContext) -> None:
        self.context = context

    def set_default_headers(self) -> None:
        self.set_header("Server", "aizen sample core")
        self.set_header("Cache-Control", "no-store")

    async def verified_decision(self) -> VerifiedDecision:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > 8192:
            raise RequestError(401, "a decision token is needed")
        try:
            return await self.context.verifier.verify(token, self.request.body)
        except TokenRefusedError as refusal:
            raise RequestError(401, str(refusal)) from None
        except KeysUnavailableError as missing:
            raise RequestError(503, str(missing)) from None

    def _handle_request_exception(self, error: BaseException) -> None:
        if not isinstance(error, RequestError) or self._headers_written:
            super()._handle_request_exception(error)
            return
        self.set_status(error.status)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(json.dumps({"title": "Refused by the core", "status": error.status, "detail": error.detail}))

    async def stream(self, events: AsyncGenerator[Event, None]) -> None:
        """Send events line by line; a client that disconnects ends this response, never the job."""
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            async with aclosing(events):
                async for event in events:
                    self.write(json.dumps(event, ensure_ascii=False) + "\n")
                    await self.flush()
        except StreamClosedError:
            return


class CommandsHandler(BaseHandler):
    async def post(self) -> None:
        decision = await self.verified_decision()
        command = self._parse_command()
        if (command.id, command.user, command.project) != (decision.id, decision.user, decision.project):
            raise RequestError(401, "the decision belongs to another command")
        if not self.context.storage.claim_id(command.id, command.user, command.project, command.command):
            raise RequestError(409, "this decision was already executed")
        events = self.context.executor.execute(command)
        # The command has begun before `accepted` is sent: a client that disconnects then does not stop it.
        first = await anext(events)
        await self.stream(self._events(first, events))

    async def _events(self, first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        async with aclosing(rest):
            yield {"event": "accepted"}
            yield first
            async for event in rest:
                yield event

    def _parse_command(self) -> CommandRequest:
        try:
            value: Any = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise RequestError(400, "the body is not JSON") from None
        if not isinstance(value, dict) or value.keys() - {"files"} != _MEMBERS.keys():
            raise RequestError(400, "the body does not have exactly the members of a command")
        if not all(isinstance(value[name], kind) for name, kind in _MEMBERS.items()) or not _ID.fullmatch(value["id"]):
            raise RequestError(400, "a member of the command has a wrong type")
        files = value.pop("files", {})
        if not isinstance(files, dict) or not all(isinstance(content, str) for content in files.values()):
            raise RequestError(400, "the files of the command are not texts")
        return CommandRequest(files=files, **value)


class CommandHandler(BaseHandler):
    async def get(self, id: str) -> None:
        record = await self._load_command(id)
        job = self.context.runner.find(id)
        await self.stream(self._reattached_events(record, None if job is None else self.context.runner.follow(job)))

    async def _reattached_events(
        self, record: dict[str, Any], events: AsyncGenerator[Event, None] | None
    ) -> AsyncGenerator[Event, None]:
        yield {"event": "accepted"}
        if events is not None:
            async for event in events:
                yield event
        elif record["end"] is not None:
            yield record["end"]
        # A command that neither runs nor has ended was interrupted by a crash: the response ends here.

    async def delete(self, id: str) -> None:
        record = await self._load_command(id)
        job = self.context.runner.find(id)
        if job is not None:
            await self.context.runner.stop(job)
            record = self.context.storage.command(id) or record
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"id": id, "state": (record["end"] or {}).get("state", "unknown")}))

    async def _load_command(self, id: str) -> dict[str, Any]:
        decision = await self.verified_decision()
        record = self.context.storage.command(id) if decision.id == id else None
        if record is None or (record["user"], record["project"]) != (decision.user, decision.project):
            raise RequestError(404, "there is no such command")
        return record


ROUTES = ((r"/commands", CommandsHandler), (rf"/commands/({_ID.pattern})", CommandHandler))
