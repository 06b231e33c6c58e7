"""Credentials of built-in service accounts, which the catalog lets an administrator issue."""

from __future__ import annotations

from pathlib import Path

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.groups import membership
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.users import bootstrap
from aizen_hub.problems import Escalation
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.settings import AlertSettings
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

AGENT = Identity.service_account("aihub-jobagent")


@pytest.fixture
def fresh(tmp_path: Path) -> AccountsHarness:
    """A fresh installation of AI Hub: its first administrator is a member of the built-in group `admin`."""
    alerts = AlertSettings(webhook_url="https://alerts.example.org/")
    harness = open_harness(tmp_path / "data", catalog="aihub", alerts=alerts)
    harness.execute(OPERATOR, bootstrap.bootstrap_installation, harness.settings)
    harness.register_users("mia", "otto")
    harness.execute(OPERATOR, membership.add_member, "admin", Identity.user("mia"))
    return harness


@pytest.mark.proves("R77", "R94", "R144")
@pytest.mark.parametrize("name", ["admin", "mia"])
def test_the_first_administrator_issues_the_credential_of_the_job_agent(fresh: AccountsHarness, name: str) -> None:
    result = fresh.execute(fresh.actor(name, Channel.CLI), credentials.issue_credential, AGENT.name)
    assert result.pending_id, "it waits for confirmation after a recent login"
    confirmed = fresh.execute(name, command_handlers.confirm_pending_change, result.pending_id)
    with fresh.read() as tx:
        record = credentials.authenticate_credential(tx, confirmed.data["credential"])
        assert record is not None
        assert record.account == AGENT.name
        events = [row.event for row in tx.conn.execute(tables.outbox.select())]
    assert "credential-issued" in events
    assert "credential.issued" in fresh.audit_events()
    fresh.execute("admin", accounts.set_service_account_active, AGENT.name, False)
    fresh.execute(fresh.actor(name), accounts.set_service_account_active, AGENT.name, True)


@pytest.mark.proves("R66", "R67")
def test_only_the_roles_of_the_catalog_are_exempt(fresh: AccountsHarness) -> None:
    """A right that was added to the account later has to be held by the issuer."""
    fresh.execute(OPERATOR, custom_roles.create_role, "FILES", permissions=["read:file"], scopes=["system"])
    fresh.execute(OPERATOR, assignments.grant_roles, ["FILES"], SYSTEM, AGENT)
    result = fresh.execute("admin", credentials.issue_credential, AGENT.name)
    with pytest.raises(Escalation, match="read:file"):
        fresh.execute("admin", command_handlers.confirm_pending_change, result.pending_id)


@pytest.mark.proves("R60", "R66")
def test_without_the_issuing_role_nothing_changes(fresh: AccountsHarness) -> None:
    fresh.execute(OPERATOR, custom_roles.create_role, "M", permissions=["manage:service-accounts"], scopes=["system"])
    fresh.grant("M", SYSTEM, "otto")
    result = fresh.execute("otto", credentials.issue_credential, AGENT.name)
    assert "second user" in result.message
    with pytest.raises(Escalation, match="every right"):
        fresh.execute("otto", command_handlers.confirm_pending_change, result.pending_id)
