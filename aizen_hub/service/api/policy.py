"""Access as a file: export the present state, plan a change of it, apply it."""

from __future__ import annotations

from aizen_hub.accounts.result import Result
from aizen_hub.catalogs.yaml_source import Source
from aizen_hub.policy.apply import apply as apply_policy
from aizen_hub.policy.export import export as export_policy
from aizen_hub.policy.policy import PolicyError, read_policy
from aizen_hub.problems import BadInput, Fault
from aizen_hub.service.api.answer import change
from aizen_hub.service.call import Call
from aizen_hub.service.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.schemas.policy import PolicyDocument
from aizen_hub.service.schemas.result import ResultView
from aizen_hub.store.transaction import Write


async def export(call: Call) -> Answer:
    return await change(call, lambda tx: Result("object", data={"policy": export_policy(tx)}))


async def apply(call: Call) -> Answer:
    def work(tx: Write) -> Result:
        try:
            policy = read_policy(Source(call.body.policy), tx.catalog)
        except PolicyError as error:
            lines = str(error).splitlines()
            raise BadInput(lines[0], faults=[Fault("/policy", line) for line in lines]) from None
        return apply_policy(tx, policy)

    return await change(call, work)


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
        max_body=1 << 20,
    ),
)
