"""Token exchange (RFC 8693): a server's hub token for a new role token, or a role token for a narrower one.

A token never gives more than the active session has; every exchange, granted or denied, has its audit row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.audit_quota import AuditQuota, AuditQuotas
from aizen_hub.accounts.sessions import server_sessions
from aizen_hub.accounts.sessions.impersonation import impersonate
from aizen_hub.authorization.decisions.token_status import token_invalid_reason
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotAuthenticated, NotFound, Problem
from aizen_hub.rbac.decision import AuthorizationRequest
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import make_audit_record, require_current_catalog
from aizen_hub.tokens.opaque_token import hash_credential, new_id
from aizen_hub.tokens.role_token import RoleToken, issue_role_token

if TYPE_CHECKING:
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.sql_store import Store
    from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

EVENT = "exchange"
_MAX_SCOPE = 64
_s = tables.sessions


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new role token and what a client needs to know about it."""

    token: str
    token_id: str
    expires_in: int
    session_id: str
    project: str | None
    scope: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CredentialHolder:
    """The session, active or ended, whose credential was presented."""

    credential_hash: str  # SHA-256, as hex
    session_id: str
    user: str
    project: str | None


def find_credential_holder(tx: ReadTransaction, hub_token: str) -> CredentialHolder | None:
    """Return the session whose credential a hub token is, or None."""
    credential = hash_credential(hub_token)
    row = tx.conn.execute(select(_s.c.id, _s.c.user, _s.c.project).where(_s.c.credential == credential)).first()
    return None if row is None else CredentialHolder(credential, row.id, row.user, row.project)


class TokenExchange:
    """Exchanges tokens; synchronous and thread-safe, each call in its own transaction.

    Parameters
    ----------
    store : Store
    keys : KeyStore
    require_issuing : callable
        Raises `Unavailable` while this replica must not issue anything (R135).
    """

    def __init__(self, store: Store, keys: KeyStore, require_issuing: Callable[[], None]) -> None:
        self._store, self._keys, self._require_issuing = store, keys, require_issuing
        self._issuer = store.settings.service_url
        self._lifetime = timedelta(seconds=store.settings.role_token.lifetime_seconds)
        self._unknown_quota = AuditQuota(burst=60, per_second=1.0)
        self._session_quotas = AuditQuotas(burst=10, per_second=1 / 60)

    def renew(
        self,
        holder: CredentialHolder,
        *,
        project: str | None = None,
        scope: str | None = None,
        role_token: RoleToken | None = None,
        source: str | None = None,
    ) -> IssuedToken:
        """Return a new role token for the session whose credential was presented.

        Parameters
        ----------
        project : str, optional
            Changes the session's project first (*set project*).
        scope : str, optional
            Permissions, separated by blanks, to which the new token is restricted.
        role_token : RoleToken, optional
            A verified role token sent with the request: it must belong to the same session (R50, T-09).

        Raises
        ------
        NotAuthenticated
            The session has ended, its last heartbeat is too long ago, or it is not that of ``role_token``; user or
            project is locked (R46).
        Denied, NotFound
            The project cannot be entered, or changing it is not allowed here.
        BadInput
            ``scope`` is not a list of permissions.
        Unavailable
            Sealed, or the store does not respond.
        """
        actor = Actor(
            Identity.user(holder.user), Channel.KERNEL, session=holder.session_id, project=holder.project,
            token_id=None if role_token is None else role_token.token_id, source=source,
        )  # fmt: skip

        def operation(tx: WriteTransaction) -> IssuedToken:
            if role_token is not None and role_token.session_id != holder.session_id:
                raise _denied("another-session", "the role token and the hub token belong to different sessions")
            if role_token is not None and role_token.actor is not None:
                raise _denied("acting", "an impersonation token cannot be exchanged")
            requested_scope = None if scope is None else parse_scope(scope)
            opened = server_sessions.renew_session(tx, holder.credential_hash, project)
            _require_active(tx, opened.user, opened.session_id, opened.project)
            return self._issue(
                tx, opened.user, opened.session_id, opened.project, opened.roles, requested_scope, self._lifetime
            )

        return self._record(actor, operation, renewal=True, requested_project=project)

    def downscope(
        self, token: RoleToken, *, scope: str | None, project: str | None = None, source: str | None = None
    ) -> IssuedToken:
        """Return a role token that allows no more and lives no longer than the verified ``token`` (R53).

        Raises
        ------
        NotAuthenticated
            Its session has ended or changed its project, it was revoked, or it is an impersonation token.
        Denied
            ``scope`` or ``project`` would widen it.
        BadInput
            ``scope`` is not a list of permissions.
        Unavailable
            Sealed, or the store does not respond.
        """
        actor = Actor(
            Identity.user(token.subject), Channel.KERNEL, session=token.session_id, project=token.project,
            acting=None if token.actor is None else Identity.parse(token.actor), token_id=token.token_id, source=source,
        )  # fmt: skip

        def operation(tx: WriteTransaction) -> IssuedToken:
            narrowed_scope = self._restricted_scope(tx, token, project, scope)
            issued = datetime.fromtimestamp(int(tx.now.timestamp()), tx.now.tzinfo)
            lifetime = min(self._lifetime, token.expires_at - issued)
            return self._issue(
                tx, token.subject, token.session_id, token.project, token.roles, narrowed_scope, lifetime
            )

        return self._record(actor, operation, renewal=False, requested_project=project)

    def impersonate(
        self, actor: Actor, token: RoleToken, *, scope: str | None, project: str | None = None
    ) -> IssuedToken:
        """Return a role token with which a service account acts for the user of the verified ``token`` (R54).

        It allows no more than ``token``, lives no longer, and ends with its session (R53). ``actor`` is the
        authenticated service account. Raises as `downscope` and `impersonation.impersonate` do.
        """

        def operation(tx: WriteTransaction) -> IssuedToken:
            narrowed_scope = self._restricted_scope(tx, token, project, scope)
            self._require_issuing()
            ring = self._keys.ring(tx)
            impersonation = impersonate(tx, ring, token.subject, token.project, within=token, scope=narrowed_scope)
            scope_list = None if narrowed_scope is None else tuple(sorted(narrowed_scope))
            return IssuedToken(
                impersonation.token,
                impersonation.token_id,
                int(impersonation.lifetime.total_seconds()),
                impersonation.session_id,
                impersonation.project,
                scope_list,
            )

        return self._record(actor, operation, renewal=False, requested_project=project)

    def _restricted_scope(
        self, tx: WriteTransaction, token: RoleToken, project: str | None, scope: str | None
    ) -> frozenset[str] | None:
        """Return the scope of a token derived from another one; raises if it would be wider."""
        if token.actor is not None:
            raise _denied("acting", "an impersonation token cannot be exchanged")
        if project is not None and project != token.project:
            raise Denied(
                "a role token cannot be exchanged for one of another project",
                remedy="exchange the server's own hub token",
            )
        invalid_reason = token_invalid_reason(tx, self._keys.ring(tx), token)
        if invalid_reason is not None:
            raise _denied(*invalid_reason)
        requested = token.scope if scope is None else parse_scope(scope)
        if requested is not None and any(token.excludes(Permission.parse(permission)) for permission in requested):
            raise Denied("the scope is wider than that of the token", remedy="request a part of the token's scope")
        return requested

    def _issue(
        self,
        tx: WriteTransaction,
        subject: str,
        session: str,
        project: str | None,
        roles: Iterable[str],
        scope: Iterable[str] | None,
        lifetime: timedelta,
    ) -> IssuedToken:
        self._require_issuing()
        token_id = new_id()
        scope_list = None if scope is None else tuple(sorted(scope))
        text = issue_role_token(
            self._keys.ring(tx),
            self._issuer,
            self._issuer,
            subject=subject,
            session_id=session,
            project=project,
            roles=roles,
            revision=tx.revision,
            now=tx.now,
            lifetime=lifetime,
            scope=scope_list,
            token_id=token_id,
        )
        return IssuedToken(text, token_id, int(lifetime.total_seconds()), session, project, scope_list)

    def _record(self, actor: Actor, operation: Any, *, renewal: bool, requested_project: str | None) -> IssuedToken:
        try:
            with self._store.write(actor) as tx:
                require_current_catalog(tx.state, tx.catalog)
                issued: IssuedToken = operation(tx)
                tx.audit(
                    EVENT, allowed=True, reason="granted", project=issued.project, issued=issued.token_id,
                    scope=None if issued.scope is None else list(issued.scope), renewal=renewal,
                )  # fmt: skip
                return issued
        except (NotAuthenticated, Denied, Escalation, NotFound, Conflict, BadInput) as problem:
            self._record_denial(
                actor, problem, renewal=renewal, wanted=None if requested_project is None else requested_project[:255]
            )
            raise

    def _record_denial(self, actor: Actor | None, problem: Problem, **fields: Any) -> None:
        with self._store.read() as tx:
            now = tx.now
        code = str(problem.extensions.get("code", problem.slug))
        self._store.append_audit(
            [make_audit_record(actor, EVENT, now, allowed=False, reason=code, sentence=problem.detail, **fields)]
        )

    def record_unknown_credential(self, role_token: RoleToken | None, source: str | None) -> Callable[[], None] | None:
        """Return a function that records a credential of no session, or None if enough of these are on record.

        Parameters
        ----------
        role_token : RoleToken or None
            A verified role token presented without the credential of its session: that session is named (T-09).
        """
        problem, now = unknown_credential_error(), datetime.now(UTC)
        if role_token is not None:
            skipped = self._session_quotas.acquire(role_token.session_id, now)
            if skipped is None:
                return None
            actor = Actor(
                Identity.user(role_token.subject), Channel.KERNEL, session=role_token.session_id,
                project=role_token.project, token_id=role_token.token_id, source=source,
            )  # fmt: skip
            return lambda: self._record_denial(actor, problem, renewal=True, left_out=skipped)
        skipped = self._unknown_quota.acquire(now)
        if skipped is None:
            return None
        return lambda: self._record_denial(None, problem, renewal=True, source=source, left_out=skipped)


def unknown_credential_error() -> NotAuthenticated:
    return _denied("unknown", "your server's session has ended")


def parse_scope(scope: str) -> frozenset[str]:
    """Parse the ``scope`` of a request: permissions separated by single blanks (RFC 6749, 3.3).

    Raises
    ------
    BadInput
        There are too many permissions, or one is malformed.
    """
    parts = scope.split(" ")
    if len(parts) > _MAX_SCOPE:
        raise BadInput(f"a scope has at most {_MAX_SCOPE} permissions", extensions={"oauth": "invalid_scope"})
    try:
        return frozenset(str(Permission.parse(part)) for part in parts)
    except ValueError as error:
        raise BadInput(f"the scope is invalid: {error}", extensions={"oauth": "invalid_scope"}) from None


def _require_active(tx: WriteTransaction, user: str, session: str, project: str | None) -> None:
    decision = decide(tx.rights(Identity.user(user)), AuthorizationRequest(None, project or SYSTEM, session), tx.now)
    if not decision.allowed:
        raise _denied(str(decision.reason), decision.sentence)


def _denied(code: str, sentence: str) -> NotAuthenticated:
    return NotAuthenticated(sentence, extensions={"code": code}, remedy="restart the server from the hub")
