"""Rules from the groups of a provider to roles in projects."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.accounts.dry_run import preview
from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.groups import mapping_rules as mappings
from aizen_hub.accounts.logins import logins
from aizen_hub.accounts.logins.logins import Outcome
from aizen_hub.accounts.roles import assignments, roles
from aizen_hub.problems import BadInput, Conflict, Denied, Escalation, NotFound, Problem
from aizen_hub.rbac.engine import effective
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store import tables
from aizen_hub.store.actor import Road
from tests.accounts.harness import HUB, OPERATOR, House

TEMPLATE = "aizen-{project}-executors"


def sign_in(house: House, name: str, *reported: str) -> None:
    answer = house.do(HUB, logins.report, "ldap", f"id-of-{name}", name, groups=reported)
    assert answer.outcome is Outcome.ADMITTED


def put(house: House, group: str = TEMPLATE, role: str = "PROJECT_EXECUTOR", project: str | None = None) -> int:
    return int(house.do(OPERATOR, mappings.put, "ldap", group, role, project).data["mapping"])


@pytest.mark.proves("R63")
class TestLogin:
    def test_a_template_gives_the_role_in_the_project_it_names(self, town: House) -> None:
        put(town)
        sign_in(town, "tim", "aizen-p1-executors", "Aizen-P2-Executors", "aizen-p9-executors", "others")
        assert town.roles_of("tim", "p1") == {"PROJECT_EXECUTOR"} == town.roles_of("tim", "p2")
        assert town.roles_of("tim") == set()
        with town.reading() as tx:
            names = {row.name for row in tx.conn.execute(tables.groups.select()) if row.provider == "ldap"}
        assert names == {"aizen-p1-executors", "aizen-p2-executors"}, "groups that no rule names are not kept here"

    def test_an_exact_name_gives_it_in_one_project(self, town: House) -> None:
        put(town, "Data Team", "PROJECT_READER", "p1")
        sign_in(town, "tim", "data team")
        assert town.roles_of("tim", "p1") == {"PROJECT_READER"}
        assert town.roles_of("tim", "p2") == set()

    def test_the_next_login_takes_away_what_is_not_reported_any_more(self, town: House) -> None:
        put(town)
        sign_in(town, "tim", "aizen-p1-executors", "aizen-p2-executors")
        sign_in(town, "tim", "aizen-p2-executors")
        assert town.roles_of("tim", "p1") == set()
        assert town.roles_of("tim", "p2") == {"PROJECT_EXECUTOR"}
        sign_in(town, "tim")
        assert town.roles_of("tim", "p2") == set()

    def test_it_lapses_when_it_was_not_seen_for_too_long(self, town: House) -> None:
        put(town)
        sign_in(town, "tim", "aizen-p1-executors")
        age = timedelta(seconds=town.settings.group_max_age_seconds)
        with town.reading() as tx:
            (held,) = tx.rights(Identity.user("tim")).held
            assert held.interval.ends == tx.now + age or held.interval.ends <= tx.now + age
            assert not held.gives(tx.now + age)

    def test_a_project_made_later_counts_from_the_next_login(self, town: House) -> None:
        put(town)
        sign_in(town, "tim", "aizen-later-executors")
        assert town.roles_of("tim", "later") == set()
        town.project("later", "olga")
        sign_in(town, "tim", "aizen-later-executors")
        assert town.roles_of("tim", "later") == {"PROJECT_EXECUTOR"}

    def test_the_groups_of_another_provider_meet_no_rule(self, house: House) -> None:
        put(house)
        house.do(HUB, logins.take_groups, "zoe", "other", ["aizen-p1-executors"])
        assert house.roles_of("zoe", "p1") == set()

    def test_a_local_group_of_that_name_is_left_alone(self, town: House) -> None:
        town.do(OPERATOR, groups.create, "aizen-p1-executors")
        put(town)
        sign_in(town, "tim", "aizen-p1-executors")
        assert town.roles_of("tim", "p1") == set()
        with pytest.raises(Conflict, match="nobody but us"):
            put(town, "aizen-p1-executors", "PROJECT_READER", "p1")

    def test_nothing_changes_where_nothing_is_new(self, house: House) -> None:
        put(house)
        sign_in(house, "zoe", "aizen-p1-executors")
        before = house.state()["assignments"]
        sign_in(house, "zoe", "aizen-p1-executors")
        assert house.state()["assignments"] == before


class TestRules:
    def test_it_acts_on_what_was_reported_before(self, town: House) -> None:
        sign_in(town, "tim", "aizen-p1-executors")
        number = put(town)
        assert town.roles_of("tim", "p1") == {"PROJECT_EXECUTOR"}
        town.do(OPERATOR, mappings.remove, number)
        assert town.roles_of("tim", "p1") == set()

    def test_what_another_rule_or_a_person_gives_stays(self, town: House) -> None:
        sign_in(town, "tim", "aizen-p1-executors", "aizen-p2-executors")
        first, second = put(town), put(town, "aizen-p1-executors", "PROJECT_EXECUTOR", "p1")
        group = Identity.group("aizen-p2-executors")
        town.do(OPERATOR, assignments.grant, ["PROJECT_EXECUTOR"], "p2", group)
        town.do(OPERATOR, mappings.remove, first)
        assert town.roles_of("tim", "p1") == {"PROJECT_EXECUTOR"} == town.roles_of("tim", "p2")
        town.do(OPERATOR, mappings.remove, second)
        assert town.roles_of("tim", "p1") == set()
        assert town.roles_of("tim", "p2") == {"PROJECT_EXECUTOR"}

    def test_what_a_rule_gives_is_not_revoked_by_hand(self, town: House) -> None:
        sign_in(town, "tim", "aizen-p1-executors")
        put(town)
        group = Identity.group("aizen-p1-executors")
        with pytest.raises(Conflict, match="mapping rule"):
            town.do(OPERATOR, assignments.revoke, ["PROJECT_EXECUTOR"], "p1", group)

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
        self, town: House, args: tuple[str, str, str, str | None], problem: type[Problem]
    ) -> None:
        with pytest.raises(problem):
            town.do(OPERATOR, mappings.put, *args)

    def test_twice_is_once(self, town: House) -> None:
        put(town)
        assert town.do(OPERATOR, mappings.put, "ldap", "AIZEN-{project}-executors", "PROJECT_EXECUTOR").data == {
            "changed": False
        }
        assert len(town.do(OPERATOR, mappings.list_rules).rows) == 1

    def test_it_goes_with_its_project_and_keeps_its_role(self, town: House) -> None:
        town.do(OPERATOR, roles.create, "LOOKER", permissions=["read"], scopes=["project"])
        put(town, "crew", "LOOKER", "p2")
        with pytest.raises(Conflict, match="mapping rule"):
            town.do(OPERATOR, roles.remove, "LOOKER")
        town.run("olga", "delete project p2", project="p2")
        assert town.do(OPERATOR, mappings.list_rules).rows == ()

    def test_a_user_who_is_deleted_leaves_no_report(self, town: House) -> None:
        sign_in(town, "tim", "x")
        town.run("admin", "delete user tim")
        with town.reading() as tx:
            assert tx.conn.execute(tables.reported_groups.select()).all() == []


@pytest.mark.proves("T-04", "R66", "R67")
class TestEscalation:
    @pytest.mark.parametrize("who", ["carl", "paul", "emma", "zoe"])
    def test_rules_are_for_those_who_manage_groups(self, town: House, who: str) -> None:
        number = put(town)
        for work, args in (
            (mappings.put, ("ldap", "x", "PROJECT_READER", "p1")),
            (mappings.remove, (number,)),
            (mappings.list_rules, ()),
        ):
            with pytest.raises(Denied):
                town.do(who, work, *args)

    def test_nobody_maps_what_they_could_not_grant(self, town: House) -> None:
        for args in (("x", "PROJECT_EXECUTOR", "p1"), (TEMPLATE, "PROJECT_EXECUTOR", None)):
            with pytest.raises(Escalation):
                town.do("admin", mappings.put, "ldap", *args)
        town.do("admin", mappings.put, "ldap", "x", "PROJECT_ADMIN", "p1")
        town.give("PROJECT_CREATOR", SYSTEM, "admin")
        answer = town.do("admin", mappings.put, "ldap", TEMPLATE, "PROJECT_EXECUTOR")
        town.do("admin", mappings.remove, answer.data["mapping"])

    def test_a_role_in_some_projects_is_not_enough_for_every_project(self, town: House) -> None:
        town.do(OPERATOR, roles.create, "GROUPER", permissions=["manage:groups"], scopes=["system"])
        town.give("GROUPER", SYSTEM, "paul")
        town.do("paul", mappings.put, "ldap", "x", "PROJECT_EXECUTOR", "p1")
        with pytest.raises(Escalation, match="every project"):
            town.do("paul", mappings.put, "ldap", TEMPLATE, "PROJECT_EXECUTOR")

    @pytest.mark.parametrize(("group", "project"), [("x-p1", "p1"), ("x-{project}", None)])
    def test_nobody_maps_a_group_that_they_are_in(self, town: House, group: str, project: str | None) -> None:
        town.give("PROJECT_CREATOR", SYSTEM, "admin")
        sign_in(town, "admin", "x-p1")
        with pytest.raises(Escalation, match="themselves"):
            town.do("admin", mappings.put, "ldap", group, "PROJECT_EXECUTOR", project)
        sign_in(town, "admin", "y-p1")
        town.do("admin", mappings.put, "ldap", group, "PROJECT_EXECUTOR", project)

    def test_a_mapped_role_is_not_widened_by_who_lacks_the_right(self, town: House) -> None:
        town.do(OPERATOR, roles.create, "LOOKER", permissions=["read"], scopes=["project"])
        put(town, "x-{project}", "LOOKER")
        with pytest.raises(Escalation, match="is assigned"):
            town.do("admin", roles.alter, "LOOKER", permissions=["read", "delete"])


@pytest.mark.proves("R77")
class TestConfirmation:
    @pytest.mark.parametrize("road", [Road.CLI, Road.KERNEL, Road.SERVICE_ACCOUNT])
    def test_a_rule_waits_until_it_is_confirmed(self, town: House, road: Road) -> None:
        sign_in(town, "tim", "x")
        held = town.do(town.actor("admin", road), mappings.put, "ldap", "x", "PROJECT_ADMIN", "p1")
        assert held.pending
        assert town.roles_of("tim", "p1") == set()
        number = town.do("admin", carry_out.confirm, held.pending).data["mapping"]
        assert town.roles_of("tim", "p1") == {"PROJECT_ADMIN"}
        held = town.do(town.actor("admin", road), mappings.remove, number)
        assert town.roles_of("tim", "p1") == {"PROJECT_ADMIN"}
        town.do("admin", carry_out.confirm, held.pending)
        assert town.roles_of("tim", "p1") == set()

    def test_the_panel_asks_for_a_fresh_sign_in(self, town: House) -> None:
        with pytest.raises(Denied, match="fresh"):
            town.do(town.actor("admin", fresh_until=None), mappings.put, "ldap", "x", "PROJECT_ADMIN", "p1")


@pytest.mark.parametrize("road", [Road.CLI, Road.PANEL])
def test_who_gains_and_who_loses_is_shown_before_anything_changes(house: House, road: Road) -> None:
    sign_in(house, "zoe", "x")
    sign_in(house, "emma", "x")
    before = house.state()
    actor = house.actor("admin", road, fresh_until=None)
    shown = preview(house.store, actor, lambda tx: mappings.put(tx, "ldap", "x", "PROJECT_ADMIN", "p1"))
    gains = {row[0]: row[2] for row in shown.rows}
    assert set(gains) == {"user:zoe", "user:emma"}
    assert any("delete" in one for one in gains["user:emma"])
    assert "2 people" in shown.data["answer"]
    assert house.state() == before
    number = put(house, "x", "PROJECT_ADMIN", "p1")
    shown = preview(house.store, actor, lambda tx: mappings.remove(tx, number))
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
    def test_every_spelling_is_the_one_group(self, town: House, spelling: str, reported: str) -> None:
        put(town, spelling, "PROJECT_READER", "p1")
        sign_in(town, "tim", reported, "cn=churn team,ou=groups,dc=example,dc=org,dc=evil", "churn team")
        assert town.roles_of("tim", "p1") == {"PROJECT_READER"}
        with town.reading() as tx:
            assert {row.name for row in tx.conn.execute(tables.groups.select()) if row.provider == "ldap"} == {DN}
        sign_in(town, "tim", "churn team", "cn=churn,ou=groups,dc=example,dc=org")
        assert town.roles_of("tim", "p1") == set()

    def test_what_the_preview_shows_is_what_happens(self, house: House) -> None:
        template = "cn={project}-executors,ou=groups,dc=example,dc=org"
        sign_in(house, "zoe", "CN=P1-Executors,OU=Groups,DC=example,DC=org", "CN=P1-Executors,OU=Other,DC=example")
        sign_in(house, "rita", "cn=p1-readers,ou=groups,dc=example,dc=org")
        before = {name: house.roles_of(name, "p1") for name in ("zoe", "rita")}
        shown = preview(house.store, OPERATOR, lambda tx: mappings.put(tx, "ldap", template, "PROJECT_EXECUTOR"))
        assert {name: house.roles_of(name, "p1") for name in before} == before
        assert [(row[0], row[1], row[3]) for row in shown.rows] == [("user:zoe", "p1", [])]
        number = put(house, template)
        with house.reading() as tx:
            gained = {str(one) for one in effective(tx.rights(Identity.user("zoe")), "p1", tx.now)}
        assert set(shown.rows[0][2]) == gained
        assert house.roles_of("rita", "p1") == before["rita"]
        shown = preview(house.store, OPERATOR, lambda tx: mappings.remove(tx, number))
        assert [(row[0], row[1], row[2]) for row in shown.rows] == [("user:zoe", "p1", [])]
        assert set(shown.rows[0][3]) == gained
        house.do(OPERATOR, mappings.remove, number)
        assert house.roles_of("zoe", "p1") == set()

    def test_a_group_of_that_name_takes_roles_by_hand(self, town: House) -> None:
        town.do(OPERATOR, groups.create, "CN=Churn Team,OU=Groups,DC=example,DC=org", provider="ldap")
        town.give("PROJECT_READER", "p1", Identity.group(DN))
        sign_in(town, "tim", self.SPELLINGS[0])
        assert town.roles_of("tim", "p1") == {"PROJECT_READER"}
