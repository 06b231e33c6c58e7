"""Stop a person now: lock, sessions, hub tokens, browser sessions, servers, in one call."""

from __future__ import annotations

from datetime import datetime

from aizen_hub.accounts.names import names
from aizen_hub.accounts.sessions import locks
from aizen_hub.commands.result import Result
from aizen_hub.problems import Conflict
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.service.api.schemas.access import Stop
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.background import hub_revocation as stopping
from aizen_hub.service.http.route import PEOPLE, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write


async def stop_person(call: Call, name: str, reason: str, ends: datetime | None = None) -> tuple[Result, str]:
    """Lock a person and have the hub end everything; returns the lock's result and what was done."""
    known = names.known_as(name) or name

    def work(tx: Write) -> Result:
        return locks.lock(tx, LockTarget.IDENTITY, f"user:{known}", reason=reason, ends=ends).at(tx.revision)

    result: Result = (await call.write(lambda tx, _: Answer(work(tx)))).value
    return result, stopping.said(result, await stopping.tell_hub(call.house, known))


async def stop(call: Call) -> Answer:
    result, sentence = await stop_person(call, call.members["user"], call.body.reason, call.body.ends)
    return Answer({**result.to_json(), "message": sentence})


async def need_gone_at_hub(call: Call, name: str) -> None:
    """Refuse while the hub has a user of the name of somebody deleted (R31); what they have there ends with this.

    Raises
    ------
    Conflict
    Unavailable
        The hub cannot be asked now.
    """
    known, house = names.known_as(name), call.house
    if known is None or not house.hub.known or house.hub_secret is None:
        return
    if not await call.read(lambda tx: names.is_retired(tx, known, names.NameKind.USER)):
        return
    if await house.hub.revoke(known, house.hub_secret) is not None:
        raise Conflict(
            f"the hub still has the user `{known}`, and whoever gets the name would get that user's servers and files",
            remedy=f"delete the user `{known}` at the hub, and their files; then release the name",
        )


ROUTES = (
    Route(
        "POST",
        "/api/v1/users/{user}/stop",
        PEOPLE,
        Need.operation("locks"),
        stop,
        "Stop a person now: lock them, and end their sessions, servers, hub tokens and browser sessions.",
        body=Stop,
        answer=ResultView,
        in_time=True,
    ),
)
