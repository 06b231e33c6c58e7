"""Random sequences of regular operations, none of which may be reported as tampering (T-38)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts import identities, pending_changes
from aizen_hub.accounts.command_handlers import CHANGE_HANDLERS
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import management, mapping_rules, membership
from aizen_hub.accounts.logins import linked_logins, login_report
from aizen_hub.accounts.names import name_release
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles, limits, permissions
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks, server_sessions, token_revocation
from aizen_hub.accounts.users import profiles, registration
from aizen_hub.jobs import quota
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from tests.audit.integrity.covered_store import HUB, OPERATOR, PASSWORD, start_job, user_actor

PEOPLE = ("nil", "dora", "ina", "ulla")
GROUPS = ("team", "admins", "staff", "choir")
ACCOUNTS = ("robot", "tool", "drone")
PROJECTS = ("p1", "p2", "p3")


def _first(tx: WriteTransaction, table: Any, column: Any, *conditions: Any) -> Any:
    return (
        tx.conn.execute(table.select().with_only_columns(column).where(*conditions).order_by(column)).scalars().first()
    )


def _identity(pick: random.Random) -> Identity:
    return pick.choice((
        Identity.user(pick.choice(PEOPLE)),
        Identity.group(pick.choice(GROUPS)),
        Identity.service_account(pick.choice(ACCOUNTS)),
    ))  # fmt: skip


def _report(tx: WriteTransaction, pick: random.Random) -> None:
    user = pick.choice(PEOPLE)
    reported = pick.sample(("staff", "readers", "writers", "aizen-p2-crew"), pick.randrange(4))
    login_report.report_login(tx, "ldap", f"id-{user}", user, groups=reported)


def _unlink(tx: WriteTransaction, pick: random.Random) -> None:
    table, u = tables.logins, tables.users
    query = select(u.c.name, table.c.id).join(table, table.c.user_id == u.c.id).order_by(table.c.id)
    rows = tx.conn.execute(query).all()
    user, login_id = pick.choice(rows) if rows else (pick.choice(PEOPLE), 0)
    linked_logins.unlink_login(tx, user, login_id, last=True)


def _delete_rule(tx: WriteTransaction, pick: random.Random) -> None:
    rule_id = _first(tx, tables.mapping_rules, tables.mapping_rules.c.id)
    mapping_rules.delete_rule(tx, rule_id or 0)


def _revoke_credential(tx: WriteTransaction, pick: random.Random) -> None:
    account = pick.choice(ACCOUNTS)
    row = identities.get_service_account(tx, account)
    credential_id = _first(
        tx, tables.credentials, tables.credentials.c.id, tables.credentials.c.service_account_id == row.id
    )
    credentials.revoke_credential(tx, account, credential_id or 0)


def _decide(tx: WriteTransaction, pick: random.Random) -> None:
    p = tables.pending_changes
    change_id = _first(tx, p, p.c.id, p.c.state == "waiting", p.c.kind != pending_changes.ACCESS_REQUEST)
    if pick.random() < 0.5:
        pending_changes.confirm_change(tx, change_id or "", CHANGE_HANDLERS)
    else:
        pending_changes.reject_change(tx, change_id or "")


def _decide_request(tx: WriteTransaction, pick: random.Random) -> None:
    p = tables.pending_changes
    change_id = _first(tx, p, p.c.id, p.c.state == "waiting", p.c.kind == pending_changes.ACCESS_REQUEST)
    (access_requests.approve_request if pick.random() < 0.5 else access_requests.deny_request)(tx, change_id or "")


def _open(tx: WriteTransaction, pick: random.Random) -> None:
    user, server = pick.choice((*PEOPLE, "boss")), pick.choice(("", "two"))
    credential = hashlib.sha256(f"{user}/{server}/{pick.randrange(2)}".encode()).hexdigest()
    server_sessions.open_session(tx, user, user, server, pick.choice((*PROJECTS, None)), credential)


def _future_time(pick: random.Random) -> datetime:
    return datetime.now(UTC) + timedelta(hours=pick.randrange(1, 99))


Step = tuple[Actor, Callable[[WriteTransaction, random.Random], object]]

STEPS: tuple[Step, ...] = (
    (
        OPERATOR,
        lambda tx, pick: registration.create_user(
            tx, pick.choice(PEOPLE), provider=pick.choice(("ldap", "local", "idp"))
        ),
    ),
    (OPERATOR, lambda tx, pick: profiles.update_user(tx, pick.choice(PEOPLE), email="a@example.org")),
    (OPERATOR, lambda tx, pick: name_release.release_name(tx, NameKind.USER, pick.choice(PEOPLE))),
    (OPERATOR, lambda tx, pick: name_release.release_name(tx, NameKind.GROUP, pick.choice(GROUPS))),
    (OPERATOR, lambda tx, pick: name_release.release_name(tx, NameKind.ROLE, "reviewer")),
    (OPERATOR, lambda tx, pick: name_release.release_name(tx, NameKind.SERVICE_ACCOUNT, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: activation.issue_link(tx, pick.choice(PEOPLE))),
    (
        OPERATOR,
        lambda tx, pick: activation.redeem_link(tx, activation.issue_link(tx, pick.choice(PEOPLE)).token, PASSWORD),
    ),
    (OPERATOR, lambda tx, pick: linked_logins.link_login(tx, pick.choice(PEOPLE), "idp", f"s{pick.randrange(4)}")),
    (OPERATOR, _unlink),
    (HUB, _report),
    (OPERATOR, lambda tx, pick: management.create_group(tx, pick.choice(GROUPS), provider=pick.choice((None, "ldap")))),
    (OPERATOR, lambda tx, pick: membership.add_member(tx, pick.choice(GROUPS), _identity(pick))),
    (OPERATOR, lambda tx, pick: membership.remove_member(tx, pick.choice(GROUPS), _identity(pick))),
    (OPERATOR, lambda tx, pick: management.set_default_group(tx, pick.choice(GROUPS), pick.random() < 0.5)),
    (
        OPERATOR,
        lambda tx, pick: mapping_rules.create_rule(
            tx, "ldap", pick.choice(("staff", "readers", "writers")), "PROJECT_READER", pick.choice(PROJECTS)
        ),
    ),
    (OPERATOR, lambda tx, pick: mapping_rules.create_rule(tx, "ldap", "aizen-{project}-crew", "PROJECT_READER")),
    (OPERATOR, _delete_rule),
    (user_actor("boss"), lambda tx, pick: accounts.create_service_account(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: credentials.issue_credential(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: accounts.set_service_account_active(tx, pick.choice(ACCOUNTS), pick.random() < 0.5)),
    (OPERATOR, _revoke_credential),
    (
        OPERATOR,
        lambda tx, pick: lifecycle.create_project(tx, pick.choice(PROJECTS), owner=Identity.user(pick.choice(PEOPLE))),
    ),
    (OPERATOR, lambda tx, pick: name_release.release_name(tx, NameKind.PROJECT, pick.choice(PROJECTS))),
    (
        OPERATOR,
        lambda tx, pick: custom_roles.create_role(
            tx, "reviewer", permissions=["read"], limits={"jobs": pick.randrange(3)}
        ),
    ),
    (OPERATOR, lambda tx, pick: permissions.create_permission(tx, "Few", limit="jobs", value=pick.randrange(3))),
    (
        OPERATOR,
        lambda tx, pick: custom_roles.update_role(
            tx, "reviewer", permissions=[pick.choice(("read:training", "enter"))]
        ),
    ),
    (
        OPERATOR,
        lambda tx, pick: assignments.grant_roles(
            tx,
            [pick.choice(("PROJECT_READER", "PROJECT_EXECUTOR", "reviewer"))],
            pick.choice(PROJECTS),
            _identity(pick),
            interval=Interval(None, pick.choice((None, _future_time(pick)))),
        ),
    ),
    (
        OPERATOR,
        lambda tx, pick: assignments.revoke_roles(tx, ["PROJECT_READER"], pick.choice(PROJECTS), _identity(pick)),
    ),
    (
        OPERATOR,
        lambda tx, pick: limits.set_limit(
            tx, _identity(pick), pick.choice(("system", *PROJECTS)), "jobs", pick.choice((None, 0, 1.5, 7))
        ),
    ),
    (
        OPERATOR,
        lambda tx, pick: locks.lock_target(
            tx, LockTarget.IDENTITY, str(_identity(pick)), reason="r", ends=pick.choice((None, _future_time(pick)))
        ),
    ),
    (OPERATOR, lambda tx, pick: locks.unlock_target(tx, LockTarget.IDENTITY, str(_identity(pick)), reason="over")),
    (OPERATOR, lambda tx, pick: locks.lock_target(tx, LockTarget.PROJECT, pick.choice(PROJECTS), reason="r")),
    (OPERATOR, lambda tx, pick: locks.unlock_target(tx, LockTarget.PROJECT, pick.choice(PROJECTS), reason="over")),
    (HUB, _open),
    (HUB, lambda tx, pick: server_sessions.end_sessions(tx, pick.choice((*PEOPLE, "boss")), None, "stopped")),
    (
        HUB,
        lambda tx, pick: start_job(tx, f"j{pick.randrange(9)}", _identity(pick), pick.choice(PROJECTS)),
    ),
    (
        OPERATOR,
        lambda tx, pick: token_revocation.revoke_tokens(
            tx, token_revocation.RevocationTarget.USER, pick.choice((*PEOPLE, "boss"))
        ),
    ),
    (
        OPERATOR,
        lambda tx, pick: token_revocation.revoke_tokens(
            tx, token_revocation.RevocationTarget.PROJECT, pick.choice(PROJECTS)
        ),
    ),
    (OPERATOR, lambda tx, pick: token_revocation.revoke_tokens(tx, token_revocation.RevocationTarget.ALL)),
    (HUB, lambda tx, pick: quota.end_job(tx, f"j{pick.randrange(9)}", "done")),
    (
        user_actor("boss"),
        lambda tx, pick: access_requests.request_access(tx, "PROJECT_READER", pick.choice(PROJECTS), reason="r"),
    ),
    (OPERATOR, _decide_request),
    (user_actor("boss", Channel.CLI), lambda tx, pick: credentials.issue_credential(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, _decide),
)

DELETIONS: tuple[Step, ...] = (
    (OPERATOR, lambda tx, pick: registration.delete_users(tx, [pick.choice(PEOPLE)])),
    (OPERATOR, lambda tx, pick: management.delete_group(tx, pick.choice(GROUPS))),
    (OPERATOR, lambda tx, pick: accounts.delete_service_account(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: lifecycle.delete_project(tx, pick.choice(PROJECTS))),
    (OPERATOR, lambda tx, pick: custom_roles.delete_role(tx, "reviewer")),
    (OPERATOR, lambda tx, pick: permissions.delete_permission(tx, "Few")),
)
"""Less frequent, or there would soon be no rows left."""


def run_random_operations(store: Store, pick: random.Random, steps: int) -> int:
    """Run a number of random steps; return how many changed something."""
    changes = 0
    for _ in range(steps):
        actor, step = pick.choice(STEPS if pick.random() < 0.95 else DELETIONS)
        try:
            with store.write(actor) as tx:
                step(tx, pick)
                changes += bool(tx.invalidated or tx.revision != tx.state.revision)
        except Problem:
            continue
    return changes
