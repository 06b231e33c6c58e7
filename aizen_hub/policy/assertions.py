"""The assertions of a policy file, answered by the engine from the file alone; no service and no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.authorization_request import request_for
from aizen_hub.commands.command import Command
from aizen_hub.commands.parser import read
from aizen_hub.policy.format import AssertionForm
from aizen_hub.policy.policy import Policy, load_policy
from aizen_hub.problems import SyntaxRefused, TooLarge, UnknownCommand
from aizen_hub.rbac.decision import Decision, Reason, Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.escalation import Missing, may_give, may_take
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import denied
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, ScopeKind, project_of

_HANDS_ON: Mapping[str, Callable[..., tuple[Missing, ...]]] = {"grant_role": may_give, "revoke_role": may_take}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One assertion and its answer; ``expected`` and ``got`` are ``allow`` or ``deny``."""

    index: int
    expected: str
    got: str
    reason: str

    @property
    def passed(self) -> bool:
        return self.expected == self.got

    def to_json(self) -> dict[str, Any]:
        return {"index": self.index, "expected": self.expected, "got": self.got, "reason": self.reason}


def run(path: str | Path, *, now: datetime | None = None, catalog: Catalog | None = None) -> list[Outcome]:
    """Answer every assertion of a policy file, in its order.

    Parameters
    ----------
    now : datetime, optional
        The time of assertions without ``at``; by default the present.
    catalog : Catalog, optional
        The deployment's catalog with its overlays, see `load_policy`.

    Raises
    ------
    PolicyError
        The file cannot be used.
    """
    policy = load_policy(path, catalog)
    present = now or datetime.now(UTC)
    compiled = {one.identity: policy.rights(one.identity) for one in policy.form.assertions}
    outcomes = []
    for index, one in enumerate(policy.form.assertions):
        decision = answer(policy, compiled[one.identity], one, one.at or present)
        outcomes.append(Outcome(index, one.expect, "allow" if decision.allowed else "deny", decision.sentence))
    return outcomes


def answer(policy: Policy, rights: Rights, asked: AssertionForm, now: datetime) -> Decision:
    """Decide what one assertion asks."""
    project = project_of(asked.scope)
    if asked.command is None:
        return _decide(policy, rights, Request(asked.permission, asked.scope), now)
    try:
        command = read(asked.command, policy.catalog)
    except (SyntaxRefused, TooLarge) as error:
        return denied(Reason.SYNTAX, detail=error.detail)
    except UnknownCommand as error:
        return denied(Reason.UNKNOWN_COMMAND, detail=error.detail)
    decision = _decide(policy, rights, request_for(command, project, asked.identity), now)
    if not decision.allowed or not command.entry.decided_by_roles:
        return decision
    return _hand_on(policy, rights, command, project, now) or decision


def _decide(policy: Policy, rights: Rights, request: Request, now: datetime) -> Decision:
    scope = request.scope
    exists = scope is None or scope == SYSTEM or scope in policy.projects
    return decide(rights, Request(request.permission, scope, exists=exists), now)


def _hand_on(policy: Policy, rights: Rights, command: Command, project: str | None, now: datetime) -> Decision | None:
    """Return the denial of a command that gives or takes roles, where the roles it names forbid it."""
    check = _HANDS_ON[command.entry.handler or ""]
    other = Identity.user(str(command.arguments["user"]))
    for name in command.arguments["roles"]:
        role = policy.roles.get(name)
        if role is None:
            return denied(Reason.CONFLICT, detail=f"there is no role `{name[:80]}`")
        scope = (
            project if ScopeKind.SYSTEM not in role.scopes or (project and ScopeKind.PROJECT in role.scopes) else SYSTEM
        )
        if scope is None:
            return denied(Reason.PROJECT_REQUIRED, permission=command.entry.permission)
        if missing := check(rights, role, scope, other, now):
            return denied(Reason.ESCALATION, missing="".join(f"; {one.sentence}" for one in missing))
    return None
