"""Token exchange (RFC 8693): a server's hub token for a new role token, or a role token for a narrower one.

Both only ever give what the live session has; every answer, yes or no, has its audit row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from aizen_hub.accounts.audit_quota import Ration, Rations
from aizen_hub.accounts.sessions import sessions
from aizen_hub.accounts.sessions.impersonation import impersonate
from aizen_hub.authorization.decisions.token_status import ended_because
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotAuthenticated, NotFound, Problem
from aizen_hub.rbac.decision import Request
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import check_catalog, make_row
from aizen_hub.tokens.opaque_token import hash_credential, new_id
from aizen_hub.tokens.role_token import RoleToken, issue

if TYPE_CHECKING:
    from aizen_hub.store.keystore import KeyStore
    from aizen_hub.store.store import Store
    from aizen_hub.store.transaction import Read, Write

EVENT = "exchange"
_MAX_SCOPE = 64
_s = tables.sessions


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A new role token and what a client needs to know of it."""

    text: str
    token_id: str
    expires_in: int
    session: str
    project: str | None
    scope: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Holder:
    """The session, live or ended, whose credential somebody showed."""

    credential: str  # its hash
    session: str
    user: str
    project: str | None


def find(tx: Read, hub_token: str) -> Holder | None:
    """Return whose credential a hub token is; None where it is no session's."""
    credential = hash_credential(hub_token)
    row = tx.conn.execute(select(_s.c.id, _s.c.user, _s.c.project).where(_s.c.credential == credential)).first()
    return None if row is None else Holder(credential, row.id, row.user, row.project)


class Exchange:
    """Exchanges tokens; synchronous and thread-safe, each call its own transaction.

    Parameters
    ----------
    store : Store
    keys : KeyStore
    may_mint : callable
        Raises `Unavailable` while this machine must not issue anything (R135).
    """

    def __init__(self, store: Store, keys: KeyStore, may_mint: Callable[[], None]) -> None:
        self._store, self._keys, self._may_mint = store, keys, may_mint
        self._issuer = store.settings.service_url
        self._lifetime = timedelta(seconds=store.settings.role_token.lifetime_seconds)
        self._unknown = Ration(burst=60, per_second=1.0)
        self._beside = Rations(burst=10, per_second=1 / 60)

    def renew(
        self,
        holder: Holder,
        *,
        project: str | None = None,
        scope: str | None = None,
        beside: RoleToken | None = None,
        source: str | None = None,
    ) -> Exchanged:
        """Return a new role token for the session whose credential was shown.

        Parameters
        ----------
        project : str, optional
            Changes the session's project first (*set project*).
        scope : str, optional
            Permissions, separated by blanks, to which the new token is narrowed.
        beside : RoleToken, optional
            A verified role token that was sent along: it must belong to the same session (R50, T-09).

        Raises
        ------
        NotAuthenticated
            The session ended, was not named by the hub for too long, or is another than that of ``beside``; the person
            or the project is stopped (R46).
        Denied, NotFound
            The project cannot be entered, or changing it is not allowed here.
        BadInput
            ``scope`` is not a list of permissions.
        Unavailable
            Sealed, or the store does not answer.
        """
        actor = Actor(
            Identity.user(holder.user), Road.KERNEL, session=holder.session, project=holder.project, source=source,
            token_id=None if beside is None else beside.token_id,
        )  # fmt: skip

        def work(tx: Write) -> Exchanged:
            if beside is not None and beside.session != holder.session:
                raise _refused("another-session", "the role token and the hub token belong to different sessions")
            if beside is not None and beside.actor is not None:
                raise _refused("acting", "a token of somebody who acts for somebody else cannot be exchanged")
            wanted = None if scope is None else permissions(scope)
            opened = sessions.renew(tx, holder.credential, project)
            _not_stopped(tx, opened.user, opened.session_id, opened.project)
            return self._issue(tx, opened.user, opened.session_id, opened.project, opened.roles, wanted, self._lifetime)

        return self._record(actor, work, renewal=True, wanted=project)

    def narrow(
        self, token: RoleToken, *, scope: str | None, project: str | None = None, source: str | None = None
    ) -> Exchanged:
        """Return a role token that can do no more and lives no longer than ``token``, which is verified (R53).

        Raises
        ------
        NotAuthenticated
            Its session ended or left its project, it was revoked, or it acts for somebody.
        Denied
            ``scope`` or ``project`` would widen it.
        BadInput
            ``scope`` is not a list of permissions.
        Unavailable
        """
        actor = Actor(
            Identity.user(token.subject), Road.KERNEL, session=token.session, project=token.project,
            acting=None if token.actor is None else Identity.parse(token.actor), token_id=token.token_id, source=source,
        )  # fmt: skip

        def work(tx: Write) -> Exchanged:
            wanted = self._within(tx, token, project, scope)
            issued = datetime.fromtimestamp(int(tx.now.timestamp()), tx.now.tzinfo)
            lifetime = min(self._lifetime, token.expires_at - issued)
            return self._issue(tx, token.subject, token.session, token.project, token.roles, wanted, lifetime)

        return self._record(actor, work, renewal=False, wanted=project)

    def act(self, actor: Actor, token: RoleToken, *, scope: str | None, project: str | None = None) -> Exchanged:
        """Return a role token with which a service account acts for the user of ``token``, which is verified (R54).

        It can do no more than ``token``, lives no longer, and ends with its session (R53). ``actor`` is the service
        account, which has proven itself. The problems are those of `narrow` and of `impersonate`.
        """

        def work(tx: Write) -> Exchanged:
            wanted = self._within(tx, token, project, scope)
            self._may_mint()
            ring = self._keys.ring(tx)
            done = impersonate(tx, ring, token.subject, token.project, within=token, scope=wanted)
            narrowed = None if wanted is None else tuple(sorted(wanted))
            return Exchanged(
                done.token, done.token_id, int(done.lifetime.total_seconds()), done.session, done.project, narrowed
            )

        return self._record(actor, work, renewal=False, wanted=project)

    def _within(self, tx: Write, token: RoleToken, project: str | None, scope: str | None) -> frozenset[str] | None:
        """Return the scope of a token that is made from another one; refuse whatever would widen it."""
        if token.actor is not None:
            raise _refused("acting", "a token of somebody who acts for somebody else cannot be exchanged")
        if project is not None and project != token.project:
            raise Denied(
                "a role token cannot be exchanged for one of another project",
                remedy="exchange the server's own hub token",
            )
        ended = ended_because(tx, self._keys.ring(tx), token)
        if ended is not None:
            raise _refused(*ended)
        wanted = token.scope if scope is None else permissions(scope)
        if wanted is not None and any(token.narrows(Permission.parse(one)) for one in wanted):
            raise Denied("the scope is wider than that of the token", remedy="ask for a part of the token's scope")
        return wanted

    def _issue(
        self,
        tx: Write,
        subject: str,
        session: str,
        project: str | None,
        roles: Iterable[str],
        scope: Iterable[str] | None,
        lifetime: timedelta,
    ) -> Exchanged:
        self._may_mint()
        token_id = new_id()
        narrowed = None if scope is None else tuple(sorted(scope))
        text = issue(
            self._keys.ring(tx),
            self._issuer,
            self._issuer,
            subject=subject,
            session=session,
            project=project,
            roles=roles,
            revision=tx.revision,
            now=tx.now,
            lifetime=lifetime,
            scope=narrowed,
            token_id=token_id,
        )
        return Exchanged(text, token_id, int(lifetime.total_seconds()), session, project, narrowed)

    def _record(self, actor: Actor, work: Any, *, renewal: bool, wanted: str | None) -> Exchanged:
        try:
            with self._store.write(actor) as tx:
                check_catalog(tx.state, tx.catalog)
                done: Exchanged = work(tx)
                tx.audit(
                    EVENT, allowed=True, reason="granted", project=done.project, issued=done.token_id,
                    scope=None if done.scope is None else list(done.scope), renewal=renewal,
                )  # fmt: skip
                return done
        except (NotAuthenticated, Denied, Escalation, NotFound, Conflict, BadInput) as problem:
            self._record_refusal(actor, problem, renewal=renewal, wanted=None if wanted is None else wanted[:255])
            raise

    def _record_refusal(self, actor: Actor | None, problem: Problem, **more: Any) -> None:
        with self._store.read() as tx:
            now = tx.now
        code = str(problem.more.get("code", problem.slug))
        self._store.record([make_row(actor, EVENT, now, allowed=False, reason=code, sentence=problem.detail, **more)])

    def note_unknown(self, beside: RoleToken | None, source: str | None) -> Callable[[], None] | None:
        """Return the work that records a credential which is no session's; None where enough of these are on record.

        Parameters
        ----------
        beside : RoleToken or None
            Whoever holds a session's role token without its credential: that session is named (T-09).
        """
        problem, now = unknown_credential(), datetime.now(UTC)
        if beside is not None:
            left_out = self._beside.take(beside.session, now)
            if left_out is None:
                return None
            actor = Actor(
                Identity.user(beside.subject), Road.KERNEL, session=beside.session, project=beside.project,
                token_id=beside.token_id, source=source,
            )  # fmt: skip
            return lambda: self._record_refusal(actor, problem, renewal=True, left_out=left_out)
        left_out = self._unknown.take(now)
        if left_out is None:
            return None
        return lambda: self._record_refusal(None, problem, renewal=True, source=source, left_out=left_out)


def unknown_credential() -> NotAuthenticated:
    return _refused("unknown", "no running server has this credential")


def permissions(scope: str) -> frozenset[str]:
    """Read the ``scope`` of a request: permissions separated by single blanks (RFC 6749, 3.3).

    Raises
    ------
    BadInput
    """
    parts = scope.split(" ")
    if len(parts) > _MAX_SCOPE:
        raise BadInput(f"a scope has at most {_MAX_SCOPE} permissions", more={"oauth": "invalid_scope"})
    try:
        return frozenset(str(Permission.parse(part)) for part in parts)
    except ValueError as error:
        raise BadInput(f"the scope cannot be read: {error}", more={"oauth": "invalid_scope"}) from None


def _not_stopped(tx: Write, user: str, session: str, project: str | None) -> None:
    decision = decide(tx.rights(Identity.user(user)), Request(None, project or SYSTEM, session), tx.now)
    if not decision.allowed:
        raise _refused(str(decision.reason), decision.sentence)


def _refused(code: str, sentence: str) -> NotAuthenticated:
    return NotAuthenticated(sentence, more={"code": code}, remedy="restart the server from the hub")
