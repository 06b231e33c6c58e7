"""Mapping rules from the groups of a provider to roles in projects."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts import command_handlers
from aizen_hub.accounts.dry_run import dry_run
from aizen_hub.accounts.groups import management, mapping_rules, mapping_sync
from aizen_hub.accounts.logins import login_report
from aizen_hub.accounts.roles import assignments, custom_roles
from aizen_hub.api_models.logins import LoginOutcome
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotFound, Problem
from aizen_hub.rbac.engine import effective_permissions
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Channel
from tests.accounts.harness import HUB, OPERATOR, AccountsHarness

TEMPLATE = "aizen-{project}-executors"


def sign_in(harness: AccountsHarness, name: str, *reported: str) -> None:
    result = harness.execute(HUB, login_report.report_login, "ldap", f"id-of-{name}", name, groups=reported)
    assert result.outcome is LoginOutcome.ADMITTED


def put(
    harness: AccountsHarness, group: str = TEMPLATE, role: str = "PROJECT_EXECUTOR", project: str | None = None
) -> int:
    return int(harness.execute(OPERATOR, mapping_rules.create_rule, "ldap", group, role, project).data["mapping"])


@pytest.mark.proves("R63")
class TestLogin:
    def test_a_template_gives_the_role_in_the_project_it_names(self, sandbox: AccountsHarness) -> None:
        put(sandbox)
        sign_in(sandbox, "tim", "aizen-p1-executors", "Aizen-P2-Executors", "aizen-p9-executors", "others")
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_EXECUTOR"} == sandbox.roles_of("tim", "p2")
        assert sandbox.roles_of("tim") == set()
        with sandbox.read() as tx:
            names = {row.name for row in tx.conn.execute(tables.groups.select()) if row.provider == "ldap"}
        assert names == {"aizen-p1-executors", "aizen-p2-executors"}, "groups that no rule names are not kept here"

    def test_an_exact_name_gives_it_in_one_project(self, sandbox: AccountsHarness) -> None:
        put(sandbox, "Data Team", "PROJECT_READER", "p1")
        sign_in(sandbox, "tim", "data team")
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER"}
        assert sandbox.roles_of("tim", "p2") == set()

    def test_the_next_login_takes_away_what_is_not_reported_any_more(self, sandbox: AccountsHarness) -> None:
        put(sandbox)
        sign_in(sandbox, "tim", "aizen-p1-executors", "aizen-p2-executors")
        sign_in(sandbox, "tim", "aizen-p2-executors")
        assert sandbox.roles_of("tim", "p1") == set()
        assert sandbox.roles_of("tim", "p2") == {"PROJECT_EXECUTOR"}
        sign_in(sandbox, "tim")
        assert sandbox.roles_of("tim", "p2") == set()

    def test_it_lapses_when_it_was_not_seen_for_too_long(self, sandbox: AccountsHarness) -> None:
        put(sandbox)
        sign_in(sandbox, "tim", "aizen-p1-executors")
        age = timedelta(seconds=sandbox.settings.group_max_age_seconds)
        with sandbox.read() as tx:
            (held,) = tx.rights(Identity.user("tim")).held_roles
            assert held.interval.ends == tx.now + age or held.interval.ends <= tx.now + age
            assert not held.is_effective(tx.now + age)

    def test_a_project_made_later_counts_from_the_next_login(self, sandbox: AccountsHarness) -> None:
        put(sandbox)
        sign_in(sandbox, "tim", "aizen-later-executors")
        assert sandbox.roles_of("tim", "later") == set()
        sandbox.create_project("later", "olga")
        sign_in(sandbox, "tim", "aizen-later-executors")
        assert sandbox.roles_of("tim", "later") == {"PROJECT_EXECUTOR"}

    def test_groups_of_another_provider_match_no_rule(self, harness: AccountsHarness) -> None:
        put(harness)
        harness.execute(HUB, mapping_sync.sync_groups, "zoe", "other", ["aizen-p1-executors"])
        assert harness.roles_of("zoe", "p1") == set()

    def test_a_local_group_of_that_name_is_left_alone(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(OPERATOR, management.create_group, "aizen-p1-executors")
        put(sandbox)
        sign_in(sandbox, "tim", "aizen-p1-executors")
        assert sandbox.roles_of("tim", "p1") == set()
        with pytest.raises(Conflict, match="local management"):
            put(sandbox, "aizen-p1-executors", "PROJECT_READER", "p1")

    def test_nothing_changes_where_nothing_is_new(self, harness: AccountsHarness) -> None:
        put(harness)
        sign_in(harness, "zoe", "aizen-p1-executors")
        before = harness.state()["assignments"]
        sign_in(harness, "zoe", "aizen-p1-executors")
        assert harness.state()["assignments"] == before


class TestRules:
    def test_it_acts_on_what_was_reported_before(self, sandbox: AccountsHarness) -> None:
        sign_in(sandbox, "tim", "aizen-p1-executors")
        rule_id = put(sandbox)
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_EXECUTOR"}
        sandbox.execute(OPERATOR, mapping_rules.delete_rule, rule_id)
        assert sandbox.roles_of("tim", "p1") == set()

    def test_grants_of_another_rule_or_a_user_stay(self, sandbox: AccountsHarness) -> None:
        sign_in(sandbox, "tim", "aizen-p1-executors", "aizen-p2-executors")
        first, second = put(sandbox), put(sandbox, "aizen-p1-executors", "PROJECT_EXECUTOR", "p1")
        group = Identity.group("aizen-p2-executors")
        sandbox.execute(OPERATOR, assignments.grant_roles, ["PROJECT_EXECUTOR"], "p2", group)
        sandbox.execute(OPERATOR, mapping_rules.delete_rule, first)
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_EXECUTOR"} == sandbox.roles_of("tim", "p2")
        sandbox.execute(OPERATOR, mapping_rules.delete_rule, second)
        assert sandbox.roles_of("tim", "p1") == set()
        assert sandbox.roles_of("tim", "p2") == {"PROJECT_EXECUTOR"}

    def test_what_a_rule_gives_is_not_revoked_by_hand(self, sandbox: AccountsHarness) -> None:
        sign_in(sandbox, "tim", "aizen-p1-executors")
        put(sandbox)
        group = Identity.group("aizen-p1-executors")
        with pytest.raises(Conflict, match="mapping rule"):
            sandbox.execute(OPERATOR, assignments.revoke_roles, ["PROJECT_EXECUTOR"], "p1", group)

    @pytest.mark.parametrize(
        ("args", "problem"),
        [
            (("ldap", "x", "PROJECT_READER", None), BadInput),
            (("ldap", TEMPLATE, "PROJECT_READER", "p1"), BadInput),
            (("ldap", TEMPLATE, "AIZEN_ADMIN", None), BadInput),
            (("ldap", "x", "AIZEN_ADMIN", "p1"), BadInput),
            (("ldap", "x", "PROJECT_CREATOR", "p1"), BadInput),
            (("ldap", "x", "PROJECT_READER", "system"), BadInput),
            (("ldap", "x", "NO_SUCH_ROLE", "p1"), BadInput),
            (("ldap", "x", "PROJECT_READER", "p9"), NotFound),
            (("local", TEMPLATE, "PROJECT_READER", None), BadInput),
            (("nowhere", TEMPLATE, "PROJECT_READER", None), BadInput),
        ],
    )
    def test_what_cannot_be_mapped(
        self, sandbox: AccountsHarness, args: tuple[str, str, str, str | None], problem: type[Problem]
    ) -> None:
        with pytest.raises(problem):
            sandbox.execute(OPERATOR, mapping_rules.create_rule, *args)

    def test_creating_a_rule_twice_changes_nothing(self, sandbox: AccountsHarness) -> None:
        put(sandbox)
        assert sandbox.execute(
            OPERATOR, mapping_rules.create_rule, "ldap", "AIZEN-{project}-executors", "PROJECT_EXECUTOR"
        ).data == {"changed": False}
        assert len(sandbox.execute(OPERATOR, mapping_rules.list_rules).rows) == 1

    def test_it_goes_with_its_project_and_keeps_its_role(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(OPERATOR, custom_roles.create_role, "LOOKER", permissions=["read"], scopes=["project"])
        put(sandbox, "crew", "LOOKER", "p2")
        with pytest.raises(Conflict, match="mapping rule"):
            sandbox.execute(OPERATOR, custom_roles.delete_role, "LOOKER")
        sandbox.run_command("olga", "delete project p2", project="p2")
        assert sandbox.execute(OPERATOR, mapping_rules.list_rules).rows == ()

    def test_a_user_who_is_deleted_leaves_no_report(self, sandbox: AccountsHarness) -> None:
        sign_in(sandbox, "tim", "x")
        sandbox.run_command("admin", "delete user tim")
        with sandbox.read() as tx:
            assert tx.conn.execute(tables.reported_groups.select()).all() == []


@pytest.mark.proves("T-04", "R66", "R67")
class TestEscalation:
    @pytest.mark.parametrize("user", ["carl", "paul", "emma", "zoe"])
    def test_rules_need_the_permission_to_manage_groups(self, sandbox: AccountsHarness, user: str) -> None:
        rule_id = put(sandbox)
        for operation, args in (
            (mapping_rules.create_rule, ("ldap", "x", "PROJECT_READER", "p1")),
            (mapping_rules.delete_rule, (rule_id,)),
            (mapping_rules.list_rules, ()),
        ):
            with pytest.raises(Denied):
                sandbox.execute(user, operation, *args)

    def test_mapping_needs_the_right_to_grant(self, sandbox: AccountsHarness) -> None:
        for args in (("x", "PROJECT_EXECUTOR", "p1"), (TEMPLATE, "PROJECT_EXECUTOR", None)):
            with pytest.raises(Escalation):
                sandbox.execute("admin", mapping_rules.create_rule, "ldap", *args)
        sandbox.execute("admin", mapping_rules.create_rule, "ldap", "x", "PROJECT_ADMIN", "p1")
        sandbox.grant("PROJECT_CREATOR", SYSTEM, "admin")
        result = sandbox.execute("admin", mapping_rules.create_rule, "ldap", TEMPLATE, "PROJECT_EXECUTOR")
        sandbox.execute("admin", mapping_rules.delete_rule, result.data["mapping"])

    def test_a_role_in_some_projects_is_not_enough_for_every_project(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(OPERATOR, custom_roles.create_role, "GROUPER", permissions=["manage:groups"], scopes=["system"])
        sandbox.grant("GROUPER", SYSTEM, "paul")
        sandbox.execute("paul", mapping_rules.create_rule, "ldap", "x", "PROJECT_EXECUTOR", "p1")
        with pytest.raises(Escalation, match="all projects"):
            sandbox.execute("paul", mapping_rules.create_rule, "ldap", TEMPLATE, "PROJECT_EXECUTOR")

    @pytest.mark.parametrize(("group", "project"), [("x-p1", "p1"), ("x-{project}", None)])
    def test_no_actor_maps_their_own_group(self, sandbox: AccountsHarness, group: str, project: str | None) -> None:
        sandbox.grant("PROJECT_CREATOR", SYSTEM, "admin")
        sign_in(sandbox, "admin", "x-p1")
        with pytest.raises(Escalation, match="granted to yourself"):
            sandbox.execute("admin", mapping_rules.create_rule, "ldap", group, "PROJECT_EXECUTOR", project)
        sign_in(sandbox, "admin", "y-p1")
        sandbox.execute("admin", mapping_rules.create_rule, "ldap", group, "PROJECT_EXECUTOR", project)

    def test_a_mapped_role_is_not_widened_without_the_right(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(OPERATOR, custom_roles.create_role, "LOOKER", permissions=["read"], scopes=["project"])
        put(sandbox, "x-{project}", "LOOKER")
        with pytest.raises(Escalation, match="is assigned"):
            sandbox.execute("admin", custom_roles.update_role, "LOOKER", permissions=["read", "delete"])


@pytest.mark.proves("R77")
class TestConfirmation:
    @pytest.mark.parametrize("channel", [Channel.CLI, Channel.KERNEL, Channel.SERVICE_ACCOUNT])
    def test_a_rule_waits_until_it_is_confirmed(self, sandbox: AccountsHarness, channel: Channel) -> None:
        sign_in(sandbox, "tim", "x")
        held = sandbox.execute(
            sandbox.actor("admin", channel), mapping_rules.create_rule, "ldap", "x", "PROJECT_ADMIN", "p1"
        )
        assert held.pending_id
        assert sandbox.roles_of("tim", "p1") == set()
        rule_id = sandbox.execute("admin", command_handlers.confirm_pending_change, held.pending_id).data["mapping"]
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_ADMIN"}
        held = sandbox.execute(sandbox.actor("admin", channel), mapping_rules.delete_rule, rule_id)
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_ADMIN"}
        sandbox.execute("admin", command_handlers.confirm_pending_change, held.pending_id)
        assert sandbox.roles_of("tim", "p1") == set()

    def test_the_panel_needs_a_recent_login(self, sandbox: AccountsHarness) -> None:
        with pytest.raises(Denied, match="recent login"):
            sandbox.execute(
                sandbox.actor("admin", recent_login_until=None),
                mapping_rules.create_rule,
                "ldap",
                "x",
                "PROJECT_ADMIN",
                "p1",
            )


@pytest.mark.parametrize("channel", [Channel.CLI, Channel.PANEL])
def test_who_gains_and_who_loses_is_shown_before_anything_changes(harness: AccountsHarness, channel: Channel) -> None:
    sign_in(harness, "zoe", "x")
    sign_in(harness, "emma", "x")
    before = harness.state()
    actor = harness.actor("admin", channel, recent_login_until=None)
    shown = dry_run(harness.store, actor, lambda tx: mapping_rules.create_rule(tx, "ldap", "x", "PROJECT_ADMIN", "p1"))
    gains = {row[0]: row[2] for row in shown.rows}
    assert set(gains) == {"user:zoe", "user:emma"}
    assert gains["user:emma"] == ["PROJECT_ADMIN"]
    permissions = {right["identity"]: right["gains"] for right in shown.data["permissions"]}
    assert any("delete" in one for one in permissions["user:emma"])
    assert "2 people" in shown.data["answer"]
    assert harness.state() == before
    rule_id = put(harness, "x", "PROJECT_ADMIN", "p1")
    shown = dry_run(harness.store, actor, lambda tx: mapping_rules.delete_rule(tx, rule_id))
    assert {row[0] for row in shown.rows} == {"user:zoe", "user:emma"}
    assert all(not row[2] and row[3] for row in shown.rows)


DN = "cn=churn team,ou=groups,dc=example,dc=org"


@pytest.mark.proves("R19", "R63")
class TestDistinguishedNames:
    SPELLINGS = (
        "CN=Churn Team,OU=Groups,DC=Example,DC=Org",
        "cn = churn  team , ou = groups , dc=example, dc=org",
        "commonName=churn\\20team;ou=groups;dc=example;dc=org",
    )

    @pytest.mark.parametrize("spelling", SPELLINGS)
    @pytest.mark.parametrize("reported", SPELLINGS)
    def test_every_spelling_is_the_one_group(self, sandbox: AccountsHarness, spelling: str, reported: str) -> None:
        put(sandbox, spelling, "PROJECT_READER", "p1")
        sign_in(sandbox, "tim", reported, "cn=churn team,ou=groups,dc=example,dc=org,dc=evil", "churn team")
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER"}
        with sandbox.read() as tx:
            assert {row.name for row in tx.conn.execute(tables.groups.select()) if row.provider == "ldap"} == {DN}
        sign_in(sandbox, "tim", "churn team", "cn=churn,ou=groups,dc=example,dc=org")
        assert sandbox.roles_of("tim", "p1") == set()

    def test_the_dry_run_shows_what_happens(self, harness: AccountsHarness) -> None:
        template = "cn={project}-executors,ou=groups,dc=example,dc=org"
        sign_in(harness, "zoe", "CN=P1-Executors,OU=Groups,DC=example,DC=org", "CN=P1-Executors,OU=Other,DC=example")
        sign_in(harness, "rita", "cn=p1-readers,ou=groups,dc=example,dc=org")
        before = {name: harness.roles_of(name, "p1") for name in ("zoe", "rita")}
        shown = dry_run(
            harness.store, OPERATOR, lambda tx: mapping_rules.create_rule(tx, "ldap", template, "PROJECT_EXECUTOR")
        )
        assert {name: harness.roles_of(name, "p1") for name in before} == before
        assert [(row[0], row[1], row[3]) for row in shown.rows] == [("user:zoe", "p1", [])]
        rule_id = put(harness, template)
        with harness.read() as tx:
            gained = {str(one) for one in effective_permissions(tx.rights(Identity.user("zoe")), "p1", tx.now)}
        assert shown.rows[0][2] == ["PROJECT_EXECUTOR"]
        assert set(shown.data["permissions"][0]["gains"]) == gained
        assert harness.roles_of("rita", "p1") == before["rita"]
        shown = dry_run(harness.store, OPERATOR, lambda tx: mapping_rules.delete_rule(tx, rule_id))
        assert [(row[0], row[1], row[2]) for row in shown.rows] == [("user:zoe", "p1", [])]
        assert shown.rows[0][3] == ["PROJECT_EXECUTOR"]
        assert set(shown.data["permissions"][0]["loses"]) == gained
        harness.execute(OPERATOR, mapping_rules.delete_rule, rule_id)
        assert harness.roles_of("zoe", "p1") == set()

    def test_a_group_of_that_name_takes_roles_by_hand(self, sandbox: AccountsHarness) -> None:
        sandbox.execute(OPERATOR, management.create_group, "CN=Churn Team,OU=Groups,DC=example,DC=org", provider="ldap")
        sandbox.grant("PROJECT_READER", "p1", Identity.group(DN))
        sign_in(sandbox, "tim", self.SPELLINGS[0])
        assert sandbox.roles_of("tim", "p1") == {"PROJECT_READER"}
