"""Which tables the audit compares with the recorded changes, and why it does not compare the others (T-38)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table

from aizen_hub.store import tables as t
from aizen_hub.validation.printable import show

LONGEST = 120
"""Of a name that a finding carries."""
_ID = "the name says which"
_WORDS = "is for people to read"
_WHO = "says who did it and when; the audit rows say it too"


@dataclass(frozen=True, slots=True)
class Compared:
    """A table that is compared, row by row.

    Attributes
    ----------
    what : str
        How findings call its rows.
    owner, part : tuple of Column
        Make up the name of a row: whose it is, and which of several. All but the last of each hold no colon.
    values : tuple of Column
        What is compared.
    hashed : frozenset of str
        The columns of which the record holds a hash.
    left : mapping
        Why each of the other columns is not compared.
    source : FromClause
        The table, with what names the owner.
    where : ColumnElement, optional
        Which rows count; the others give nothing.
    """

    what: str
    sentence: str
    owner: tuple[Column[Any], ...]
    part: tuple[Column[Any], ...]
    values: tuple[Column[Any], ...]
    left: Mapping[str, str]
    source: FromClause
    hashed: frozenset[str] = frozenset()
    where: ColumnElement[bool] | None = None

    def name(self, owner: str, part: str) -> str:
        """Name a row in a finding."""
        one, _, other = part.partition(":")
        named = {"owner": owner, "part": part, "one": one, "other": other}
        return self.sentence.format_map({what: show(text, LONGEST) for what, text in named.items()})


@dataclass(frozen=True, slots=True)
class Left:
    """A table that is not compared, and why not."""

    why: str


def _of_user(table: Table) -> FromClause:
    return table.join(t.users, t.users.c.id == table.c.user_id)


COVERAGE: Mapping[str, Compared | Left] = {
    "revision": Compared(
        "store",
        "the state of the store",
        (t.revision.c.id,),
        (),
        (t.revision.c.catalog_hash, t.revision.c.not_before),
        {"value": "is compared with the last record"},
        t.revision,
    ),
    "names": Compared(
        "name",
        "the name `{owner}`",
        (t.names.c.kind, t.names.c.name),
        (),
        (t.names.c.skeleton, t.names.c.retired),
        {"id": _ID},
        t.names,
    ),
    "users": Compared(
        "user",
        "the user `{owner}`",
        (t.users.c.name,),
        (),
        (t.users.c.provider, t.users.c.domain, t.users.c.subject, t.users.c.active, t.users.c.not_before),
        {
            "id": _ID,
            "display_name": _WORDS,
            "email": "says where alerts go, opens nothing, and must not outlive an erasure",
            "phone": "as the mail address",
            "alerts": "as the mail address",
            "created": _WHO,
            "last_seen": "moves with every login; one in the future is found",
        },
        t.users,
        frozenset({"subject"}),
    ),
    "logins": Compared(
        "login",
        "a login of `{owner}` by {one}",
        (t.users.c.name,),
        (t.logins.c.provider, t.logins.c.subject),
        (),
        {"id": _ID},
        _of_user(t.logins),
        frozenset({"subject"}),
    ),
    "passwords": Compared(
        "password",
        "the password of `{owner}`",
        (t.users.c.name,),
        (),
        (t.passwords.c.hash, t.passwords.c.totp_secret),
        {
            "changed": _WHO,
            "totp_step": "moves with every code; put back it makes a code good twice within its minute",
        },
        _of_user(t.passwords),
        frozenset({"hash", "totp_secret"}),
    ),
    "activations": Compared(
        "activation",
        "the activation link of `{owner}`",
        (t.users.c.name,),
        (),
        (t.activations.c.token_hash, t.activations.c.expires, t.activations.c.issued_by, t.activations.c.proven),
        {},
        _of_user(t.activations),
        frozenset({"token_hash"}),
    ),
    "groups": Compared(
        "group",
        "the group `{owner}`",
        (t.groups.c.name,),
        (),
        (t.groups.c.provider, t.groups.c.is_default, t.groups.c.built_in),
        {"id": _ID, "description": _WORDS},
        t.groups,
    ),
    "memberships": Compared(
        "membership",
        "`{owner}` in the group `{other}`",
        (t.memberships.c.member,),
        (t.memberships.c.provider, t.groups.c.name),
        (),
        {"id": _ID, "seen_at": "moves with every report of the directory; one in the future is found"},
        t.memberships.join(t.groups, t.groups.c.id == t.memberships.c.group_id),
    ),
    "mappings": Compared(
        "mapping",
        "the mapping rule {owner}",
        (t.mappings.c.id,),
        (),
        (t.mappings.c.provider, t.mappings.c.group, t.mappings.c.role, t.mappings.c.project),
        {"created_by": _WHO, "created": _WHO},
        t.mappings,
    ),
    "service_accounts": Compared(
        "service-account",
        "the service account `{owner}`",
        (t.service_accounts.c.name,),
        (),
        (t.service_accounts.c.controller, t.service_accounts.c.active, t.service_accounts.c.built_in),
        {"id": _ID, "description": _WORDS, "created": _WHO},
        t.service_accounts,
    ),
    "credentials": Compared(
        "credential",
        "the credential {part} of `{owner}`",
        (t.service_accounts.c.name,),
        (t.credentials.c.id,),
        (
            t.credentials.c.hash,
            t.credentials.c.expires,
            t.credentials.c.issued_by,
            t.credentials.c.key,
            t.credentials.c.networks,
        ),
        {"created": _WHO, "last_used": "moves with every use, and opens nothing"},
        t.credentials.join(t.service_accounts, t.service_accounts.c.id == t.credentials.c.service_account_id),
        frozenset({"hash"}),
    ),
    "projects": Compared(
        "project",
        "the project `{owner}`",
        (t.projects.c.name,),
        (),
        (t.projects.c.created_by, t.projects.c.not_before),
        {"id": _ID, "description": _WORDS, "created": _WHO, "version": "notices that two write at once, gives nothing"},
        t.projects,
    ),
    "roles": Compared(
        "role",
        "the role {owner}",
        (t.roles.c.name,),
        (),
        (t.roles.c.scopes, t.roles.c.permissions, t.roles.c.limits),
        {
            "id": _ID,
            "description": _WORDS,
            "category": _WORDS,
            "version": "notices that two write at once, gives nothing",
        },
        t.roles,
    ),
    "assignments": Compared(
        "assignment",
        "{one} in `{other}` for `{owner}`",
        (t.assignments.c.identity,),
        (t.assignments.c.role, t.assignments.c.scope),
        (t.assignments.c.starts, t.assignments.c.ends, t.assignments.c.creator, t.assignments.c.mapped),
        {"id": _ID, "reason": _WORDS, "granted_by": _WHO, "granted": _WHO, "revision": _WHO},
        t.assignments,
    ),
    "scope_limits": Compared(
        "limit",
        "the limit on {one} in `{other}` for `{owner}`",
        (t.scope_limits.c.identity,),
        (t.scope_limits.c.kind, t.scope_limits.c.scope),
        (t.scope_limits.c.value,),
        {"id": _ID},
        t.scope_limits,
    ),
    "locks": Compared(
        "lock",
        "the lock on `{owner}`",
        (t.locks.c.target, t.locks.c.name),
        (),
        (t.locks.c.ends,),
        {"id": _ID, "reason": _WORDS, "locked_by": _WHO, "locked": _WHO},
        t.locks,
    ),
    "sessions": Compared(
        "session",
        "the session {owner}",
        (t.sessions.c.id,),
        (),
        (
            t.sessions.c.user,
            t.sessions.c.server,
            t.sessions.c.project,
            t.sessions.c.credential,
            t.sessions.c.tokens_from,
        ),
        {
            "started": _WHO,
            "heard": "moves with every heartbeat; one in the future is found",
            "ended": "says which rows count: a live session that was opened by nobody, or ended by nobody, is found",
            "end_reason": _WORDS,
        },
        t.sessions,
        frozenset({"credential"}),
        t.sessions.c.ended.is_(None),
    ),
    "keys": Compared(
        "key",
        "the key `{owner}`",
        (t.keys.c.kid,),
        (),
        (t.keys.c.purpose, t.keys.c.public, t.keys.c.state),
        {
            "private": "is encrypted for this key alone, so another one does not open",
            "created": _WHO,
            "changed": _WHO,
        },
        t.keys,
    ),
    "jobs": Compared(
        "job",
        "the job {owner}",
        (t.jobs.c.decision_id,),
        (),
        (t.jobs.c.user, t.jobs.c.project, t.jobs.c.session, t.jobs.c.acting),
        {
            "command": _WORDS,
            "key": "says which jobs a `stop` means",
            "started": _WHO,
            "ended": "says which rows count: those that run take up a limit",
            "outcome": _WORDS,
        },
        t.jobs,
        where=t.jobs.c.ended.is_(None),
    ),
    "pending": Compared(
        "pending",
        "the waiting change {owner}",
        (t.pending.c.id,),
        (),
        (t.pending.c.kind, t.pending.c.asked_by, t.pending.c.expires, t.pending.c.payload),
        {
            "asked": _WHO,
            "state": "says which rows count: only what waits can be confirmed, and only once",
            "decided_by": _WHO,
            "decided": _WHO,
            "comment": _WORDS,
        },
        t.pending,
        frozenset({"payload"}),
        t.pending.c.state == "waiting",
    ),
    "changes": Left("is what the others are compared with; audit rows vouch for each record"),
    "audit": Left("its chains and checkpoints prove themselves"),
    "seals": Left("each line is signed"),
    "sign_ins": Left("counts for minutes, in a browser session that the hub must know; one in the future is found"),
    "reported_groups": Left(
        "is replaced with every report, and gives only what an entitled person makes a rule of; "
        "a report in the future is found"
    ),
    "proofs": Left("remembers for a minute which proofs were used, beside a credential that is compared"),
    "project_alerts": Left("says who is told of jobs, and opens nothing"),
    "outbox": Left("holds notices that wait, and opens nothing"),
    "open_commands": Left("says which replica follows what the core was given; the jobs among it are compared"),
    "replays": Left("holds answers, which are given only to what is allowed again"),
    "throttles": Left("counts failures; without it guessing is faster, and no less recorded"),
}
"""Every table of the schema, compared or with the reason why not."""

DATED: Mapping[str, tuple[FromClause, Column[Any], Column[Any]]] = {
    "membership": (t.memberships, t.memberships.c.member, t.memberships.c.seen_at),
    "report": (_of_user(t.reported_groups), t.users.c.name, t.reported_groups.c.seen_at),
    "sign-in": (t.sign_ins, t.sign_ins.c.user, t.sign_ins.c.at),
    "session": (t.sessions, t.sessions.c.id, t.sessions.c.heard),
    "user": (t.users, t.users.c.name, t.users.c.last_seen),
}
"""What counts only for so long since a moment that moves without a change: such a moment is never in the future."""


def compared(name: str) -> Compared:
    """Return how a table is compared; KeyError for one that is not."""
    found = COVERAGE[name]
    if not isinstance(found, Compared):
        raise KeyError(name)
    return found
