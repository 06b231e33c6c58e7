"""The client of the service inside a user's server: commands, catalog, and who one is here."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import quote

from aizen_hub.notebook.command_catalog import Vocabulary
from aizen_hub.notebook.errors import AizenError, Interrupted, Refused, Unreachable
from aizen_hub.notebook.files import named_files, read_file
from aizen_hub.notebook.role_token import RoleToken
from aizen_hub.notebook.transport import ANSWER_SECONDS, Answer, Transport

CATALOG_SECONDS = 5.0
RETURN_SECONDS = 90.0
"""So long a service may be away while a command runs: a hub takes up to half a minute to start it again."""
_ASK_PAUSE = 2.0
_MOST_ASKS = 1_800


class Client:
    """Speaks to the service with the role token of this server.

    Parameters
    ----------
    transport : Transport
    token : RoleToken
    """

    def __init__(self, transport: Transport, token: RoleToken) -> None:
        self._transport, self.token = transport, token
        self._vocabulary: Vocabulary | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read ``AIZEN_URL`` and the token's variables; Unreachable without a usable address."""
        environ = os.environ if environ is None else environ
        transport = Transport(environ.get("AIZEN_URL", ""))
        return cls(transport, RoleToken.from_environment(transport, environ))

    @property
    def url(self) -> str:
        return self._transport.url

    @property
    def known_vocabulary(self) -> Vocabulary | None:
        """The catalog's commands if they were fetched already; never reaches for the network."""
        return self._vocabulary

    def vocabulary(self, *, anew: bool = False) -> Vocabulary:
        """Return the catalog's commands, fetched once and kept for the life of the kernel.

        Raises
        ------
        Unreachable, Refused
        """
        if self._vocabulary is None or anew:
            self._vocabulary = Vocabulary.from_catalog(self._object("/api/v1/catalog", CATALOG_SECONDS))
        return self._vocabulary

    def me(self) -> dict[str, Any]:
        """Return who one is here: user, project, roles, limits."""
        return self._object("/api/v1/me", ANSWER_SECONDS)

    def run(self, text: str) -> Iterator[dict[str, Any]]:
        """Send one command line and yield events: ``decision``, then ``progress`` and ``log``, and at last ``end``.

        Files that the line names are read here and travel with it.

        Raises
        ------
        Refused
            Denied, or not a command.
        FileProblem
            A file that it names cannot be sent; nothing was sent.
        Unreachable
            Nothing was sent.
        Interrupted
            Sent, but the answer broke off and the command could not be found again.
        """
        body: dict[str, Any] = {"text": text}
        if files := self._files(text):
            body["files"] = files
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/x-ndjson, application/json",
            # With this the same request may be sent twice and has one effect (R103).
            "Idempotency-Key": secrets.token_hex(16),
        }
        with self._authorized("POST", "/api/v1/commands", headers, json.dumps(body).encode()) as answer:
            if answer.kind == "application/x-ndjson":
                yield from self._to_the_end(answer)
                return
            value = answer.json()
            if not isinstance(value, dict):
                raise Unreachable("what answers at the service's address is not the service")
        result = value.get("result")
        if _wants_renewal(result):
            self.token.renew()
        yield {"event": "decision", **{key: value.get(key) for key in ("id", "canonical", "decision")}}
        if value.get("state") == "running":
            # The second sending of a command that still runs is answered with its state.
            yield from self._again(str(value.get("id")), "the first answer was lost", {"event": "progress"})
            return
        state, message = value.get("state") or "done", value.get("message") or ""
        yield {"event": "end", "state": state, "result": result, "message": message}

    def ask(self, role: str, scope: str, reason: str) -> dict[str, Any]:
        """Ask for a role in a scope; whoever could grant it decides. Returns the service's result.

        Raises
        ------
        Refused, Unreachable, Interrupted
        """
        body = json.dumps({"role": role, "scope": scope, "reason": reason}).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(16)}
        return self._object("/api/v1/requests", ANSWER_SECONDS, method="POST", headers=headers, body=body)

    def _to_the_end(self, answer: Answer) -> Iterator[dict[str, Any]]:
        id, why = None, "the answer stopped before its end"
        latest: dict[str, Any] = {"event": "progress", "fraction": None}
        try:
            for event in answer.lines():
                yield event
                match event.get("event"):
                    case "decision":
                        id = event.get("id")
                    case "progress":
                        latest = event
                    case "end":
                        return
        except Interrupted as error:
            why = str(error)
        if not isinstance(id, str):
            raise Interrupted(why)
        yield from self._again(id, why, latest)

    def _again(self, id: str, why: str, latest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        # The command does not depend on the connection, and perhaps only the connection is lost.
        waiting = {**latest, "message": f"{why}; asking after it"}
        yield waiting
        give_up = time.monotonic() + RETURN_SECONDS
        for _ in range(_MOST_ASKS):
            time.sleep(_ASK_PAUSE)
            try:
                found = self._object(f"/api/v1/commands/{quote(id, safe='')}", ANSWER_SECONDS)
            except AizenError as error:
                if isinstance(error, Refused) and error.status < 500 and error.status != 429:
                    raise Interrupted(f"{why}, and its end cannot be seen: {error}") from None
                if time.monotonic() > give_up:
                    break
                yield waiting
                continue
            state, result = found.get("state"), found.get("result")
            if state != "running":
                message = found.get("message") or ("" if result else "what it answered was lost with the connection")
                yield {"event": "end", "state": state, "result": result, "message": message}
                return
            give_up = time.monotonic() + RETURN_SECONDS
            if isinstance(progress := found.get("progress"), dict):
                waiting = {**waiting, "fraction": progress.get("fraction")}
                yield {**progress, "event": "progress"}
        raise Interrupted(why)

    def _files(self, text: str) -> dict[str, str]:
        found = None if self._vocabulary is None else self._vocabulary.find(text)
        if found is None and not ("config=" in text or " users " in f" {text} "):
            return {}
        if found is None:
            found = self.vocabulary().find(text)
        if found is None:
            return {}
        entry, rest = found
        return {name: read_file(name) for name in named_files(rest, entry.grammar)}

    def _object(
        self,
        path: str,
        seconds: float,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", **(headers or {})}
        with self._authorized(method, path, headers, body, seconds) as answer:
            value = answer.json()
        if not isinstance(value, dict):
            raise Unreachable("what answers at the service's address is not the service")
        return value

    @contextmanager
    def _authorized(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, seconds: float = ANSWER_SECONDS
    ) -> Iterator[Answer]:
        # Sent again once: with a renewed token if the token was refused, and as it was if the connection broke before
        # an answer, since asking and a command with a key have no second effect.
        authorization = self.token.header()
        for last in (False, True):
            with ExitStack() as stack:
                request = self._transport.request(
                    method, path, headers={**headers, "Authorization": authorization}, body=body, seconds=seconds
                )
                try:
                    answer = stack.enter_context(request)
                except Refused as refusal:
                    if refusal.status != 401 or last:
                        raise
                    self.token.renew(instead_of=authorization)
                    authorization = self.token.header()
                    continue
                except Interrupted:
                    if last:
                        raise
                    continue
                yield answer
                return


def _wants_renewal(result: Any) -> bool:
    data = result.get("data") if isinstance(result, dict) else None
    return isinstance(data, dict) and data.get("renew") is True
