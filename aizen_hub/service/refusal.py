"""How a denial is told: in full to people of the project, and to others as if the project did not exist (R72)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aizen_hub.accounts import gate, questions
from aizen_hub.accounts.court import Question, Ruling
from aizen_hub.problems import Denied, NotAuthenticated, NotFound, Problem, ProjectRequired
from aizen_hub.rbac.decision import Reason
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.transaction import Read

if TYPE_CHECKING:
    from aizen_hub.service.call import Call


@dataclass(frozen=True, slots=True)
class Told:
    """A ruling as its asker may see it, and the problem that a denied command is answered with."""

    view: dict[str, Any]
    problem: Problem


async def tell(call: Call, ruling: Ruling, question: Question) -> Told:
    """Return what the asker may know of a ruling; a denial is looked at once more, off the event loop."""
    if ruling.decision.allowed:
        return Told(view(ruling), Denied("allowed"))
    async with asyncio.timeout(call.house.settings.service.deadline_seconds):
        return await call.look(lambda tx: tell_in(tx, ruling, question))


def tell_in(tx: Read, ruling: Ruling, question: Question) -> Told:
    """As `tell`, inside a transaction."""
    decision, asked, identity = ruling.decision, question.request, question.actor.identity
    shown = view(ruling)
    if ruling.code is not None:
        return Told(shown, NotAuthenticated(decision.sentence, more={"code": ruling.code, "decision": shown}))
    if decision.reason is Reason.PROJECT_REQUIRED:
        problem = ProjectRequired(
            decision.sentence,
            remedy="`set project <name>` chooses one; `list projects` shows yours",
            more={"decision": shown},
        )
        return Told(shown, problem)
    scope = asked.scope
    # The session's own project is no secret to whoever had a server started for it.
    if scope not in (None, SYSTEM, question.actor.project) and not gate.visible(tx, identity, scope):
        return _hidden(scope, ruling)
    who: tuple[str, ...] = ()
    remedy = None
    if decision.role is not None and decision.reason in _MISSING:
        # Nobody gives to themselves.
        who = tuple(one for one in questions.who_can_give(tx, decision.role, scope or SYSTEM) if one != identity.name)
        where = "in the system" if scope in (None, SYSTEM) else f"in `{scope}`"
        names = " or ".join(f"`{name}`" for name in who[:3])
        remedy = (
            f"ask {names} for the role {decision.role} {where}"
            if who
            else f"you would need the role {decision.role} {where}"
        )
    more = {"decision": shown, "who_can_grant": list(who), "scope": scope or SYSTEM}
    return Told(shown, Denied(decision.sentence, remedy=remedy, more=more))


_MISSING = frozenset({Reason.NO_ASSIGNMENT, Reason.EXPIRED, Reason.NOT_YET})


def _hidden(scope: str, ruling: Ruling) -> Told:
    # Word for word the same whether the project exists or not.
    same = gate.no_project(scope)
    shown = {
        **view(ruling),
        "reason": str(Reason.UNKNOWN_PROJECT),
        "sentence": same.detail,
        "assignment": None,
        "role": None,
    }
    return Told(shown, NotFound(same.detail, remedy=same.remedy, more={"decision": shown, "who_can_grant": []}))


def view(ruling: Ruling) -> dict[str, Any]:
    """Return a ruling as the API shows it."""
    decision = ruling.decision
    return {
        "id": ruling.id,
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "sentence": decision.sentence,
        "revision": ruling.revision,
        "assignment": decision.assignment,
        "role": decision.role,
        "at": ruling.at.isoformat().replace("+00:00", "Z"),
    }
