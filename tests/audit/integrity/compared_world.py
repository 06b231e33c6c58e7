"""A store with at least one row of everything that the audit compares with the recorded changes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp

from aizen_hub.accounts.credentials import passwords, second_factor
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.groups import mapping_rules as mappings
from aizen_hub.accounts.logins import linked_logins as further_logins
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.projects import projects
from aizen_hub.accounts.roles import access_requests as requests
from aizen_hub.accounts.roles import assignments, limits, roles
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.sessions import locks, sessions
from aizen_hub.accounts.users import bootstrap, users
from aizen_hub.jobs import quota as jobs
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import ProviderSettings, Settings
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.store import Store
from aizen_hub.store.transaction import Write
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.keys import Purpose

OPERATOR = Actor(Identity.service_account("operator"), Road.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Road.HUB)
PASSWORD = "a password, long and made up"
PROVIDERS = (
    ProviderSettings(name="local", kind="local", label="Local account"),
    ProviderSettings(name="ldap", kind="ldap", label="Directory"),
    ProviderSettings(name="idp", kind="oidc", label="Single sign-on"),
)


def person(name: str, road: Road = Road.PANEL) -> Actor:
    return Actor(Identity.user(name), road, fresh_until=datetime.now(UTC) + timedelta(days=2))


def chosen(folder: Path, **more: Any) -> Settings:
    return Settings(data_dir=folder, providers=PROVIDERS, default_provider="local", admin_user="local:boss", **more)


def fill(store: Store) -> None:
    """At least one row of everything that is compared."""
    keys = KeyStore.open(store.settings, store)
    with store.write(OPERATOR) as tx:
        bootstrap.first_start(tx, store.settings)
    with store.write(OPERATOR) as tx:
        passwords.put(tx, "boss", PASSWORD)
        users.create(tx, "nil", password=PASSWORD)
        users.create(tx, "ina")
        users.create(tx, "dora", provider="ldap")
        projects.create(tx, "p1", owner=Identity.user("boss"))
        roles.create(tx, "scorer", permissions=["read:model"], limits={"jobs": 2}, scopes=["project"])
    with store.write(OPERATOR) as tx:
        groups.create(tx, "admins")
        groups.create(tx, "team")
        groups.create(tx, "staff", provider="ldap")
        assignments.put(tx, "AIZEN_ADMIN", "system", Identity.group("admins"), reason="t")
        assignments.put(tx, "scorer", "p1", Identity.group("team"))
        groups.add_member(tx, "team", Identity.user("nil"))
        service_accounts.create(tx, "robot")
        service_accounts.create(tx, "tool")
        assignments.put(tx, "AIZEN_ADMIN", "system", Identity.service_account("robot"))
        service_accounts.issue(tx, "robot")
        service_accounts.set_active(tx, "tool", False)
        limits.put(tx, Identity.user("nil"), "system", "jobs", 3)
        locks.lock(tx, LockTarget.IDENTITY, "user:nil", reason="away")
        mappings.put(tx, "ldap", "readers", "PROJECT_READER", "p1")
        further_logins.link(tx, "boss", "idp", "s-1")
    with store.write(HUB) as tx:
        logins.report(tx, "ldap", "id-dora", "dora", groups=["staff", "readers"])
        sessions.open(tx, "boss", "boss", "", "p1", hashlib.sha256(b"a").hexdigest())
        sessions.open(tx, "boss", "boss", "old", None, hashlib.sha256(b"b").hexdigest())
        sessions.end(tx, "boss", "old", "stopped")
        start_job(tx, "d1", Identity.user("boss"), "p1")
    with store.write(person("boss", Road.CLI)) as tx:
        service_accounts.issue(tx, "robot")  # waits
    with store.write(person("boss")) as tx:
        requests.ask(tx, "PROJECT_ADMIN", "p1", reason="please")
        encryption = KeyEncryption.load(store.settings.key_encryption_path)
        begun = second_factor.begin("boss", encryption)
        second_factor.enable(tx, encryption, begun.sealed, code_of(begun.secret))
    with store.write(OPERATOR) as tx:
        users.create(tx, "gone", password=PASSWORD)
        groups.add_member(tx, "team", Identity.user("gone"))
        users.remove(tx, ["gone"])
        keys.rotate(tx, Purpose.ROLE)


def code_of(secret: str) -> str:
    return str(pyotp.TOTP(secret).now())


def start_job(tx: Write, number: str, identity: Identity, project: str) -> None:
    jobs.start(tx, decision_id=number, identity=identity, project=project, session=None, command="start x", key="x")
