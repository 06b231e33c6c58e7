"""A question to the court, its ruling, and the rules by which the one becomes the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from aizen_hub.authorization.decisions.session_facts import Facts, Session
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.command import Command
from aizen_hub.rbac.decision import Decision, Reason, Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.messages import denied
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRow
from aizen_hub.store.database import State
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.tokens.role_token import RoleToken

FRESH_SECONDS = 0.25
"""No more may pass between reading the revision and using the answer."""
IMPERSONATE = "impersonate"
CREDENTIAL_REASONS = frozenset(
    {Reason.SESSION_ENDED, Reason.PROJECT_CHANGED, Reason.TOKEN_EXPIRED, Reason.REVOKED, Reason.NOT_ACTIVE}
)
"""Denials that say something about the credential, not about rights: no role would help."""


def clock() -> float:
    """Return seconds that also pass while the machine sleeps and that nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Question:
    """May this actor do this?

    Attributes
    ----------
    command : Command or None
        What is asked about, for the audit.
    token : RoleToken or None
        The verified role token, where there is one: it is judged with the question, and can only narrow (R49).
    """

    actor: Actor
    request: Request
    command: Command | None = None
    token: RoleToken | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision that is on record.

    Attributes
    ----------
    id : str
        Of the decision and of its audit row.
    revision : int
        Of the store, at which it was decided.
    at : datetime
        The store's time.
    read_at : float
        When the revision was read, as `clock` counts.
    """

    id: str
    decision: Decision
    revision: int
    at: datetime
    read_at: float

    @property
    def fresh(self) -> bool:
        """Whether it may still be acted upon."""
        return clock() - self.read_at <= FRESH_SECONDS

    @property
    def code(self) -> str | None:
        """The class of failure of the credential, where that is why it was denied."""
        reason = self.decision.reason
        return reason.value if reason in CREDENTIAL_REASONS else None


def judge(
    question: Question, state: State, facts: Facts, rights: Callable[[Identity], Rights], catalog: Catalog
) -> Decision:
    """Decide one question by the store's present state; pure but for looking facts up.

    The credential comes first: whoever holds a dead one learns nothing about rights.
    """
    dead = _dead(question, state, facts)
    if dead is not None:
        return denied(dead)
    actor, request = question.actor, question.request
    scope = request.scope
    exists = scope is None or scope == SYSTEM or facts.project_exists(scope)
    if not exists or (request.session is None and actor.session is not None):
        request = replace(request, exists=exists, session=request.session or actor.session)
    if actor.acting is not None:
        ended = stopped(actor.acting, request, rights, catalog, state.now)
        if ended is not None:
            return ended
    decision = decide(rights(actor.identity), request, state.now)
    token = question.token
    if decision.allowed and token is not None and token.scope is not None:
        # What asks for no permission is not harmless by that: deeper in, approving a request or applying a policy asks
        # for others, of the person and not of the token. So it takes a token that names everything.
        permission = request.permission or Permission(ANY)
        if token.narrows(permission):
            return denied(Reason.OUTSIDE_TOKEN, permission=permission)
    return decision


def _dead(question: Question, state: State, facts: Facts) -> Reason | None:
    actor, token = question.actor, question.token
    number = actor.session if token is None else token.session
    if number is None:
        return None
    session = facts.session(number)
    if session is None or session.ended is not None:
        return Reason.SESSION_ENDED
    if token is None:
        if Identity.user(session.user) != actor.identity:
            return Reason.SESSION_ENDED
        return None if session.project == actor.project else Reason.PROJECT_CHANGED
    if session.user != token.subject or actor.identity != Identity.user(token.subject) or actor.session != number:
        return Reason.SESSION_ENDED
    # By the store's time too: this process may have a clock that is behind, or have waited since it looked.
    if token.expires_at <= state.now:
        return Reason.TOKEN_EXPIRED
    if _revoked(token, session, state, facts):
        return Reason.REVOKED
    return None if session.project == token.project else Reason.PROJECT_CHANGED


def _revoked(token: RoleToken, session: Session, state: State, facts: Facts) -> bool:
    if session.tokens_from is not None and token.revision < session.tokens_from:
        return True
    bounds = (state.not_before, session.user_not_before, session.project_not_before)
    if bounds != (None, None, None):
        issued = to_microseconds(token.issued_at)
        if any(bound is not None and issued < bound for bound in bounds):
            return True
    return not facts.key_counts(token.key_id, token.issued_at)


def stopped(
    acting: Identity, request: Request, rights: Callable[[Identity], Rights], catalog: Catalog, now: datetime
) -> Decision | None:
    """Return why somebody may not act for somebody else now, or None.

    They are judged again at every decision, and give none of their own rights (R54, R70, T-06).
    """
    permission = catalog.endpoints.get(IMPERSONATE)
    decision = decide(rights(acting), Request(permission, SYSTEM, request.session), now)
    if not decision.allowed:
        return decision
    return denied(Reason.NOT_ACTIVE, identity=acting) if permission is None else None


def decision_row(
    number: str,
    question: Question,
    decision: Decision,
    revision: int,
    at: datetime,
    text: str | None,
    again: str | None,
) -> AuditRow:
    """Return the audit row of a decision.

    Parameters
    ----------
    text : str or None
        The command without its secrets.
    again : str or None
        The id of the decision that this one replaces, because that came too late to be used.
    """
    actor, request = question.actor, question.request
    scope = request.scope
    details: dict[str, object] = {"scope": scope}
    if request.permission is not None:
        details["permission"] = str(request.permission)
    if again is not None:
        details["again"] = again
    return AuditRow(
        id=number,
        at=at,
        event="decision",
        identity=str(actor.identity),
        acting=None if actor.acting is None else str(actor.acting),
        road=actor.road.value,
        session=actor.session,
        project=actor.project if scope is None or scope == SYSTEM else scope,
        source=actor.source,
        token_id=actor.token_id,
        command=text,
        allowed=decision.allowed,
        reason=decision.reason.value,
        sentence=decision.sentence,
        assignment=decision.assignment,
        role=decision.role,
        via=tuple(map(str, decision.via)),
        revision=revision,
        details=details,
    )
