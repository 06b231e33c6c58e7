"""The tables that the audit compares with the recorded changes, and the reasons to exclude the others (T-38)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, FromClause, Table, TextClause, text

from aizen_hub.store import tables as t
from aizen_hub.validation.printable import excerpt

MAX_NAME = 120
"""Characters of a name in a finding."""
_IS_SURROGATE = "a surrogate key; the name identifies the row"
_IS_INFORMATION = "text for people, without effect on access"
_IS_PROVENANCE = "who did it and when, which audit rows record too"
_IS_VERSION = "for optimistic locking; gives no access"


@dataclass(frozen=True, slots=True)
class CoveredTable:
    """A table whose rows are compared.

    Attributes
    ----------
    kind : str
        The name of its rows in findings.
    template : str
        Names a row in a sentence; with ``{owner}``, ``{part}``, and the two halves of the latter as ``{first}`` and
        ``{second}``.
    owner, part : tuple of Column
        Identify a row: its owner, and the row among those of the owner. Only the last column of each may hold a colon.
    values : tuple of Column
        The columns that are compared.
    hashed : frozenset of str
        The columns of which a change record holds a hash.
    excluded_columns : mapping
        Why each of the other columns is not compared.
    source : FromClause
        The table, joined with the one that names the owner.
    condition : SQL expression, optional
        The rows that are compared; the others have no effect.
    """

    kind: str
    template: str
    owner: tuple[Column[Any], ...]
    part: tuple[Column[Any], ...]
    values: tuple[Column[Any], ...]
    excluded_columns: Mapping[str, str]
    source: FromClause
    hashed: frozenset[str] = frozenset()
    condition: ColumnElement[bool] | TextClause | None = None

    def describe(self, owner: str, part: str) -> str:
        """Name a row in a finding."""
        first, _, second = part.partition(":")
        fields = {"owner": owner, "part": part, "first": first, "second": second}
        return self.template.format_map({name: excerpt(text, MAX_NAME) for name, text in fields.items()})


@dataclass(frozen=True, slots=True)
class ExcludedTable:
    """A table that is not compared, and the reason."""

    reason: str


def _join_users(table: Table) -> FromClause:
    return table.join(t.users, t.users.c.id == table.c.user_id)


COVERAGE: Mapping[str, CoveredTable | ExcludedTable] = {
    "revision": CoveredTable(
        "store",
        "the state of the store",
        (t.revision.c.id,),
        (),
        (t.revision.c.catalog_hash, t.revision.c.not_before),
        {
            "value": "compared with the last change record",
            "schema_version": "written by upgrades; a value without the program's version stops it",
        },
        t.revision,
    ),
    "names": CoveredTable(
        "name",
        "the name `{owner}`",
        (t.names.c.kind, t.names.c.name),
        (),
        (t.names.c.skeleton, t.names.c.retired),
        {"id": _IS_SURROGATE},
        t.names,
    ),
    "users": CoveredTable(
        "user",
        "the user `{owner}`",
        (t.users.c.name,),
        (),
        (
            t.users.c.provider,
            t.users.c.domain,
            t.users.c.subject,
            t.users.c.email_set_by,
            t.users.c.email_unconfirmed,
            t.users.c.active,
            t.users.c.not_before,
        ),
        {
            "id": _IS_SURROGATE,
            "display_name": _IS_INFORMATION,
            "email": "must not survive an erasure; links go there only if the columns of who set it allow it",
            "phone": "as the e-mail address",
            "alerts": "as the e-mail address",
            "created": _IS_PROVENANCE,
            "last_seen": "changes with every login; a time in the future is found",
            "gone_at": "repeats an event of the audit; shown, and decides nothing",
            "sign_out_revision": "repeats a change for the hub, which remembers what it has ended",
        },
        t.users,
        frozenset({"subject"}),
    ),
    "logins": CoveredTable(
        "login",
        "a login of `{owner}` by {first}",
        (t.users.c.name,),
        (t.logins.c.provider, t.logins.c.subject),
        (),
        {"id": _IS_SURROGATE},
        _join_users(t.logins),
        frozenset({"subject"}),
    ),
    "passwords": CoveredTable(
        "password",
        "the password of `{owner}`",
        (t.users.c.name,),
        (),
        (t.passwords.c.hash, t.passwords.c.totp_secret, t.passwords.c.recovery_codes),
        {
            "changed": _IS_PROVENANCE,
            "totp_step": "changes with every code; set back, it allows a code twice within its minute",
        },
        _join_users(t.passwords),
        frozenset({"hash", "totp_secret", "recovery_codes"}),
    ),
    "activations": CoveredTable(
        "activation",
        "the activation link of `{owner}`",
        (t.users.c.name,),
        (),
        (
            t.activations.c.token_hash,
            t.activations.c.expires,
            t.activations.c.issued_by,
            t.activations.c.with_recent_login,
            t.activations.c.by_mail,
        ),
        {},
        _join_users(t.activations),
        frozenset({"token_hash"}),
    ),
    "groups": CoveredTable(
        "group",
        "the group `{owner}`",
        (t.groups.c.name,),
        (),
        (t.groups.c.provider, t.groups.c.is_default, t.groups.c.built_in),
        {"id": _IS_SURROGATE, "description": _IS_INFORMATION},
        t.groups,
    ),
    "memberships": CoveredTable(
        "membership",
        "`{owner}` in the group `{second}`",
        (t.memberships.c.member,),
        (t.memberships.c.provider, t.groups.c.name),
        (),
        {"id": _IS_SURROGATE, "seen_at": "changes with every login; a time in the future is found"},
        t.memberships.join(t.groups, t.groups.c.id == t.memberships.c.group_id),
    ),
    "mapping_rules": CoveredTable(
        "mapping",
        "the mapping rule {owner}",
        (t.mapping_rules.c.id,),
        (),
        (t.mapping_rules.c.provider, t.mapping_rules.c.group, t.mapping_rules.c.role, t.mapping_rules.c.project),
        {"created_by": _IS_PROVENANCE, "created": _IS_PROVENANCE},
        t.mapping_rules,
    ),
    "service_accounts": CoveredTable(
        "service-account",
        "the service account `{owner}`",
        (t.service_accounts.c.name,),
        (),
        (t.service_accounts.c.controller, t.service_accounts.c.active, t.service_accounts.c.built_in),
        {"id": _IS_SURROGATE, "description": _IS_INFORMATION, "created": _IS_PROVENANCE},
        t.service_accounts,
    ),
    "credentials": CoveredTable(
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
        {"created": _IS_PROVENANCE, "last_used": "changes with every use, and gives no access"},
        t.credentials.join(t.service_accounts, t.service_accounts.c.id == t.credentials.c.service_account_id),
        frozenset({"hash"}),
    ),
    "projects": CoveredTable(
        "project",
        "the project `{owner}`",
        (t.projects.c.name,),
        (),
        (t.projects.c.created_by, t.projects.c.not_before, t.projects.c.listed),
        {"id": _IS_SURROGATE, "description": _IS_INFORMATION, "created": _IS_PROVENANCE, "version": _IS_VERSION},
        t.projects,
    ),
    "roles": CoveredTable(
        "role",
        "the role {owner}",
        (t.roles.c.name,),
        (),
        (t.roles.c.scopes, t.roles.c.permissions, t.roles.c.limits),
        {
            "id": _IS_SURROGATE,
            "description": _IS_INFORMATION,
            "category": _IS_INFORMATION,
            "version": _IS_VERSION,
        },
        t.roles,
    ),
    "permissions": CoveredTable(
        "permission",
        "the permission `{owner}`",
        (t.permissions.c.name,),
        (),
        (t.permissions.c.skeleton, t.permissions.c.content),
        {"id": _IS_SURROGATE, "description": _IS_INFORMATION},
        t.permissions,
    ),
    "assignments": CoveredTable(
        "assignment",
        "{first} in `{second}` for `{owner}`",
        (t.assignment_rows.c.identity,),
        (t.assignment_rows.c.role, t.assignment_rows.c.scope),
        (t.assignment_rows.c.starts, t.assignment_rows.c.ends, t.assignment_rows.c.creator, t.assignment_rows.c.mapped),
        {
            "id": _IS_SURROGATE,
            "reason": _IS_INFORMATION,
            "granted_by": _IS_PROVENANCE,
            "granted": _IS_PROVENANCE,
            "revision": _IS_PROVENANCE,
            "staged_by": "selects the rows: what an operation staged is compared once that is applied",
            "removed_by": "selects the rows, as the column above",
        },
        t.assignment_rows,
        condition=text(t.IN_EFFECT),
    ),
    "scope_limits": CoveredTable(
        "limit",
        "the limit on {first} in `{second}` for `{owner}`",
        (t.scope_limits.c.identity,),
        (t.scope_limits.c.kind, t.scope_limits.c.scope),
        (t.scope_limits.c.value,),
        {"id": _IS_SURROGATE},
        t.scope_limits,
    ),
    "locks": CoveredTable(
        "lock",
        "the lock on `{owner}`",
        (t.locks.c.target, t.locks.c.name),
        (),
        (t.locks.c.ends,),
        {"id": _IS_SURROGATE, "reason": _IS_INFORMATION, "locked_by": _IS_PROVENANCE, "locked": _IS_PROVENANCE},
        t.locks,
    ),
    "sessions": CoveredTable(
        "session",
        "the session {owner}",
        (t.sessions.c.id,),
        (),
        tuple(t.sessions.c[name] for name in ("user", "hub", "server", "project", "credential", "min_token_revision")),
        {
            "started": _IS_PROVENANCE,
            "last_seen": "changes with every heartbeat; a time in the future is found",
            "ended": "selects the rows: an active session opened or ended without a record is found",
            "end_reason": _IS_INFORMATION,
            "ended_by": _IS_PROVENANCE,
        },
        t.sessions,
        frozenset({"credential"}),
        t.sessions.c.ended.is_(None),
    ),
    "keys": CoveredTable(
        "key",
        "the key `{owner}`",
        (t.keys.c.kid,),
        (),
        (t.keys.c.purpose, t.keys.c.public, t.keys.c.state),
        {
            "private": "encrypted for this key only, so the private half of another key does not decrypt",
            "created": _IS_PROVENANCE,
            "changed": _IS_PROVENANCE,
        },
        t.keys,
    ),
    "jobs": CoveredTable(
        "job",
        "the job {owner}",
        (t.jobs.c.decision_id,),
        (),
        (t.jobs.c.user, t.jobs.c.project, t.jobs.c.session, t.jobs.c.acting),
        {
            "command": _IS_INFORMATION,
            "key": "selects the jobs that a `stop` refers to",
            "started": _IS_PROVENANCE,
            "ended": "selects the rows: running jobs count towards a limit",
            "outcome": _IS_INFORMATION,
        },
        t.jobs,
        condition=t.jobs.c.ended.is_(None),
    ),
    "pending_changes": CoveredTable(
        "pending",
        "the pending change {owner}",
        (t.pending_changes.c.id,),
        (),
        (
            t.pending_changes.c.kind,
            t.pending_changes.c.requested_by,
            t.pending_changes.c.expires,
            t.pending_changes.c.payload,
        ),
        {
            "requested": _IS_PROVENANCE,
            "state": "selects the rows: only a waiting change can be confirmed, and only once",
            "decided_by": _IS_PROVENANCE,
            "decided": _IS_PROVENANCE,
            "comment": _IS_INFORMATION,
        },
        t.pending_changes,
        frozenset({"payload"}),
        t.pending_changes.c.state == "waiting",
    ),
    "changes": ExcludedTable("the other tables are compared with it; audit rows hold a hash of each record"),
    "audit": ExcludedTable("protected by hash chains and checkpoints"),
    "archive_manifests": ExcludedTable("each manifest is signed"),
    "recent_logins": ExcludedTable(
        "valid for minutes, in a browser session that the hub must know; a time in the future is found"
    ),
    "reported_groups": ExcludedTable(
        "replaced at every login, and gives only what a mapping rule by an entitled user gives; "
        "a time in the future is found"
    ),
    "registration_requests": ExcludedTable("asks for a registration, which an administrator makes; gives no access"),
    "undo_records": ExcludedTable("offers a change for ten minutes, which is authorized again when it is made"),
    "used_sign_ins": ExcludedTable("valid for ten minutes, in addition to a code that the hub accepts once"),
    "used_dpop_proofs": ExcludedTable("valid for a minute, in addition to a credential that is compared"),
    "project_alerts": ExcludedTable("selects who is alerted of jobs, and gives no access"),
    "outbox": ExcludedTable("holds undelivered alerts, and gives no access"),
    "operations": ExcludedTable("holds progress and results; the rows that an operation puts in effect are compared"),
    "open_commands": ExcludedTable("selects the replica that follows a command; the jobs among them are compared"),
    "replicas": ExcludedTable("what running processes report of themselves; gives no access"),
    "idempotency_keys": ExcludedTable("holds responses, which are sent only if the repeated request is allowed"),
    "assignment_uses": ExcludedTable("counts what the recorded decisions used, for reviews; gives no access"),
    "access_reviews": ExcludedTable("asks for decisions, which are carried out by changes that are recorded"),
    "review_decisions": ExcludedTable("as the reviews; carrying them out repeats every check of the actor"),
    "attempt_counters": ExcludedTable("counts failures; without it guessing is faster, but still recorded"),
}
"""Every table of the schema: covered, or excluded with the reason."""

MOVING_TIMESTAMPS: Mapping[str, tuple[FromClause, Column[Any], Column[Any]]] = {
    "membership": (t.memberships, t.memberships.c.member, t.memberships.c.seen_at),
    "report": (_join_users(t.reported_groups), t.users.c.name, t.reported_groups.c.seen_at),
    "login": (t.recent_logins, t.recent_logins.c.user, t.recent_logins.c.at),
    "session": (t.sessions, t.sessions.c.id, t.sessions.c.last_seen),
    "user": (t.users, t.users.c.name, t.users.c.last_seen),
}
"""Times that are updated without a change record, and after which a row expires: none may be in the future."""


def covered_table(name: str) -> CoveredTable:
    """Return the specification of a covered table; KeyError for an excluded one."""
    spec = COVERAGE[name]
    if not isinstance(spec, CoveredTable):
        raise KeyError(name)
    return spec
