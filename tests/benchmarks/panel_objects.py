"""What the pages of the panel show at a large installation besides people, projects and roles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import select

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.reviews import lifecycle
from aizen_hub.accounts.roles import access_requests, assignments
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction, make_audit_record
from tests.service.conftest import hashed

ADMIN, LEAD, PROJECT = "root-admin", "lead", "p7"
DECISIONS = 30_000
"""Decisions in the audit, within one day; one of nine is a refusal."""
_REQUESTS = 20
_LOCKED = 30


@dataclass(frozen=True, slots=True)
class PanelObjects:
    """The names and ids that stand for ``{member}`` and so on in the addresses of the pages."""

    member: str
    other: str
    stranger: str
    lock: str
    request: str
    change: str
    review: str

    def fill_in(self, page: str) -> str:
        return page.format_map(asdict(self))


def add_users(tx: WriteTransaction) -> None:
    """Register the administrator and the admin of one project, and what these see besides people and projects."""
    for name, role, scope in ((ADMIN, "AIZEN_ADMIN", SYSTEM), (LEAD, "PROJECT_ADMIN", PROJECT)):
        registration.create_user(tx, name, password=hashed())
        assignments.unauthorized_write_assignment(tx, role, scope, Identity.user(name), reason="benchmark")
    management.create_group(tx, "crew")
    accounts.create_service_account(tx, "robot")


def add_objects(store: Store) -> PanelObjects:
    """Make requests, a pending change, a review, locks and an audit, and return their ids."""
    with store.read() as tx:
        now = tx.now
        a = tables.assignments.c
        rows = select(a.identity).where(a.scope == PROJECT, a.role == "PROJECT_READER").order_by(a.id).limit(500)
        members = [Identity.parse(text) for text in tx.conn.execute(rows).scalars()]
        outsiders = select(a.identity).where(a.scope == "p8").order_by(a.id).limit(1)
        stranger = Identity.parse(tx.conn.execute(outsiders).scalar_one())
    readers = [identity for identity in members if identity.kind.value == "user"]
    requests = [_ask(store, identity) for identity in readers[:_REQUESTS]]
    admin = Identity.user(ADMIN)
    with store.write(Actor(admin, Channel.PANEL, recent_login_until=now + timedelta(hours=1))) as tx:
        for identity in readers[:_LOCKED]:
            membership.add_member(tx, "crew", identity)
        for identity in readers[-_LOCKED:]:
            locks.lock_target(tx, LockTarget.IDENTITY, str(identity), reason="benchmark")
        lock_id = tx.conn.execute(select(tables.locks.c.id).limit(1)).scalar_one()
    with store.write(Actor(admin, Channel.CLI)) as tx:
        change = assignments.grant_roles(tx, ["AIZEN_ADMIN"], SYSTEM, readers[0], reason="benchmark")
    with store.write(Actor(Identity.user(LEAD), Channel.PANEL, recent_login_until=now + timedelta(hours=1))) as tx:
        review = lifecycle.start_review(tx, PROJECT)
    store.append_audit(
        make_audit_record(
            Actor(Identity.user(f"u{1 + number % 1_000}"), Channel.KERNEL),
            "decision",
            now - timedelta(seconds=2 * number),
            project=f"p{number % 50}",
            command="list trainings",
            allowed=number % 9 != 0,
            reason="granted" if number % 9 else "no-role",
            sentence="benchmark",
        )
        for number in range(DECISIONS)
    )
    if change.pending_id is None:
        raise RuntimeError("the benchmark's change of a protected role was made at once")
    return PanelObjects(
        readers[0].name, readers[1].name, stranger.name, str(lock_id), requests[0], change.pending_id, review.id
    )


def _ask(store: Store, identity: Identity) -> str:
    with store.write(Actor(identity, Channel.PANEL)) as tx:
        result = access_requests.request_access(tx, "PROJECT_EXECUTOR", PROJECT, reason="benchmark")
    return str(result.data["request"])
