"""A house on a real SQLite file: one store, ready people, and a way to say who does what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import assignments
from aizen_hub.accounts.users import users
from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.parser import read
from aizen_hub.commands.result import Result
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import ProviderSettings, Settings
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.store import Store
from aizen_hub.store.tables import audit, metadata
from aizen_hub.store.transaction import Read, Write

OPERATOR = Actor(Identity.service_account("aizen-hub"), Road.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Road.HUB)
PROVIDERS = (
    ProviderSettings(name="ldap", kind="ldap", label="Directory"),
    ProviderSettings(name="local", kind="local", label="Local account"),
    ProviderSettings(name="idp", kind="oidc", label="Single sign-on"),
)
FAR = timedelta(days=365)


class _TakenBack(Exception):
    """Ends a trial."""


@contextmanager
def part_of(tx: Write) -> Iterator[None]:
    """Do a part that may fail alone: an exception takes back what it changed, announced and recorded."""
    changes, rows = len(tx._changes), len(tx._rows)
    try:
        with tx.conn.begin_nested():
            yield
    except BaseException:
        del tx._changes[changes:]
        del tx._rows[rows:]
        raise


@dataclass
class House:
    """A store with people in it; every helper is one transaction."""

    store: Store
    catalog: Catalog
    settings: Settings
    trial_tx: Write | None = None

    @contextmanager
    def trial(self) -> Iterator[House]:
        """Do everything inside one transaction that is taken back at the end: many cases on one house."""
        with suppress(_TakenBack), self.store.write(OPERATOR) as tx:
            yield replace(self, trial_tx=tx)
            raise _TakenBack

    @contextmanager
    def writing(self, actor: Actor) -> Iterator[Write]:
        """Open a transaction of an actor; in a trial a part of it, given up alone where it fails."""
        tx = self.trial_tx
        if tx is None:
            with self.store.write(actor) as tx:
                yield tx
            return
        tx.actor = actor
        try:
            with part_of(tx):
                yield tx
        except BaseException:
            tx.change("taken-back", {}, ["*"])
            raise

    def close(self) -> None:
        self.store.close()

    def actor(self, name: str, road: Road = Road.PANEL, project: str | None = None, **more: Any) -> Actor:
        fresh = self.now() + FAR if road is Road.PANEL else None
        return Actor(Identity.user(name), road, project=project, **{"fresh_until": fresh, **more})

    def now(self) -> Any:
        with self.reading() as tx:
            return tx.now

    def do(self, actor: Actor | str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do one piece of work in one transaction."""
        with self.writing(self.actor(actor) if isinstance(actor, str) else actor) as tx:
            return work(tx, *args, **kwargs)

    def run(
        self,
        name: str,
        text: str,
        *,
        project: str | None = None,
        road: Road = Road.PANEL,
        files: dict[str, str] | None = None,
        **more: Any,
    ) -> Result:
        """Carry out a command line as somebody."""
        with self.writing(self.actor(name, road, project, **more)) as tx:
            return carry_out.carry_out(tx, read(text, self.catalog), files or {})

    def refused(self, name: str, text: str, **how: Any) -> Problem:
        """Return the problem that a command line gives, and see that it changed nothing."""
        before = self.state()
        with pytest.raises(Problem) as caught:
            self.run(name, text, **how)
        assert self.state() == before
        return caught.value

    def people(self, *names: str) -> None:
        """Register people of the directory, who can sign in at once."""
        for name in names:
            self.do(OPERATOR, users.create, name, provider="ldap")

    def give(self, role: str, scope: str, to: str | Identity, **more: Any) -> None:
        identity = Identity.user(to) if isinstance(to, str) else to
        self.do(OPERATOR, assignments.put, role, scope, identity, **more)

    def project(self, name: str, owner: str) -> None:
        self.do(OPERATOR, projects.create, name, owner=Identity.user(owner))

    def roles_of(self, name: str | Identity, scope: str = SYSTEM) -> set[str]:
        identity = Identity.user(name) if isinstance(name, str) else name
        with self.reading() as tx:
            return {held.role for held in tx.rights(identity).held if held.scope == scope}

    def state(self) -> Any:
        """Return everything that is stored but the audit, for a comparison."""
        with self.reading() as tx:
            return {
                table.name: sorted(map(repr, tx.conn.execute(table.select()).all()))
                for table in metadata.sorted_tables
                if table.name not in ("audit", "changes", "revision")
            }

    def events(self) -> list[str]:
        with self.store.read() as tx:
            return [row.event for row in tx.conn.execute(audit.select().order_by(audit.c.number))]

    @contextmanager
    def reading(self) -> Iterator[Read]:
        if self.trial_tx is not None:
            yield self.trial_tx
            return
        with self.store.read() as tx:
            yield tx


@cache
def _catalog(name: str) -> Catalog:
    return load_catalog(name)


def open_house(folder: Path, **settings: Any) -> House:
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
    return House(Store.open(chosen, catalog), catalog, chosen)


def count(tx: Read, table: Any) -> int:
    """Return how many rows a table has."""
    return len(tx.conn.execute(table.select()).all())
