"""An invented installation with a history of ten weeks, for pictures of the panel.

Every change is made by the function and the user that would make it, at its time: nothing is written past the checks.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import TypeVar
from unittest import mock

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle, profile
from aizen_hub.accounts.reviews.assignment_uses import unauthorized_record_uses
from aizen_hub.accounts.reviews.unused_access import summarize_unused
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles, limits
from aizen_hub.accounts.service_accounts import accounts
from aizen_hub.accounts.sessions import locks
from aizen_hub.accounts.users import registration
from aizen_hub.audit.checkpoints.health import CheckpointHealth
from aizen_hub.authorization.decisions.use_counter import AssignmentUse
from aizen_hub.rbac.assignment import ALWAYS, Interval, LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth import authenticator
from aizen_hub.service.factory import SERVICE_ACTOR
from aizen_hub.store import database, tables
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction
from tests.fixtures.browser.panel import PanelService

T = TypeVar("T")
NOW = datetime(2026, 11, 25, 14, 20, tzinfo=UTC)
"""When the pictures are taken."""
SEED = 12
PEOPLE = {
    "alice": "Alice Brandt",
    "carol": "Carol Okafor",
    "paul": "Paul Lindqvist",
    "rita": "Rita Sandoval",
    "bea": "Beatriz Costa",
    "sam": "Sam Adeyemi",
    "grace": "Grace Nakamura",
    "tom": "Tom Iversen",
    "ines": "Inès Moreau",
    "mara": "Mara Vogel",
}


class Clock:
    """The time of the pictures, which only goes on when it is set.

    Attributes
    ----------
    now : datetime
    """

    def __init__(self, now: datetime) -> None:
        self.now = now

    def set(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Go on to a time before `NOW`."""
        at = NOW - timedelta(days=days, hours=hours, minutes=minutes)
        assert at >= self.now, "time does not go back"
        self.now = at


@contextmanager
def fixed_time() -> Iterator[Clock]:
    """Let the store and the check of role tokens read a clock that stands still, and ids be the same in every run.

    Pages show nothing else that differs, but the age of the last signature of the audit.
    """
    clock, generator = Clock(NOW - timedelta(days=80)), random.Random(SEED)

    class FixedTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock.now.astimezone(tz)

    with (
        mock.patch.object(database, "datetime", FixedTime),
        mock.patch.object(authenticator, "datetime", FixedTime),
        mock.patch.object(CheckpointHealth, "age", 4.0),
        mock.patch.object(secrets, "token_hex", lambda size=16: generator.randbytes(size).hex()),
    ):
        yield clock


class History:
    """Makes the changes of the installation, one after the other.

    Attributes
    ----------
    ids : dict of str to str
        Ids of what pictures show, by a name.
    """

    def __init__(self, panel: PanelService, clock: Clock) -> None:
        self._panel, self._clock = panel, clock
        self.ids: dict[str, str] = {}

    def make(self) -> dict[str, str]:
        """Make everything; returns the ids."""
        self._register_people()
        self._make_projects()
        self._grant_roles()
        self._work()
        self._decide()
        self._clock.set()
        with self._panel.store.read() as tx:
            # Otherwise the service counts it once, at its start.
            self._panel.driver.context.state.unused_access = summarize_unused(tx)
        return self.ids

    def _change(self, actor: Actor, change: Callable[[WriteTransaction], T]) -> T:
        self._clock.now += timedelta(seconds=1)
        with self._panel.store.write(actor) as tx:
            return change(tx)

    def _by(self, user: str, change: Callable[[WriteTransaction], T], channel: Channel = Channel.PANEL) -> T:
        recent = self._clock.now + timedelta(minutes=10)
        return self._change(Actor(Identity.user(user), channel, recent_login_until=recent), change)

    def _grant(
        self,
        grantor: str,
        role: str,
        scope: str,
        to: str,
        *,
        days: float | None = None,
        reason: str = "",
        channel: Channel = Channel.KERNEL,
    ) -> None:
        identity = Identity.parse(to if ":" in to else f"user:{to}")
        interval = ALWAYS if days is None else Interval(ends=NOW + timedelta(days=days))

        def change(tx: WriteTransaction) -> object:
            if grantor == "service":
                return assignments.unauthorized_write_assignment(tx, role, scope, identity, reason=reason)
            return assignments.grant_roles(tx, [role], scope, identity, interval=interval, reason=reason)

        if grantor == "service":
            self._change(SERVICE_ACTOR, change)
        else:
            self._by(grantor, change, channel)

    def _register_people(self) -> None:
        self._clock.set(days=76, hours=4)
        for name, display_name in PEOPLE.items():
            register = partial(
                registration.create_user,
                name=name,
                provider="lab",
                display_name=display_name,
                email=f"{name}@example.org",
            )
            self._change(SERVICE_ACTOR, register)
        self._grant("service", "AIZEN_ADMIN", "system", "alice", reason="First administrator")
        self._grant("service", "AIZEN_ADMIN", "system", "mara", reason="Second administrator")
        self._grant("service", "PROJECT_CREATOR", "system", "carol", reason="Starts the projects of the lab")
        self._clock.set(days=74, hours=3)
        self._by("alice", lambda tx: management.create_group(tx, "churn-team", description="Who models churn"))
        for name in ("sam", "grace", "tom"):
            self._by("alice", partial(membership.add_member, name="churn-team", member=Identity.user(name)))
        self._by("alice", lambda tx: accounts.create_service_account(tx, "nightly", description="Scores at night"))
        permissions, about = ["read:dataset", "write:dataset"], "Labels data sets"
        self._by(
            "alice",
            lambda tx: custom_roles.create_role(tx, "LABELLER", permissions=permissions, description=about),
        )

    def _make_projects(self) -> None:
        self._clock.set(days=70, hours=5)
        about = "Which customers are about to leave?"
        self._by("carol", lambda tx: lifecycle.create_project(tx, "churn", description=about), Channel.KERNEL)
        about = "How much is sold where next month?"
        self._by("carol", lambda tx: lifecycle.create_project(tx, "forecast", description=about), Channel.KERNEL)
        self._by("carol", lambda tx: profile.update_profile(tx, "churn", listed=True))

    def _grant_roles(self) -> None:
        self._clock.set(days=69, hours=1)
        for user in ("alice", "carol", "paul", "rita", "bea", "grace"):
            self._sign_in(user)
        self._grant("carol", "PROJECT_ADMIN", "churn", "paul", reason="Leads the churn model")
        self._grant("paul", "PROJECT_EXECUTOR", "churn", "group:churn-team", reason="Trains the model")
        self._grant("carol", "PROJECT_ADMIN", "forecast", "alice", reason="Leads the forecast")
        self._clock.set(days=62, hours=4, minutes=12)
        self._grant("paul", "PROJECT_READER", "churn", "rita", reason="Reads the results")
        self._grant("carol", "PROJECT_READER", "churn", "service-account:nightly", reason="Nightly scoring")
        self._clock.set(days=40, hours=2, minutes=37)
        self._grant("paul", "LABELLER", "churn", "rita", days=36, reason="Labels the complaints of 2026")
        self._grant("alice", "PROJECT_EXECUTOR", "forecast", "rita", days=36, reason="Joins the forecast")
        self._grant("alice", "PROJECT_READER", "forecast", "bea", reason="Reads the results")
        self._clock.set(days=25, hours=5, minutes=8)
        self._grant("paul", "PROJECT_EXECUTOR", "churn", "bea", days=5, reason="Helps until the release")
        self._grant("paul", "PROJECT_READER", "churn", "ines", days=9, reason="Reviews the features")
        self._by("alice", lambda tx: limits.set_limit(tx, Identity.user("rita"), "churn", "jobs", 4))
        self._by("alice", lambda tx: limits.set_limit(tx, Identity.user("rita"), "churn", "memory", 8 * 2**30))
        self._clock.set(days=1, hours=5)
        lost = "Lost the laptop"
        self._by("alice", lambda tx: locks.lock_target(tx, LockTarget.IDENTITY, "user:tom", reason=lost))

    def _work(self) -> None:
        """Let people use what they have: commands go through the service, as those of a notebook do."""
        self._clock.set(hours=5)
        for user, project, commands in (
            ("bea", "churn", ("list trainings", "show project")),
            ("grace", "churn", ("list trainings", "list datasets")),
            ("rita", "churn", ("list datasets", "start training churn", "start training churn", "delete dataset q3")),
            ("paul", "churn", ("list users", "show project")),
            ("rita", "forecast", ("list trainings",)),
        ):
            self._run(user, project, *commands)
        self._change(SERVICE_ACTOR, self._record_uses)

    def _sign_in(self, user: str) -> None:
        report = {"provider": "lab", "subject": user, "name": user}
        response = self._panel.run(self._panel.driver.hub("POST", "/login", report))
        assert response.status == 200, response.body

    def _run(self, user: str, project: str, *commands: str) -> None:
        self._clock.now += timedelta(minutes=7)
        self._sign_in(user)
        driver = self._panel.driver

        async def run() -> None:
            server = "" if project == "churn" else "second"
            session = await driver.open(user, project, server)
            for command in commands:
                self._clock.now += timedelta(seconds=40)
                await driver.command(session, command)

        self._panel.run(run())

    @staticmethod
    def _record_uses(tx: WriteTransaction) -> None:
        a = tables.assignments
        query = a.select().where(a.c.identity != "service-account:nightly").order_by(a.c.id)
        for number, row in enumerate(tx.conn.execute(query)):
            used = tx.now - timedelta(hours=3 + 17 * number)
            unauthorized_record_uses(tx, [AssignmentUse(row.id, row.granted, used, 400 // (number + 1))])

    def _decide(self) -> None:
        def ask(user: str, role: str, scope: str, reason: str, days: float) -> str:
            until = NOW + timedelta(days=days)
            made = self._by(
                user, lambda tx: access_requests.request_access(tx, role, scope, reason=reason, until=until)
            )
            return str(made.data["request"])

        self._clock.set(hours=3)
        early = ask("rita", "PROJECT_ADMIN", "churn", "Add two people to the project", 30)
        self._clock.set(hours=2, minutes=30)
        comment = "Tell me their names, and I add them."
        self._by("paul", lambda tx: access_requests.deny_request(tx, early, comment=comment))
        self._clock.set(hours=1, minutes=30)
        reason = "Retrain the churn model before the review on Thursday"
        self.ids["request"] = ask("rita", "PROJECT_EXECUTOR", "churn", reason, 2)
        self._clock.set(minutes=50)
        ask("ines", "PROJECT_READER", "forecast", "Compare the features of both projects", 14)
        back = "The laptop is back"
        self._clock.set(minutes=42)
        self._by("alice", lambda tx: locks.unlock_target(tx, LockTarget.IDENTITY, "user:tom", reason=back))
        self._clock.set(minutes=26)
        self._grant("mara", "AIZEN_ADMIN", "system", "grace", reason="Covers the holidays", channel=Channel.CLI)
