"""Decision requests, recorded decisions, and the evaluation that leads from one to the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from aizen_hub.authorization.decisions.decision_context import DecisionContext, Session
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.commands.command import Command
from aizen_hub.rbac.decision import AuthorizationRequest, Decision, Reason
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.messages import deny
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Actor
from aizen_hub.store.audit_log.record import AuditRecord
from aizen_hub.store.database import StoreState
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.tokens.role_token import RoleToken

FRESH_SECONDS = 0.25
"""Maximum time between reading the revision and using the decision (R48)."""
IMPERSONATE = "impersonate"
CREDENTIAL_REASONS = frozenset(
    {Reason.SESSION_ENDED, Reason.PROJECT_CHANGED, Reason.TOKEN_EXPIRED, Reason.REVOKED, Reason.NOT_ACTIVE}
)
"""Denials because of the credential, which no role would change."""


def boottime() -> float:
    """Return CLOCK_BOOTTIME in seconds: it cannot be set and continues while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_fresh(revision_read_at: float) -> bool:
    """Return whether a decision is young enough to be used, by when its revision was read."""
    return boottime() - revision_read_at <= FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class RequestedGrant:
    """The roles that a request would grant or revoke, for its refusal: the catalog's grant rules decide on each.

    Attributes
    ----------
    project : str or None
        Where project roles would be granted.
    """

    roles: tuple[str, ...]
    project: str | None
    identity: Identity
    revoke: bool = False


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A request to decide whether an actor may do something.

    Attributes
    ----------
    command : Command or None
        The parsed command, for the audit.
    token : RoleToken or None
        The verified role token, if there is one. It is checked with the request and can only narrow the decision (R49).
    grant : RequestedGrant or None
        What an API request would grant or revoke; a command says it itself.
    credential : str or None
        The SHA-256 of a service account's credential that was valid earlier and has not been looked up since: it is
        checked with the request.
    """

    actor: Actor
    request: AuthorizationRequest
    command: Command | None = None
    token: RoleToken | None = None
    grant: RequestedGrant | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A decision that is recorded, or will be before it is used.

    Attributes
    ----------
    id : str
        Id of the decision and of its audit row.
    revision : int
        Revision of the store at which it was decided.
    at : datetime
        Time of the store.
    revision_read_at : float
        When the revision was read, in seconds of `boottime`.
    """

    id: str
    decision: Decision
    revision: int
    at: datetime
    revision_read_at: float

    @property
    def is_fresh(self) -> bool:
        """Whether the decision is young enough to be used."""
        return is_fresh(self.revision_read_at)

    @property
    def code(self) -> str | None:
        """The reason code if the decision was denied because of the credential, else None."""
        reason = self.decision.reason
        return reason.value if reason in CREDENTIAL_REASONS else None


def evaluate(
    decision_request: DecisionRequest,
    state: StoreState,
    context: DecisionContext,
    rights: Callable[[Identity], Rights],
    catalog: Catalog,
) -> Decision:
    """Decide one request on the current state of the store; the only side effects are the look-ups of ``context``.

    The credential is checked first, so that the holder of an invalid one learns nothing about rights.
    """
    invalid_reason = _credential_invalid_reason(decision_request, state, context)
    if invalid_reason is not None:
        return deny(invalid_reason)
    actor, request = decision_request.actor, decision_request.request
    scope = request.scope
    exists = scope is None or scope == SYSTEM or context.project_exists(scope)
    if not exists or (request.session_id is None and actor.session is not None):
        request = replace(request, scope_exists=exists, session_id=request.session_id or actor.session)
    if actor.acting is not None:
        denial = impersonation_denied(actor.acting, request, rights, catalog, state.now)
        if denial is not None:
            return denial
    decision = decide(rights(actor.identity), request, state.now)
    token = decision_request.token
    if decision.allowed and token is not None and token.scope is not None:
        # A command without a permission is not harmless: applying a policy or approving a request checks further
        # permissions, of the user and not of the token. So only a token whose scope covers everything allows it.
        permission = request.permission or Permission(ANY)
        if token.excludes(permission):
            return deny(Reason.OUTSIDE_TOKEN, permission=permission)
    return decision


def _credential_invalid_reason(
    decision_request: DecisionRequest, state: StoreState, context: DecisionContext
) -> Reason | None:
    actor, token, credential = decision_request.actor, decision_request.token, decision_request.credential
    if credential is not None and context.credential_account(credential, state.now) != actor.identity.name:
        return Reason.REVOKED
    session_id = actor.session if token is None else token.session_id
    if session_id is None:
        return None
    session = context.session(session_id)
    if session is None or session.ended is not None:
        return Reason.SESSION_ENDED
    if token is None:
        if Identity.user(session.user) != actor.identity:
            return Reason.SESSION_ENDED
        return None if session.project == actor.project else Reason.PROJECT_CHANGED
    identity = actor.identity
    if (
        session.user != token.subject
        or identity.name != token.subject
        or identity.kind is not IdentityKind.USER
        or actor.session != session_id
    ):
        return Reason.SESSION_ENDED
    # Checked by the time of the store too: the clock of this process may be behind, or it may have waited since.
    if token.expires_at <= state.now:
        return Reason.TOKEN_EXPIRED
    if _is_revoked(token, session, state, context):
        return Reason.REVOKED
    return None if session.project == token.project else Reason.PROJECT_CHANGED


def _is_revoked(token: RoleToken, session: Session, state: StoreState, context: DecisionContext) -> bool:
    if session.min_token_revision is not None and token.revision < session.min_token_revision:
        return True
    bounds = (state.not_before, session.user_not_before, session.project_not_before)
    if bounds != (None, None, None):
        issued = to_microseconds(token.issued_at)
        if any(bound is not None and issued < bound for bound in bounds):
            return True
    return not context.key_is_accepted(token.key_id, token.issued_at)


def impersonation_denied(
    acting: Identity,
    request: AuthorizationRequest,
    rights: Callable[[Identity], Rights],
    catalog: Catalog,
    now: datetime,
) -> Decision | None:
    """Return the denial if a user may no longer act for another one, else None.

    Checked at every decision; the acting user adds none of their own rights (R54, R70, T-06).
    """
    permission = catalog.endpoints.get(IMPERSONATE)
    decision = decide(rights(acting), AuthorizationRequest(permission, SYSTEM, request.session_id), now)
    if not decision.allowed:
        return decision
    return deny(Reason.NOT_ACTIVE, identity=acting) if permission is None else None


def decision_record(
    decision_id: str,
    decision_request: DecisionRequest,
    decision: Decision,
    revision: int,
    at: datetime,
    text: str | None,
    supersedes: str | None,
) -> AuditRecord:
    """Return the audit row of a decision.

    Parameters
    ----------
    text : str or None
        The command without its secrets.
    supersedes : str or None
        Id of the decision that this one replaces because it was outdated before it could be used.
    """
    actor, request = decision_request.actor, decision_request.request
    scope = request.scope
    details: dict[str, object] = {"scope": scope}
    if request.permission is not None:
        details["permission"] = str(request.permission)
    if supersedes is not None:
        details["supersedes"] = supersedes
    return AuditRecord(
        id=decision_id,
        at=at,
        event="decision",
        identity=str(actor.identity),
        acting=None if actor.acting is None else str(actor.acting),
        channel=actor.channel,
        session=actor.session,
        project=actor.project if scope is None or scope == SYSTEM else scope,
        source=actor.source,
        token_id=actor.token_id,
        command=text,
        allowed=decision.allowed,
        reason=decision.reason,
        sentence=decision.sentence,
        assignment=decision.assignment_id,
        role=decision.role,
        via=tuple(map(str, decision.via)),
        revision=revision,
        details=details,
    )
