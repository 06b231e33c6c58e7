"""The core's side of the contract: POST, GET and DELETE of commands, each with a decision token."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from archive import Archive
from desk import Desk, Errand
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from verifier import Grant, KeysMissing, Refused, Verifier
from workshop import Event, Workshop

_ID = re.compile(r"[0-9A-Za-z_-]{16,64}")
_MEMBERS = {
    "id": str, "command": str, "verb": str, "noun": str, "arguments": dict, "user": str, "project": (str, type(None)),
}  # fmt: skip


@dataclass(frozen=True)
class Rooms:
    """What every handler works with."""

    verifier: Verifier
    archive: Archive
    workshop: Workshop
    desk: Desk


class Stop(Exception):
    """Ends a request with a problem document (RFC 9457)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Base(RequestHandler):
    def initialize(self, rooms: Rooms) -> None:
        self.rooms = rooms

    def set_default_headers(self) -> None:
        self.set_header("Server", "aizen sample core")
        self.set_header("Cache-Control", "no-store")

    async def granted(self) -> Grant:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > 8192:
            raise Stop(401, "a decision token is needed")
        try:
            return await self.rooms.verifier.verify(token, self.request.body)
        except Refused as refusal:
            raise Stop(401, str(refusal)) from None
        except KeysMissing as missing:
            raise Stop(503, str(missing)) from None

    def _handle_request_exception(self, error: BaseException) -> None:
        if not isinstance(error, Stop) or self._headers_written:
            super()._handle_request_exception(error)
            return
        self.set_status(error.status)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(json.dumps({"title": "Refused by the core", "status": error.status, "detail": error.detail}))

    async def stream(self, events: AsyncGenerator[Event, None]) -> None:
        """Send events line by line. A client that goes away ends this answer, never the job."""
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            async with aclosing(events):
                async for event in events:
                    self.write(json.dumps(event, ensure_ascii=False) + "\n")
                    await self.flush()
        except StreamClosedError:
            return


class Commands(Base):
    async def post(self) -> None:
        grant = await self.granted()
        errand = self._errand()
        if (errand.id, errand.user, errand.project) != (grant.id, grant.user, grant.project):
            raise Stop(401, "the decision belongs to another command")
        if not self.rooms.archive.first_use(errand.id, errand.user, errand.project, errand.command):
            raise Stop(409, "this decision was carried out already")
        events = self.rooms.desk.carry_out(errand)
        # Accepted means begun: a client that hangs up on this word has its job all the same.
        first = await anext(events)
        await self.stream(self._events(first, events))

    async def _events(self, first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        async with aclosing(rest):
            yield {"event": "accepted"}
            yield first
            async for event in rest:
                yield event

    def _errand(self) -> Errand:
        try:
            value: Any = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise Stop(400, "the body is not JSON") from None
        if not isinstance(value, dict) or value.keys() - {"files"} != _MEMBERS.keys():
            raise Stop(400, "the body does not hold exactly the members of a command")
        if not all(isinstance(value[name], kind) for name, kind in _MEMBERS.items()) or not _ID.fullmatch(value["id"]):
            raise Stop(400, "a member of the command has a wrong type")
        files = value.pop("files", {})
        if not isinstance(files, dict) or not all(isinstance(one, str) for one in files.values()):
            raise Stop(400, "the files of the command are not texts")
        return Errand(files=files, **value)


class Command(Base):
    async def get(self, id: str) -> None:
        known = await self._known(id)
        job = self.rooms.workshop.find(id)
        await self.stream(self._again(known, None if job is None else self.rooms.workshop.follow(job)))

    async def _again(
        self, known: dict[str, Any], events: AsyncGenerator[Event, None] | None
    ) -> AsyncGenerator[Event, None]:
        yield {"event": "accepted"}
        if events is not None:
            async for event in events:
                yield event
        elif known["end"] is not None:
            yield known["end"]
        # A command that neither runs nor ended was cut off by a crash: the answer stops here, and nobody claims more.

    async def delete(self, id: str) -> None:
        known = await self._known(id)
        job = self.rooms.workshop.find(id)
        if job is not None:
            await self.rooms.workshop.stop(job)
            known = self.rooms.archive.command(id) or known
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"id": id, "state": (known["end"] or {}).get("state", "unknown")}))

    async def _known(self, id: str) -> dict[str, Any]:
        grant = await self.granted()
        known = self.rooms.archive.command(id) if grant.id == id else None
        if known is None or (known["user"], known["project"]) != (grant.user, grant.project):
            raise Stop(404, "there is no such command")
        return known


ROUTES = ((r"/commands", Commands), (rf"/commands/({_ID.pattern})", Command))
