"""Access as a file: export the present state, plan a change of it, apply it."""

from __future__ import annotations

from typing import Any

from aizen_hub.commands.lexer import show
from aizen_hub.commands.result import Result
from aizen_hub.policy.apply import apply as apply_policy
from aizen_hub.policy.export import export as export_policy
from aizen_hub.policy.policy import MAX_BYTES, MAX_MEMBERS, Policy, PolicyError, read_policy
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.change_response import answered, change
from aizen_hub.service.api.schemas.policy import PolicyDocument
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Read


async def export(call: Call) -> Answer:
    return await call.read(
        lambda tx: answered(Result("object", data={"policy": export_policy(tx, call.actor)}), tx),
        noted=lambda _: {"details": {"question": "policy"}},
        pool=call.house.pools.questions,
    )


async def apply(call: Call) -> Answer:
    # Read where it holds nobody up, and only once the asker is known to be somebody who may ask at all.
    policy = await call.read(lambda tx: _policy(call.body.policy, tx))
    return await change(call, lambda tx: apply_policy(tx, policy, prune=call.body.prune))


def _policy(data: dict[str, Any], tx: Read) -> Policy:
    try:
        return read_policy(data, tx.catalog)
    except PolicyError as error:
        lines = [show(line, 400) for line in str(error).splitlines()]
        faults = [Fault("/policy", line) for line in lines[:_MOST_FAULTS]]
        raise BadInput(lines[0], faults=faults, more={"faults": len(lines)}) from None


_MOST_FAULTS = 50

ROUTES = (
    Route(
        "GET",
        "/api/v1/policy",
        PEOPLE,
        Need.operation("access"),
        export,
        "Roles, groups, projects and assignments as a policy file.",
        answer=ResultView,
    ),
    Route(
        "POST",
        "/api/v1/policy",
        PEOPLE,
        REGISTERED,
        apply,
        "Apply a policy file, whole or not at all; each step is judged as its own command would be.",
        body=PolicyDocument,
        answer=ResultView,
        keyed=True,
        max_body=MAX_BYTES,
        max_members=MAX_MEMBERS,
    ),
)
