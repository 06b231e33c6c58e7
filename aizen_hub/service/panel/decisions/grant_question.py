"""Questions about a whole command that grants or revokes: the rules of each role decide, as for the command itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aizen_hub.authorization.decisions.evaluation import RequestedGrant
from aizen_hub.authorization.explanations.access_answer import AccessAnswer
from aizen_hub.authorization.queries.hypothetical_state import hypothetical_rights
from aizen_hub.problems import BadInput, CommandSyntaxError, TooLarge, UnknownCommand
from aizen_hub.rbac.decision import Reason
from aizen_hub.service.core.parsed_commands import ParsedCommandCache
from aizen_hub.service.denials.grant_denial import (
    decide_grant,
    grant_denial,
    grant_of_command,
    roles_for_grant,
)
from aizen_hub.service.panel.form_errors import FieldError
from aizen_hub.store.transaction import ActorTransaction

_BY_TIME = frozenset({Reason.EXPIRED, Reason.NOT_YET})
"""Denials that the page words itself."""


@dataclass(frozen=True, slots=True)
class GrantAnswer:
    """The answer about a grant.

    Attributes
    ----------
    is_refused_by_rules : bool
        The permission is held, but the rules of a role do not allow it.
    who_can : tuple of str
        Some other users who can, as the asking one may know.
    """

    answer: AccessAnswer
    is_refused_by_rules: bool
    who_can: tuple[str, ...]


def read_grant(commands: ParsedCommandCache, line: str, project: str | None) -> RequestedGrant | None:
    """Return what a line would grant or revoke; None for other commands, and for words that are no whole line."""
    try:
        command = commands.parse(line)
    except (BadInput, CommandSyntaxError, TooLarge, UnknownCommand):
        return None
    return grant_of_command(command, project)


def apply_grant_rules(tx: ActorTransaction, answer: AccessAnswer, grant: RequestedGrant) -> GrantAnswer:
    """Return the answer about the permission with the decision on what would be granted, and the ways that help.

    Raises
    ------
    FieldError
        A role does not exist.
    """
    question, asking = answer.question, tx.actor.identity
    if answer.decision.reason in _BY_TIME:
        return GrantAnswer(answer, False, ())
    rights = tx.rights(question.identity)
    if question.is_supposed:
        rights = hypothetical_rights(tx, question.identity, question.hypothesis)
    try:
        decision = decide_grant(tx, answer.decision, grant, rights, asking)
    except BadInput as problem:
        raise FieldError("do", problem.detail.replace("`", "")) from None
    is_refused = answer.decision.allowed and not decision.allowed
    denial = None if decision.allowed else grant_denial(tx, grant, asking)
    able = () if denial is None else denial.extensions["who_can_revoke" if grant.revoke else "who_can_grant"]
    helpful = roles_for_grant(tx, grant)
    changed = replace(
        answer,
        decision=decision,
        winning=None if is_refused else answer.winning,
        others=(answer.winning, *answer.others) if is_refused and answer.winning is not None else answer.others,
        ways=tuple(way for way in answer.ways if way.role in helpful),
    )
    return GrantAnswer(changed, is_refused, tuple(able))
