"""A store with at least one row of every table that the audit compares with the recorded changes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp

from aizen_hub.accounts.credentials import passwords, second_factor
from aizen_hub.accounts.groups import management, mapping_rules, membership
from aizen_hub.accounts.logins import linked_logins, login_report
from aizen_hub.accounts.projects import lifecycle
from aizen_hub.accounts.roles import access_requests, assignments, custom_roles, limits, permissions
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.sessions import locks, server_sessions
from aizen_hub.accounts.users import bootstrap, registration
from aizen_hub.jobs import quota
from aizen_hub.rbac.assignment import LockTarget
from aizen_hub.rbac.identity import Identity
from aizen_hub.settings import ProviderSettings, Settings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.keystore import KeyStore
from aizen_hub.store.sql_store import Store
from aizen_hub.store.transaction import WriteTransaction
from aizen_hub.tokens.key_encryption import KeyEncryption
from aizen_hub.tokens.keys import Purpose

OPERATOR = Actor(Identity.service_account("operator"), Channel.OPERATOR)
HUB = Actor(Identity.service_account("hub"), Channel.HUB)
PASSWORD = "a password, long and made up"
PROVIDERS = (
    ProviderSettings(name="local", kind="local", label="Local account"),
    ProviderSettings(name="ldap", kind="ldap", label="Directory"),
    ProviderSettings(name="idp", kind="oidc", label="Single sign-on"),
)


def user_actor(name: str, channel: Channel = Channel.PANEL) -> Actor:
    return Actor(Identity.user(name), channel, recent_login_until=datetime.now(UTC) + timedelta(days=2))


def make_settings(folder: Path, **more: Any) -> Settings:
    return Settings(data_dir=folder, providers=PROVIDERS, default_provider="local", admin_user="local:boss", **more)


def populate_store(store: Store) -> None:
    """Write at least one row to every covered table."""
    keys = KeyStore.open(store.settings, store)
    with store.write(OPERATOR) as tx:
        bootstrap.bootstrap_installation(tx, store.settings)
    with store.write(OPERATOR) as tx:
        passwords.set_password(tx, "boss", PASSWORD)
        registration.create_user(tx, "nil", password=PASSWORD)
        registration.create_user(tx, "ina")
        registration.create_user(tx, "dora", provider="ldap")
        lifecycle.create_project(tx, "p1", owner=Identity.user("boss"))
        custom_roles.create_role(tx, "scorer", permissions=["read:training"], limits={"jobs": 2}, scopes=["project"])
        permissions.create_permission(tx, "5 Project Limit", limit="projects", value=5)
    with store.write(OPERATOR) as tx:
        management.create_group(tx, "admins")
        management.create_group(tx, "team")
        management.create_group(tx, "staff", provider="ldap")
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.group("admins"), reason="t")
        assignments.unauthorized_write_assignment(tx, "scorer", "p1", Identity.group("team"))
        membership.add_member(tx, "team", Identity.user("nil"))
        accounts.create_service_account(tx, "robot")
        accounts.create_service_account(tx, "tool")
        assignments.unauthorized_write_assignment(tx, "AIZEN_ADMIN", "system", Identity.service_account("robot"))
        credentials.issue_credential(tx, "robot")
        accounts.set_service_account_active(tx, "tool", False)
        limits.set_limit(tx, Identity.user("nil"), "system", "jobs", 3)
        locks.lock_target(tx, LockTarget.IDENTITY, "user:nil", reason="away")
        mapping_rules.create_rule(tx, "ldap", "readers", "PROJECT_READER", "p1")
        linked_logins.link_login(tx, "boss", "idp", "s-1")
    with store.write(HUB) as tx:
        login_report.report_login(tx, "ldap", "id-dora", "dora", groups=["staff", "readers"])
        server_sessions.open_session(tx, "boss", "boss", "", "p1", hashlib.sha256(b"a").hexdigest())
        server_sessions.open_session(tx, "boss", "boss", "old", None, hashlib.sha256(b"b").hexdigest())
        server_sessions.end_sessions(tx, "boss", "old", "stopped")
        start_job(tx, "d1", Identity.user("boss"), "p1")
    with store.write(user_actor("boss", Channel.CLI)) as tx:
        credentials.issue_credential(tx, "robot")  # pending
    with store.write(user_actor("dora")) as tx:
        access_requests.request_access(tx, "PROJECT_ADMIN", "p1", reason="please")
    with store.write(user_actor("boss")) as tx:
        encryption = KeyEncryption.load(store.settings.key_encryption_path)
        enrolment = second_factor.begin_enrolment("boss", encryption)
        second_factor.enable_second_factor(tx, encryption, enrolment.encrypted_secret, code_of(enrolment.secret))
    with store.write(OPERATOR) as tx:
        registration.create_user(tx, "gone", password=PASSWORD)
        membership.add_member(tx, "team", Identity.user("gone"))
        registration.delete_users(tx, ["gone"])
        keys.rotate(tx, Purpose.ROLE)


def code_of(secret: str) -> str:
    return str(pyotp.TOTP(secret).now())


def start_job(tx: WriteTransaction, decision_id: str, identity: Identity, project: str) -> None:
    quota.start_job(
        tx, decision_id=decision_id, identity=identity, project=project, session=None, command="start x", key="x"
    )
