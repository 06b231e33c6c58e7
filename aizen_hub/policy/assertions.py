"""The assertions of a policy file, evaluated by the engine on the file alone, without a service or database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.command import Command, identity_of_argument
from aizen_hub.commands.parser import parse_command
from aizen_hub.policy.format import AssertionForm
from aizen_hub.policy.loader import Policy, load_policy
from aizen_hub.problems import CommandSyntaxError, TooLarge, UnknownCommand
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.escalation import MissingRight, missing_to_grant, missing_to_revoke
from aizen_hub.rbac.messages import deny
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, ScopeKind, project_of

_DELEGATION_CHECKS: Mapping[str, Callable[..., tuple[MissingRight, ...]]] = {
    "grant_role": missing_to_grant,
    "revoke_role": missing_to_revoke,
}


@dataclass(frozen=True, slots=True)
class AssertionResult:
    """The result of one assertion.

    Attributes
    ----------
    index : int
        Position in the file's ``assertions``.
    expected, actual : str
        ``allow`` or ``deny``.
    """

    index: int
    expected: str
    actual: str
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the decision is the expected one."""
        return self.expected == self.actual

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line prints it."""
        return {"index": self.index, "expected": self.expected, "got": self.actual, "reason": self.reason}


def run_assertions(
    path: str | Path, *, now: datetime | None = None, catalog: Catalog | None = None
) -> list[AssertionResult]:
    """Evaluate every assertion of a policy file, in its order.

    Parameters
    ----------
    now : datetime, optional
        The time of assertions without ``at``; by default the current time.
    catalog : Catalog, optional
        The deployment's catalog with its overlays, see `load_policy`.

    Raises
    ------
    PolicyError
        The file is invalid.
    """
    policy = load_policy(path, catalog)
    present = now or datetime.now(UTC)
    compiled = {assertion.identity: policy.rights(assertion.identity) for assertion in policy.form.assertions}
    results = []
    for index, assertion in enumerate(policy.form.assertions):
        decision = evaluate_assertion(policy, compiled[assertion.identity], assertion, assertion.at or present)
        actual = "allow" if decision.allowed else "deny"
        results.append(AssertionResult(index, assertion.expect, actual, decision.sentence))
    return results


def evaluate_assertion(policy: Policy, rights: Rights, assertion: AssertionForm, now: datetime) -> Decision:
    """Return the decision of one assertion."""
    project = project_of(assertion.scope)
    if assertion.command is None:
        return _decide(policy, rights, AuthorizationRequest(assertion.permission, assertion.scope), now)
    try:
        command = parse_command(assertion.command, policy.catalog)
    except (CommandSyntaxError, TooLarge) as error:
        return deny(Reason.SYNTAX, detail=error.detail)
    except UnknownCommand as error:
        return deny(Reason.UNKNOWN_COMMAND, detail=error.detail)
    decision = _decide(policy, rights, build_authorization_request(command, project, assertion.identity), now)
    if not decision.allowed or not command.entry.grants_roles:
        return decision
    return _delegation_denial(policy, rights, command, project, now) or decision


def _decide(policy: Policy, rights: Rights, request: AuthorizationRequest, now: datetime) -> Decision:
    scope = request.scope
    exists = scope is None or scope == SYSTEM or scope in policy.projects
    return decide(rights, AuthorizationRequest(request.permission, scope, scope_exists=exists), now)


def _delegation_denial(
    policy: Policy, rights: Rights, command: Command, project: str | None, now: datetime
) -> Decision | None:
    """Return the denial of a command that grants or revokes roles, if its roles forbid it, else None."""
    check = _DELEGATION_CHECKS[command.entry.handler or ""]
    identity = identity_of_argument(str(command.arguments["user"]))
    for name in command.arguments["roles"]:
        role = policy.roles.get(name)
        if role is None:
            return deny(Reason.CONFLICT, detail=f"there is no role `{name[:80]}`")
        scope = (
            project if ScopeKind.SYSTEM not in role.scopes or (project and ScopeKind.PROJECT in role.scopes) else SYSTEM
        )
        if scope is None:
            return deny(Reason.PROJECT_REQUIRED, permission=command.entry.permission)
        if missing := check(rights, role, scope, identity, now):
            return deny(Reason.ESCALATION, missing="".join(f"; {right.sentence}" for right in missing))
    return None
