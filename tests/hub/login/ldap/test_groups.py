"""Groups of a real OpenLDAP server, and who may come in by them."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.login.provider import NotLetIn
from aizen_hub.settings import ConfigurationError
from tests.hub.conftest import MakeProvider
from tests.hub.people import GROUPS, PEOPLE, SUFFIX, prove

pytestmark = pytest.mark.needs("slapd")


class TestGroups:
    async def test_direct_ones_by_memberof(self, ldap: MakeProvider) -> None:
        # `admins` of ou=other is alice's: without a base for groups every place counts.
        assert (await prove(ldap(), "alice")).groups == ("admins", "team")

    async def test_direct_ones_by_search(self, ldap: MakeProvider) -> None:
        assert (await prove(ldap(group_search_base=GROUPS), "alice")).groups == ("team",)

    async def test_none_is_an_empty_list_and_not_unknown(self, ldap: MakeProvider) -> None:
        assert (await prove(ldap(), "carol")).groups == ()

    @pytest.mark.proves("R20", "T-20")
    @pytest.mark.parametrize(
        ("depth", "names"),
        [(0, ("team",)), (1, ("division", "team")), (2, ("company", "division", "team")),
         (16, ("company", "division", "ring", "team"))],
    )  # fmt: skip
    async def test_nested_ones_to_the_depth_and_through_a_cycle(
        self, ldap: MakeProvider, depth: int, names: tuple[str, ...]
    ) -> None:
        provider = ldap(group_search_base=GROUPS, nested_group_depth=depth)
        assert (await prove(provider, "alice")).groups == names

    async def test_whole_names(self, ldap: MakeProvider) -> None:
        groups = (await prove(ldap(group_names="dn"), "alice")).groups
        assert groups == (f"cn=admins,ou=other,{SUFFIX}", f"cn=team,{GROUPS}")

    @pytest.mark.proves("R19")
    async def test_one_short_name_in_two_places_counts_for_neither(self, ldap: MakeProvider, directory: Any) -> None:
        group = f"cn=admins,{GROUPS}"
        directory.modify(group, "add: member", f"member: uid=alice,{PEOPLE}")
        try:
            assert (await prove(ldap(), "alice")).groups == ("team",)
        finally:
            directory.modify(group, "delete: member", f"member: uid=alice,{PEOPLE}")


class TestRestrictions:
    @pytest.mark.parametrize(
        ("allowed", "who", "in_"),
        [
            ([f"cn=team,{GROUPS}"], "alice", True),
            ([f"cn=team,{GROUPS}"], "bob", False),
            (["CN=Team , OU=Groups,DC=lab,DC=test"], "alice", True),
            ([f"cn=\\74eam,{GROUPS}"], "alice", True),
            ([f"cn=tea,{GROUPS}"], "alice", False),
            ([f"cn=team,{GROUPS},dc=more"], "alice", False),
            ([f"cn=outside,{GROUPS}", f"cn=team,{GROUPS}"], "alice", True),
            ([f"cn=admins,{GROUPS}"], "alice", False),
            ([f"cn=nowhere,{GROUPS}"], "alice", False),
        ],
    )
    @pytest.mark.proves("R19")
    async def test_allowed_groups_are_compared_as_names(
        self, ldap: MakeProvider, allowed: list[str], who: str, in_: bool
    ) -> None:
        provider = ldap(allowed_groups=allowed)
        if in_:
            assert (await prove(provider, who)).name == who
        else:
            with pytest.raises(NotLetIn, match="none of the groups"):
                await prove(provider, who)

    async def test_nested_membership_counts_where_it_is_followed(self, ldap: MakeProvider) -> None:
        allowed = {"allowed_groups": [f"cn=company,{GROUPS}"], "group_search_base": GROUPS}
        with pytest.raises(NotLetIn):
            await prove(ldap(**allowed), "alice")
        assert (await prove(ldap(nested_group_depth=3, **allowed), "alice")).name == "alice"

    @pytest.mark.parametrize("key", ["allowed_groups", "allowed_users"])
    @pytest.mark.proves("R6")
    def test_an_empty_allow_list_does_not_start(self, ldap: MakeProvider, key: str) -> None:
        with pytest.raises(ConfigurationError, match=f"providers.lab.config.{key}` is empty"):
            ldap(**{key: []})

    @pytest.mark.proves("R25")
    async def test_every_restriction_must_hold(self, ldap: MakeProvider) -> None:
        group = [f"cn=team,{GROUPS}"]
        assert (await prove(ldap(allowed_groups=group, allowed_users=["alice"]), "alice")).name == "alice"
        for config in (
            {"allowed_groups": group, "allowed_users": ["bob"]},
            {"allowed_groups": group, "blocked_users": ["alice"]},
            {"allowed_groups": group, "search_filter": "(&(uid={username})(cn=Nobody))"},
            {"allowed_users": ["alice"], "search_filter": "(&(uid={username})(cn=Nobody))"},
        ):
            with pytest.raises(NotLetIn):
                await prove(ldap(**config), "alice")
        assert await prove(ldap(search_filter="(&(uid={username})(cn=Alice*))"), "alice")
