"""A test harness on a real SQLite file: one store with users, and helpers to act as any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import registration
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.parser import parse_command
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import ProviderSettings, Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.sql_store import Store
from aizen_hub.store.tables import audit, memberships, metadata
from aizen_hub.store.transaction import ReadTransaction, WriteTransaction

OPERATOR = Actor(Identity.service_account("aizen-hub"), Channel.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Channel.HUB)
PROVIDERS = (
    ProviderSettings(name="ldap", kind="ldap", label="Directory"),
    ProviderSettings(name="local", kind="local", label="Local account"),
    ProviderSettings(name="idp", kind="oidc", label="Single sign-on"),
)
FAR = timedelta(days=365)


class _Rollback(Exception):
    """Ends a rolled-back transaction."""


@contextmanager
def savepoint(tx: WriteTransaction) -> Iterator[None]:
    """Run a part that may fail alone: an exception undoes its changes, change records and audit rows."""
    changes, rows = len(tx._changes), len(tx._audit_records)
    try:
        with tx.conn.begin_nested():
            yield
    except BaseException:
        del tx._changes[changes:]
        del tx._audit_records[rows:]
        raise


@dataclass
class AccountsHarness:
    """A store with users in it; every helper is one transaction."""

    store: Store
    catalog: Catalog
    settings: Settings
    outer_tx: WriteTransaction | None = None

    @contextmanager
    def rolled_back(self) -> Iterator[AccountsHarness]:
        """Run everything inside one transaction that is rolled back at the end, so that tests can share a database."""
        with suppress(_Rollback), self.store.write(OPERATOR) as tx:
            yield replace(self, outer_tx=tx)
            raise _Rollback

    @contextmanager
    def write(self, actor: Actor) -> Iterator[WriteTransaction]:
        """Open a transaction of an actor; inside `rolled_back` a savepoint, undone alone if it fails."""
        tx = self.outer_tx
        if tx is None:
            with self.store.write(actor) as tx:
                yield tx
            return
        tx.actor = actor
        try:
            with savepoint(tx):
                yield tx
        except BaseException:
            tx.record_change("taken-back", {}, ["*"])
            raise

    def close(self) -> None:
        self.store.close()

    def actor(self, name: str, channel: Channel = Channel.PANEL, project: str | None = None, **fields: Any) -> Actor:
        fresh = self.now() + FAR if channel is Channel.PANEL else None
        return Actor(Identity.user(name), channel, project=project, **{"recent_login_until": fresh, **fields})

    def now(self) -> Any:
        with self.read() as tx:
            return tx.now

    def execute(self, actor: Actor | str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run one operation in one transaction."""
        with self.write(self.actor(actor) if isinstance(actor, str) else actor) as tx:
            return operation(tx, *args, **kwargs)

    def run_command(
        self,
        name: str,
        text: str,
        *,
        project: str | None = None,
        channel: Channel = Channel.PANEL,
        files: dict[str, str] | None = None,
        **more: Any,
    ) -> Result:
        """Execute a command line as a user."""
        with self.write(self.actor(name, channel, project, **more)) as tx:
            return command_handlers.execute_account_command(tx, parse_command(text, self.catalog), files or {})

    def expect_problem(self, name: str, text: str, **options: Any) -> Problem:
        """Return the problem that a command line raises, and assert that it changed nothing."""
        before = self.state()
        with pytest.raises(Problem) as caught:
            self.run_command(name, text, **options)
        assert self.state() == before
        return caught.value

    def register_users(self, *names: str) -> None:
        """Register users of the directory, who can sign in at once."""
        for name in names:
            self.execute(OPERATOR, registration.create_user, name, provider="ldap")

    def grant(self, role: str, scope: str, to: str | Identity, **options: Any) -> None:
        identity = Identity.user(to) if isinstance(to, str) else to
        self.execute(OPERATOR, assignments.unauthorized_write_assignment, role, scope, identity, **options)

    def add_directory_member(self, group: str, member: Identity) -> datetime:
        """Add a member that a directory has just reported, in a new group; return until when that holds."""
        self.execute(OPERATOR, management.create_group, group)
        self.execute(OPERATOR, membership.add_member, group, member)
        now = self.now()
        reported = update(memberships).where(memberships.c.member == str(member))
        self.execute(OPERATOR, lambda tx: tx.conn.execute(reported.values(provider="ldap", seen_at=now)))
        return now + timedelta(seconds=self.settings.group_max_age_seconds)

    def create_project(self, name: str, owner: str) -> None:
        self.execute(OPERATOR, lifecycle.create_project, name, owner=Identity.user(owner))

    def roles_of(self, name: str | Identity, scope: str = SYSTEM) -> set[str]:
        identity = Identity.user(name) if isinstance(name, str) else name
        with self.read() as tx:
            return {held.role for held in tx.rights(identity).held_roles if held.scope == scope}

    def state(self) -> Any:
        """Return everything stored, except for the audit, for comparison."""
        with self.read() as tx:
            return {
                table.name: sorted(map(repr, tx.conn.execute(table.select()).all()))
                for table in metadata.sorted_tables
                if table.name not in ("audit", "changes", "revision")
            }

    def audit_events(self) -> list[str]:
        with self.store.read() as tx:
            return [row.event for row in tx.conn.execute(audit.select().order_by(audit.c.number))]

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        if self.outer_tx is not None:
            yield self.outer_tx
            return
        with self.store.read() as tx:
            yield tx


@cache
def _catalog(name: str) -> Catalog:
    return load_catalog(name)


def open_harness(folder: Path, **settings: Any) -> AccountsHarness:
    chosen = Settings(
        **{
            "data_dir": folder,
            "admin_user": "ldap:admin",
            "providers": PROVIDERS,
            "default_provider": "ldap",
            **settings,
        }
    )
    catalog = _catalog(chosen.catalog)
    return AccountsHarness(Store.open(chosen, catalog), catalog, chosen)


def count_rows(tx: ReadTransaction, table: Any) -> int:
    """Return the number of rows of a table."""
    return len(tx.conn.execute(table.select()).all())
