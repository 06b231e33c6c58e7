"""Ordinary operations in any order, for seeing that none of them is taken for tampering (T-38)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from aizen_hub.accounts import pending_changes as pending
from aizen_hub.accounts.command_handlers import OPERATIONS
from aizen_hub.accounts.credentials import activation
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.groups import mapping_rules as mappings
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.names import name_release as releases
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import assignments, limits, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.sessions import token_revocation as revocation
from aizen_hub.accounts.users import users
from aizen_hub.jobs import quota as jobs
from aizen_hub.problems import Problem
from aizen_hub.rbac.assignment import Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Write
from tests.audit.integrity.compared_world import HUB, OPERATOR, PASSWORD, person, start_job

PEOPLE = ("nil", "dora", "ina", "ulla")
GROUPS = ("team", "admins", "staff", "choir")
ACCOUNTS = ("robot", "tool", "drone")
PROJECTS = ("p1", "p2", "p3")


def _first(tx: Write, table: Any, column: Any, *where: Any) -> Any:
    return tx.conn.execute(table.select().with_only_columns(column).where(*where).order_by(column)).scalars().first()


def _identity(pick: random.Random) -> Identity:
    return pick.choice((
        Identity.user(pick.choice(PEOPLE)),
        Identity.group(pick.choice(GROUPS)),
        Identity.service_account(pick.choice(ACCOUNTS)),
    ))  # fmt: skip


def _report(tx: Write, pick: random.Random) -> None:
    who = pick.choice(PEOPLE)
    reported = pick.sample(("staff", "readers", "writers", "aizen-p2-crew"), pick.randrange(4))
    logins.report(tx, "ldap", f"id-{who}", who, groups=reported)


def _unlink(tx: Write, pick: random.Random) -> None:
    table, u = tables.logins, tables.users
    query = select(u.c.name, table.c.id).join(table, table.c.user_id == u.c.id).order_by(table.c.id)
    found = tx.conn.execute(query).all()
    who, number = pick.choice(found) if found else (pick.choice(PEOPLE), 0)
    further_logins.unlink(tx, who, number, last=True)


def _take_mapping(tx: Write, pick: random.Random) -> None:
    number = _first(tx, tables.mappings, tables.mappings.c.id)
    mappings.remove(tx, number or 0)


def _take_credential(tx: Write, pick: random.Random) -> None:
    account = pick.choice(ACCOUNTS)
    row = service_accounts.row_of(tx, account)
    number = _first(tx, tables.credentials, tables.credentials.c.id, tables.credentials.c.service_account_id == row.id)
    service_accounts.revoke(tx, account, number or 0)


def _decide(tx: Write, pick: random.Random) -> None:
    p = tables.pending
    number = _first(tx, p, p.c.id, p.c.state == "waiting", p.c.kind != pending.REQUEST)
    if pick.random() < 0.5:
        pending.confirm(tx, number or "", OPERATIONS)
    else:
        pending.reject(tx, number or "")


def _decide_request(tx: Write, pick: random.Random) -> None:
    p = tables.pending
    number = _first(tx, p, p.c.id, p.c.state == "waiting", p.c.kind == pending.REQUEST)
    (requests.approve if pick.random() < 0.5 else requests.deny)(tx, number or "")


def _open(tx: Write, pick: random.Random) -> None:
    who, server = pick.choice((*PEOPLE, "boss")), pick.choice(("", "two"))
    credential = hashlib.sha256(f"{who}/{server}/{pick.randrange(2)}".encode()).hexdigest()
    sessions.open(tx, who, who, server, pick.choice((*PROJECTS, None)), credential)


def _moment(pick: random.Random) -> datetime:
    return datetime.now(UTC) + timedelta(hours=pick.randrange(1, 99))


Step = tuple[Actor, Callable[[Write, random.Random], object]]

STEPS: tuple[Step, ...] = (
    (OPERATOR, lambda tx, pick: users.create(tx, pick.choice(PEOPLE), provider=pick.choice(("ldap", "local", "idp")))),
    (OPERATOR, lambda tx, pick: users.alter(tx, pick.choice(PEOPLE), email="a@example.org")),
    (OPERATOR, lambda tx, pick: releases.release(tx, NameKind.USER, pick.choice(PEOPLE))),
    (OPERATOR, lambda tx, pick: releases.release(tx, NameKind.GROUP, pick.choice(GROUPS))),
    (OPERATOR, lambda tx, pick: releases.release(tx, NameKind.ROLE, "judge")),
    (OPERATOR, lambda tx, pick: releases.release(tx, NameKind.SERVICE_ACCOUNT, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: activation.issue(tx, pick.choice(PEOPLE))),
    (
        OPERATOR,
        lambda tx, pick: activation.redeem(tx, activation.issue(tx, pick.choice(PEOPLE)).token, PASSWORD),
    ),
    (OPERATOR, lambda tx, pick: further_logins.link(tx, pick.choice(PEOPLE), "idp", f"s{pick.randrange(4)}")),
    (OPERATOR, _unlink),
    (HUB, _report),
    (OPERATOR, lambda tx, pick: groups.create(tx, pick.choice(GROUPS), provider=pick.choice((None, "ldap")))),
    (OPERATOR, lambda tx, pick: groups.add_member(tx, pick.choice(GROUPS), _identity(pick))),
    (OPERATOR, lambda tx, pick: groups.remove_member(tx, pick.choice(GROUPS), _identity(pick))),
    (OPERATOR, lambda tx, pick: groups.set_default(tx, pick.choice(GROUPS), pick.random() < 0.5)),
    (
        OPERATOR,
        lambda tx, pick: mappings.put(
            tx, "ldap", pick.choice(("staff", "readers", "writers")), "PROJECT_READER", pick.choice(PROJECTS)
        ),
    ),
    (OPERATOR, lambda tx, pick: mappings.put(tx, "ldap", "aizen-{project}-crew", "PROJECT_READER")),
    (OPERATOR, _take_mapping),
    (person("boss"), lambda tx, pick: service_accounts.create(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: service_accounts.issue(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: service_accounts.set_active(tx, pick.choice(ACCOUNTS), pick.random() < 0.5)),
    (OPERATOR, _take_credential),
    (OPERATOR, lambda tx, pick: projects.create(tx, pick.choice(PROJECTS), owner=Identity.user(pick.choice(PEOPLE)))),
    (OPERATOR, lambda tx, pick: releases.release(tx, NameKind.PROJECT, pick.choice(PROJECTS))),
    (OPERATOR, lambda tx, pick: roles.create(tx, "judge", permissions=["read"], limits={"jobs": pick.randrange(3)})),
    (OPERATOR, lambda tx, pick: roles.alter(tx, "judge", permissions=[pick.choice(("read:model", "enter"))])),
    (
        OPERATOR,
        lambda tx, pick: assignments.grant(
            tx,
            [pick.choice(("PROJECT_READER", "PROJECT_EXECUTOR", "judge"))],
            pick.choice(PROJECTS),
            _identity(pick),
            interval=Interval(None, pick.choice((None, _moment(pick)))),
        ),
    ),
    (
        OPERATOR,
        lambda tx, pick: assignments.revoke(tx, ["PROJECT_READER"], pick.choice(PROJECTS), _identity(pick)),
    ),
    (
        OPERATOR,
        lambda tx, pick: limits.put(
            tx, _identity(pick), pick.choice(("system", *PROJECTS)), "jobs", pick.choice((None, 0, 1.5, 7))
        ),
    ),
    (
        OPERATOR,
        lambda tx, pick: locks.lock(
            tx, LockTarget.IDENTITY, str(_identity(pick)), reason="r", ends=pick.choice((None, _moment(pick)))
        ),
    ),
    (OPERATOR, lambda tx, pick: locks.unlock(tx, LockTarget.IDENTITY, str(_identity(pick)))),
    (OPERATOR, lambda tx, pick: locks.lock(tx, LockTarget.PROJECT, pick.choice(PROJECTS), reason="r")),
    (OPERATOR, lambda tx, pick: locks.unlock(tx, LockTarget.PROJECT, pick.choice(PROJECTS))),
    (HUB, _open),
    (HUB, lambda tx, pick: sessions.end(tx, pick.choice((*PEOPLE, "boss")), None, "stopped")),
    (
        HUB,
        lambda tx, pick: start_job(tx, f"j{pick.randrange(9)}", _identity(pick), pick.choice(PROJECTS)),
    ),
    (OPERATOR, lambda tx, pick: revocation.revoke(tx, revocation.Whose.USER, pick.choice((*PEOPLE, "boss")))),
    (OPERATOR, lambda tx, pick: revocation.revoke(tx, revocation.Whose.PROJECT, pick.choice(PROJECTS))),
    (OPERATOR, lambda tx, pick: revocation.revoke(tx, revocation.Whose.ALL)),
    (HUB, lambda tx, pick: jobs.end(tx, f"j{pick.randrange(9)}", "done")),
    (person("boss"), lambda tx, pick: requests.ask(tx, "PROJECT_READER", pick.choice(PROJECTS), reason="r")),
    (OPERATOR, _decide_request),
    (person("boss", Road.CLI), lambda tx, pick: service_accounts.issue(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, _decide),
)

ENDS: tuple[Step, ...] = (
    (OPERATOR, lambda tx, pick: users.remove(tx, [pick.choice(PEOPLE)])),
    (OPERATOR, lambda tx, pick: groups.remove(tx, pick.choice(GROUPS))),
    (OPERATOR, lambda tx, pick: service_accounts.remove(tx, pick.choice(ACCOUNTS))),
    (OPERATOR, lambda tx, pick: projects.remove(tx, pick.choice(PROJECTS))),
    (OPERATOR, lambda tx, pick: roles.remove(tx, "judge")),
)
"""Done more rarely, or there is soon nothing left to do anything with."""


def walk(store: Store, pick: random.Random, steps: int) -> int:
    """Do so many steps; return how many changed something."""
    done = 0
    for _ in range(steps):
        actor, step = pick.choice(STEPS if pick.random() < 0.95 else ENDS)
        try:
            with store.write(actor) as tx:
                step(tx, pick)
                done += bool(tx.touched or tx.revision != tx.state.revision)
        except Problem:
            continue
    return done
