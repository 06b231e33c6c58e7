"""The one function that decides, and its siblings that list and explain (R60, R61, R80).

`decide`, `allowed_scopes`, `effective` and `explain` walk the same compiled rights, so that checking, listing and
explaining cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from aizen_hub.rbac.assignment import Lock, LockTarget
from aizen_hub.rbac.decision import Decision, Reason, Request
from aizen_hub.rbac.default_denials import covers, least_role
from aizen_hub.rbac.limit import Limited
from aizen_hub.rbac.messages import SENTENCES, denied, place
from aizen_hub.rbac.permission import ANY, Permission
from aizen_hub.rbac.rights import Held, Rights
from aizen_hub.rbac.role import SYSTEM, LimitKind

_OPEN = Decision(True, Reason.OPEN, SENTENCES[Reason.OPEN])


def decide(rights: Rights, request: Request, now: datetime) -> Decision:
    """Answer one question; pure and total.

    Parameters
    ----------
    now : datetime
        The store's time, with its zone.

    Returns
    -------
    Decision
        Allowed only where an assignment that gives now covers the permission in the scope or at the system above it, or
        where the question is open to every registered user; no match is a denial (R59).
    """
    if (stop := _stop(rights, request, now)) is not None:
        return stop
    permission, scope = request.permission, request.scope
    if permission is None:
        return _OPEN
    if scope is None:
        return denied(Reason.PROJECT_REQUIRED, permission=permission)
    if not request.exists:
        return denied(Reason.UNKNOWN_PROJECT, where=place(scope))
    # Written out, not through `Rights.answering`: this is the path of every command.
    verb, noun, table = permission.verb, permission.noun, rights.table
    near = False
    for where in (scope, SYSTEM):
        verbs = table.get(where)
        if verbs is not None:
            for one_verb in (verb, ANY):
                nouns = verbs.get(one_verb)
                if nouns is not None:
                    for one_noun in (noun, ANY):
                        for held in nouns.get(one_noun, ()):
                            if held.permanent or held.gives(now):
                                return held.decision
                            near = True
    return _denial(rights, permission, scope, now) if near else rights.denials[scope, verb, noun]


@dataclass(frozen=True, slots=True)
class Scopes:
    """A set of scopes: those named, or all but those excepted."""

    everywhere: bool
    named: frozenset[str] = frozenset()
    excepted: frozenset[str] = frozenset()

    def __contains__(self, scope: str) -> bool:
        return scope not in self.excepted and (self.everywhere or scope in self.named)


def allowed_scopes(rights: Rights, permission: Permission, now: datetime, session: str | None = None) -> Scopes:
    """Return where `decide` allows ``permission``, so that a listing can be filtered in its query (R72)."""
    everywhere = decide(rights, Request(permission, SYSTEM, session), now).allowed
    known = {held.scope for held in rights.held} | {name for kind, name in rights.locks if kind is LockTarget.PROJECT}
    allowed = {scope for scope in known if decide(rights, Request(permission, scope, session), now).allowed}
    return Scopes(everywhere, frozenset(allowed), frozenset(known - allowed) if everywhere else frozenset())


def effective(rights: Rights, scope: str, now: datetime, session: str | None = None) -> frozenset[Permission]:
    """Return every permission held in ``scope`` now; `decide` allows exactly what one of them covers."""
    if _stop(rights, Request(None, scope, session), now) is not None:
        return frozenset()
    return frozenset(
        permission
        for held in rights.held
        if held.scope in (scope, SYSTEM) and held.gives(now)
        for permission in rights.permissions_of(held)
    )


def effective_limits(rights: Rights, scope: str, now: datetime) -> Mapping[LimitKind, Limited]:
    """Return the strictest limit of each kind that applies in ``scope`` now, with its source.

    A lock on a group takes what the group gives and leaves its limits: a lock must never widen.
    """
    out: dict[LimitKind, Limited] = {}
    for limit in rights.limits:
        if limit.scope in (scope, SYSTEM) and limit.interval.holds(now):
            strictest = out.get(limit.kind)
            if strictest is None or limit.value < strictest.value:
                out[limit.kind] = limit
    return out


class Verdict(StrEnum):
    """How one assignment stands to a question."""

    GIVES = "gives"
    LOCKED = "locked"
    NOT_YET = "not-yet"
    EXPIRED = "expired"
    LACKS = "lacks"
    ELSEWHERE = "elsewhere"


_VERDICTS: Mapping[Verdict, str] = {
    Verdict.GIVES: "gives it",
    Verdict.LOCKED: "would give it, but a group on the way is locked",
    Verdict.NOT_YET: "will give it later",
    Verdict.EXPIRED: "gave it until its end",
    Verdict.LACKS: "does not hold it",
    Verdict.ELSEWHERE: "holds it in another scope",
}


@dataclass(frozen=True, slots=True)
class Path:
    """One assignment that reaches the identity, and how it stands to the question."""

    held: Held
    verdict: Verdict

    @property
    def sentence(self) -> str:
        return f"{self.held.decision.sentence} {_VERDICTS[self.verdict]}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a question is answered as it is.

    Attributes
    ----------
    winning : Path or None
        The path that allowed it.
    others : tuple of Path
        Every other path, and why it did not or need not answer.
    least_role : str or None
        The least role that would allow it there.
    """

    decision: Decision
    winning: Path | None
    others: tuple[Path, ...]
    least_role: str | None


def explain(rights: Rights, request: Request, now: datetime) -> Explanation:
    """Answer one question as `decide` does, with every path that led there or did not."""
    decision = decide(rights, request, now)
    permission, scope = request.permission, request.scope
    if permission is None or scope is None:
        return Explanation(decision, None, (), None)
    paths = [Path(held, _verdict(rights, held, permission, scope, now)) for held in rights.held]
    winning = next((path for path in paths if path.held.decision is decision), None)
    others = tuple(path for path in paths if path is not winning)
    return Explanation(
        decision, winning, others, least_role(rights.roles, permission, scope, rights.member_permissions)
    )


def _stop(rights: Rights, request: Request, now: datetime) -> Decision | None:
    if not rights.active:
        return denied(Reason.NOT_ACTIVE, identity=rights.identity)
    if rights.locks and (lock := rights.lock_on(request.scope, request.session, now)) is not None:
        return denied(Reason.LOCKED, **_lock_facts(lock))
    return None


def _denial(rights: Rights, permission: Permission, scope: str, now: datetime) -> Decision:
    """Return the denial with what came nearest: locked, to begin, ended; else with the least role that would do."""
    asked: dict[str, Any] = {"permission": permission, "where": place(scope)}
    near = list(rights.answering(scope, permission))
    for held in near:
        if held.interval.holds(now) and (lock := held.lock(now)) is not None:
            return denied(Reason.LOCKED, **_path_facts(held), **_lock_facts(lock))
    later = [(held.interval.starts, held) for held in near if held.interval.starts and now < held.interval.starts]
    if later:
        starts, held = min(later, key=_moment)
        return denied(Reason.NOT_YET, moment=_text(starts), **_path_facts(held), **asked)
    ended = [(held.interval.ends, held) for held in near if held.interval.ends]
    if ended:
        ends, held = max(ended, key=_moment)
        return denied(Reason.EXPIRED, moment=_text(ends), **_path_facts(held), **asked)
    return rights.denials[scope, permission.verb, permission.noun]


def _moment(pair: tuple[datetime, Held]) -> datetime:
    return pair[0]


def _path_facts(held: Held) -> dict[str, Any]:
    return {"assignment": held.assignment, "role": held.role, "via": held.via}


def _lock_facts(lock: Lock) -> dict[str, Any]:
    return {"target": f"the {lock.target} `{lock.name}`", "because": f": {lock.reason[:200]}" if lock.reason else ""}


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def _verdict(rights: Rights, held: Held, permission: Permission, scope: str, now: datetime) -> Verdict:
    if not covers(rights.permissions_of(held), permission):
        return Verdict.LACKS
    if held.scope not in (scope, SYSTEM):
        return Verdict.ELSEWHERE
    if held.interval.starts is not None and now < held.interval.starts:
        return Verdict.NOT_YET
    if held.interval.ends is not None and held.interval.ends <= now:
        return Verdict.EXPIRED
    return Verdict.GIVES if held.lock(now) is None else Verdict.LOCKED
