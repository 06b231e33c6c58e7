"""From a Result of the accounts layer to an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aizen_hub.accounts.dry_run import preview
from aizen_hub.authorization.decisions.decision_service import Question, Ruling
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, NotFound, Problem
from aizen_hub.service.http.request import joined
from aizen_hub.service.http.route import Answer
from aizen_hub.service.pipeline.request_context import Call, etag, need_allowed
from aizen_hub.store.transaction import Read, Write

DRY_RUN = "dry-run"
"""The preference (RFC 7240) that asks what a change would do: who gains and who loses which rights."""


def answered(result: Result, tx: Read, status: int | None = None) -> Answer:
    """Return a result with its revision; 202 where the change waits for confirmation."""
    value = result.at(tx.revision).to_json()
    version = value["data"].get("version") if isinstance(value.get("data"), dict) else None
    headers = {"ETag": etag(version)} if isinstance(version, int) else {}
    return Answer(value, 202 if result.pending else status, headers)


async def change(call: Call, work: Callable[[Write], Result], status: int | None = None) -> Answer:
    """Do what changes or lists something, in one transaction with its decision; or try it, if that is preferred."""
    if wants_dry_run(call):
        return await _tried(call, work)
    return await call.write(lambda tx, ruling: answered(work(tx), tx, status))


def wants_dry_run(call: Call) -> bool:
    preferences = joined(call.headers, "Prefer")[:200].split(",")
    return call.route.method != "GET" and any(one.strip().lower() == DRY_RUN for one in preferences)


async def _tried(call: Call, work: Callable[[Write], Result]) -> Answer:
    house = call.house
    asked: list[tuple[Ruling, Question]] = []

    def checked(tx: Write) -> Result:
        asked.append(call.judged(tx))
        need_allowed(tx, *asked[0])
        return work(tx)

    def run() -> Result:
        # The try itself changes nothing and leaves no row, so the decision is recorded on its own.
        problem: Problem | None = None
        try:
            return preview(house.store, call.actor, checked)
        except Problem as error:
            problem = error
            raise
        finally:
            rows = [call.row(ruling, question, problem) for ruling, question in asked]
            house.store.record([replace(row, details={**row.details, "dry_run": True}) for row in rows])

    result = await house.pools.writes.run(run)
    return Answer(result.to_json(), 200, {"Preference-Applied": DRY_RUN})


def number_in(call: Call, member: str, what: str) -> int:
    """Return the number in the address; NotFound for anything that none of ours can be."""
    text = call.members[member]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f"there is no such {what}")
    return int(text)


def if_match(call: Call) -> int | None:
    """Return the version that a replacement is based on (RFC 9110, 13.1.1); None where it is left open.

    Raises
    ------
    BadInput
    """
    given = joined(call.headers, "If-Match").strip()
    if given in ("", "*"):
        return None
    inner: Any = given[1:-1] if len(given) > 2 and given[0] == given[-1] == '"' else ""
    if not (inner.isascii() and inner.isdigit() and len(inner) < 19):
        raise BadInput("`If-Match` must be one ETag that we gave")
    return int(inner)
