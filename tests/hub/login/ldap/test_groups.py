"""Groups of a real OpenLDAP server, and restrictions by group."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.login.provider import AccessDeniedError
from aizen_hub.settings import ConfigurationError
from tests.hub.conftest import MakeProvider
from tests.hub.directory_users import GROUPS_DN, SUFFIX, USERS_DN, authenticate

pytestmark = pytest.mark.needs("slapd")


class TestGroups:
    async def test_direct_ones_by_memberof(self, make_provider: MakeProvider) -> None:
        # Alice is in `admins` of ou=other: without a search base groups anywhere count.
        assert (await authenticate(make_provider(), "alice")).groups == ("admins", "team")

    async def test_direct_ones_by_search(self, make_provider: MakeProvider) -> None:
        assert (await authenticate(make_provider(group_search_base=GROUPS_DN), "alice")).groups == ("team",)

    async def test_none_is_an_empty_list_and_not_unknown(self, make_provider: MakeProvider) -> None:
        assert (await authenticate(make_provider(), "carol")).groups == ()

    @pytest.mark.proves("R20", "T-20")
    @pytest.mark.parametrize(
        ("depth", "names"),
        [(0, ("team",)), (1, ("division", "team")), (2, ("company", "division", "team")),
         (16, ("company", "division", "ring", "team"))],
    )  # fmt: skip
    async def test_nested_ones_to_the_depth_and_through_a_cycle(
        self, make_provider: MakeProvider, depth: int, names: tuple[str, ...]
    ) -> None:
        provider = make_provider(group_search_base=GROUPS_DN, nested_group_depth=depth)
        assert (await authenticate(provider, "alice")).groups == names

    async def test_whole_names(self, make_provider: MakeProvider) -> None:
        groups = (await authenticate(make_provider(group_names="dn"), "alice")).groups
        assert groups == (f"cn=admins,ou=other,{SUFFIX}", f"cn=team,{GROUPS_DN}")

    @pytest.mark.proves("R19")
    async def test_two_groups_with_one_short_name_are_both_ignored(
        self, make_provider: MakeProvider, directory: Any
    ) -> None:
        group = f"cn=admins,{GROUPS_DN}"
        directory.modify(group, "add: member", f"member: uid=alice,{USERS_DN}")
        try:
            assert (await authenticate(make_provider(), "alice")).groups == ("team",)
        finally:
            directory.modify(group, "delete: member", f"member: uid=alice,{USERS_DN}")


class TestRestrictions:
    @pytest.mark.parametrize(
        ("allowed", "who", "in_"),
        [
            ([f"cn=team,{GROUPS_DN}"], "alice", True),
            ([f"cn=team,{GROUPS_DN}"], "bob", False),
            (["CN=Team , OU=Groups,DC=lab,DC=test"], "alice", True),
            ([f"cn=\\74eam,{GROUPS_DN}"], "alice", True),
            ([f"cn=tea,{GROUPS_DN}"], "alice", False),
            ([f"cn=team,{GROUPS_DN},dc=more"], "alice", False),
            ([f"cn=outside,{GROUPS_DN}", f"cn=team,{GROUPS_DN}"], "alice", True),
            ([f"cn=admins,{GROUPS_DN}"], "alice", False),
            ([f"cn=nowhere,{GROUPS_DN}"], "alice", False),
        ],
    )
    @pytest.mark.proves("R19")
    async def test_allowed_groups_are_compared_as_names(
        self, make_provider: MakeProvider, allowed: list[str], who: str, in_: bool
    ) -> None:
        provider = make_provider(allowed_groups=allowed)
        if in_:
            assert (await authenticate(provider, who)).name == who
        else:
            with pytest.raises(AccessDeniedError, match="not in a group"):
                await authenticate(provider, who)

    async def test_nested_membership_counts_where_it_is_followed(self, make_provider: MakeProvider) -> None:
        allowed = {"allowed_groups": [f"cn=company,{GROUPS_DN}"], "group_search_base": GROUPS_DN}
        with pytest.raises(AccessDeniedError):
            await authenticate(make_provider(**allowed), "alice")
        assert (await authenticate(make_provider(nested_group_depth=3, **allowed), "alice")).name == "alice"

    @pytest.mark.parametrize("key", ["allowed_groups", "allowed_users"])
    @pytest.mark.proves("R6")
    def test_an_empty_allow_list_does_not_start(self, make_provider: MakeProvider, key: str) -> None:
        with pytest.raises(ConfigurationError, match=f"providers.lab.config.{key}` is empty"):
            make_provider(**{key: []})

    @pytest.mark.proves("R25")
    async def test_every_restriction_must_hold(self, make_provider: MakeProvider) -> None:
        group = [f"cn=team,{GROUPS_DN}"]
        assert (
            await authenticate(make_provider(allowed_groups=group, allowed_users=["alice"]), "alice")
        ).name == "alice"
        for config in (
            {"allowed_groups": group, "allowed_users": ["bob"]},
            {"allowed_groups": group, "blocked_users": ["alice"]},
            {"allowed_groups": group, "search_filter": "(&(uid={username})(cn=Other))"},
            {"allowed_users": ["alice"], "search_filter": "(&(uid={username})(cn=Other))"},
        ):
            with pytest.raises(AccessDeniedError):
                await authenticate(make_provider(**config), "alice")
        assert await authenticate(make_provider(search_filter="(&(uid={username})(cn=Alice*))"), "alice")
