"""Login with a real OpenID provider: admitted users, and their groups."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.login.provider import AccessDeniedError
from tests.fixtures.identity.oidc_provider_server import Idp
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


@pytest.mark.proves("R22", "R23", "R24")
async def test_a_user_is_identified_by_issuer_and_subject(make: Make, idp: Idp) -> None:
    identity = await sign_in(make(auth_state_groups_key="oauth_user.groups"), idp)
    assert (identity.provider, identity.name, identity.display_name) == ("idp", "alice", "Alice")
    assert identity.subject == f"{idp.issuer}#sub-of-alice"
    assert identity.email == "alice@example.org"
    # The whole path is the name, not its leaf.
    assert identity.groups == ("/projects/admin", "staff")


URL_CLAIM = "https://example.org/groups"
BAD_GROUPS = {
    "text": "AIZEN_ADMIN",
    "object": {"AIZEN_ADMIN": True},
    "null": None,
    "number": 7,
    "true": True,
    "nested list": [["AIZEN_ADMIN"]],
    "number inside": ["staff", 7],
    "null inside": ["staff", None],
    "object inside": [{"name": "staff"}],
    "too many": [f"g{number}" for number in range(1001)],
    "empty name": ["staff", ""],
    "line feed": ["staff\n"],
    "override character": ["st\u202eaff"],
    "very long": ["x" * 256],
}


@pytest.mark.proves("R24", "T-20")
@pytest.mark.parametrize("groups", BAD_GROUPS.values(), ids=BAD_GROUPS)
@pytest.mark.parametrize("configured", [True, False], ids=["configured", "by default"])
async def test_groups_that_are_not_a_list_of_names_deny_the_login(
    make: Make, idp: Idp, groups: Any, configured: bool
) -> None:
    idp.add_user("alice", groups=groups)
    provider = make(**({"auth_state_groups_key": "oauth_user.groups"} if configured else {}))
    with pytest.raises(AccessDeniedError, match=r"the claim `(oauth_user\.)?groups`"):
        await sign_in(provider, idp)


GROUP_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    # id: (claims, configuration, groups or the claim that is rejected)
    "default name": ({"groups": ["b", "a"]}, {}, ("a", "b")),
    "twice is once": ({"groups": ["a", "a"]}, {}, ("a",)),
    "empty list": ({"groups": []}, {"manage_groups": True}, ()),
    "a thousand": ({"groups": [f"g{n:04}" for n in range(1000)]}, {}, tuple(f"g{n:04}" for n in range(1000))),
    "unicode twins stay two": ({"groups": ["admin", "\u0430dmin"]}, {}, ("admin", "\u0430dmin")),
    "escaped comma": ({"groups": ["cn=a\\,b,dc=x"]}, {}, ("cn=a\\,b,dc=x",)),
    "missing, not configured": ({"groups": ...}, {}, None),
    "missing, key configured": ({"groups": ...}, {"auth_state_groups_key": "oauth_user.groups"}, "oauth_user.groups"),
    "missing, manage_groups": ({"groups": ...}, {"manage_groups": True}, "oauth_user.groups"),
    "missing, allowed_groups": ({"groups": ...}, {"allowed_groups": ["a"]}, "oauth_user.groups"),
    "missing, not required": ({"groups": ...}, {"manage_groups": True, "require_groups": False}, ()),
    "missing, not required, but malformed": (
        {"groups": None},
        {"manage_groups": True, "require_groups": False},
        "oauth_user.groups",
    ),
    "not managed": ({"groups": ["a"]}, {"manage_groups": False}, None),
    "not managed, malformed": ({"groups": "a"}, {"manage_groups": False}, None),
    "claim_groups_key": ({"groups": ["a"]}, {"claim_groups_key": "groups", "manage_groups": True}, ("a",)),
    "url as a name": ({URL_CLAIM: ["a"]}, {"claim_groups_key": URL_CLAIM, "manage_groups": True}, ("a",)),
    "url as a key": ({URL_CLAIM: ["a"]}, {"auth_state_groups_key": f"oauth_user.{URL_CLAIM}"}, ("a",)),
    "nested": ({"nested": {"deep": ["a"]}}, {"auth_state_groups_key": "oauth_user.nested.deep"}, ("a",)),
    "nested literal first": (
        {"nested": {"deep.er": ["a"], "deep": {"er": ["b"]}}},
        {"auth_state_groups_key": "oauth_user.nested.deep.er"},
        ("a",),
    ),
    "path into a list": (
        {"nested": ["deep"]},
        {"auth_state_groups_key": "oauth_user.nested.deep"},
        "oauth_user.nested.deep",
    ),
    "realm roles": (
        {"groups": ["/a"], "realm_access": {"roles": ["analyst"]}},
        {"realm_roles": True},
        ("/a", "realm-role/analyst"),
    ),
    "roles not asked for": ({"groups": ["/a"], "realm_access": {"roles": ["analyst"]}}, {}, ("/a",)),
    "client roles": (
        {"resource_access": {"aizen": {"roles": ["run"]}, "other": {"roles": ["run"]}}},
        {"client_roles": ["aizen"]},
        ("client-role/aizen/run",),
    ),
    "client with a dot": (
        {"resource_access": {"a.b": {"roles": ["run"]}, "a": {"b": {"roles": ["root"]}}}},
        {"client_roles": ["a.b"]},
        ("client-role/a.b/run",),
    ),
    "a group cannot look like a role": (
        {"groups": ["realm-role/admin", "Client-Role/aizen/x", "/a"], "realm_access": {"roles": ["analyst"]}},
        {"realm_roles": True},
        ("/a", "realm-role/analyst"),
    ),
    "no roles": ({"groups": ["/a"]}, {"realm_roles": True, "client_roles": ["aizen"]}, ("/a",)),
    "malformed realm roles": ({"realm_access": {"roles": "admin"}}, {"realm_roles": True}, "realm_access.roles"),
    "malformed client roles": (
        {"resource_access": {"aizen": {"roles": {"admin": 1}}}},
        {"client_roles": ["aizen"]},
        "roles",
    ),
}


@pytest.mark.proves("R24", "T-20")
@pytest.mark.parametrize(("claims", "config", "expected"), GROUP_ROWS.values(), ids=GROUP_ROWS)
async def test_groups(make: Make, idp: Idp, claims: dict[str, Any], config: dict[str, Any], expected: Any) -> None:
    idp.add_user("alice", **claims)
    provider = make(**config)
    if isinstance(expected, str):
        with pytest.raises(AccessDeniedError, match=f"the claim `{expected}`"):
            await sign_in(provider, idp)
    else:
        assert (await sign_in(provider, idp)).groups == expected


@pytest.mark.proves("R24")
@pytest.mark.parametrize("configured", [{}, {"auth_state_groups_key": "oauth_user.groups"}], ids=["default", "key"])
async def test_a_catalog_can_require_groups_of_every_user(make: Make, idp: Idp, configured: dict[str, Any]) -> None:
    provider = make(groups_required=True, **configured)
    assert (await sign_in(provider, idp)).groups == ("/projects/admin", "staff")
    idp.add_user("alice", groups=[])
    assert (await sign_in(provider, idp)).groups == ()
    for wrong in (..., None, "staff", ["staff", 7]):
        idp.add_user("alice", groups=wrong)
        with pytest.raises(AccessDeniedError, match=r"the claim `oauth_user\.groups`"):
            await sign_in(provider, idp)


@pytest.mark.proves("R24")
async def test_a_user_who_lost_the_required_groups_is_signed_out(make: Make, idp: Idp) -> None:
    provider = make(groups_required=True)
    identity = await sign_in(provider, idp)
    idp.add_user("alice", groups=...)
    assert await provider.refresh(identity.subject, identity.name, identity.provider_state) is None


ALICE = {"groups": ["staff"], "email": "alice@example.org", "email_verified": True}
RESTRICTION_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "nothing configured": (ALICE, {}, True),
    "user on the list": (ALICE, {"allowed_users": ["alice"]}, True),
    "user not on the list": (ALICE, {"allowed_users": ["bob"]}, False),
    "group on the list": (ALICE, {"allowed_groups": ["staff", "x"]}, True),
    "group not on the list": (ALICE, {"allowed_groups": ["x"]}, False),
    "part of a group's name": (ALICE, {"allowed_groups": ["sta"]}, False),
    "leaf of a group's path": ({"groups": ["/projects/admin"]}, {"allowed_groups": ["admin"]}, False),
    "user and group": (ALICE, {"allowed_users": ["alice"], "allowed_groups": ["staff"]}, True),
    "user but not group": (ALICE, {"allowed_users": ["alice"], "allowed_groups": ["x"]}, False),
    "group but not user": (ALICE, {"allowed_users": ["bob"], "allowed_groups": ["staff"]}, False),
    "scope granted": (ALICE, {"allowed_scopes": ["openid"]}, True),
    "scope not granted": (ALICE, {"scope": ["openid", "groups", "gone"], "allowed_scopes": ["gone"]}, False),
    "scope but not user": (ALICE, {"allowed_scopes": ["openid"], "allowed_users": ["bob"]}, False),
    "blocked": (ALICE, {"blocked_users": ["alice"]}, False),
    "blocked though allowed": (ALICE, {"blocked_users": ["alice"], "allowed_users": ["alice"]}, False),
    "mail, verified": (ALICE, {"username_claim": "email"}, True),
    "mail, not verified": ({**ALICE, "email_verified": False}, {"username_claim": "email"}, False),
    "mail, nothing said": ({**ALICE, "email_verified": ...}, {"username_claim": "email"}, False),
    "mail, a text that says true": ({**ALICE, "email_verified": "true"}, {"username_claim": "email"}, False),
    "name that is the mail, not verified": (
        {**ALICE, "preferred_username": "alice@example.org", "email_verified": False},
        {},
        False,
    ),
    "name beside an unverified mail": ({**ALICE, "email_verified": False}, {}, True),
    "name claim missing": ({"preferred_username": ...}, {}, False),
    "name claim a list": ({"preferred_username": ["alice"]}, {}, False),
    "name claim empty": ({"preferred_username": ""}, {}, False),
    "name with a line feed": ({"preferred_username": "alice\n"}, {}, False),
    "roles as allowed groups": (
        {"realm_access": {"roles": ["analyst"]}},
        {"realm_roles": True, "allowed_groups": ["realm-role/analyst"]},
        True,
    ),
}


@pytest.mark.proves("R25", "R22")
@pytest.mark.parametrize(("claims", "config", "enters"), RESTRICTION_ROWS.values(), ids=RESTRICTION_ROWS)
async def test_restrictions(make: Make, idp: Idp, claims: dict[str, Any], config: dict[str, Any], enters: bool) -> None:
    idp.add_user("alice", **claims)
    provider = make(**config)
    if enters:
        assert (await sign_in(provider, idp)).name == (claims or ALICE).get(config.get("username_claim", ""), "alice")
    else:
        with pytest.raises(AccessDeniedError):
            await sign_in(provider, idp)


async def test_an_unverified_email_is_not_reported(make: Make, idp: Idp) -> None:
    idp.add_user("alice", email="root@example.org", email_verified=False)
    assert (await sign_in(make(), idp)).email is None


@pytest.mark.proves("R22")
async def test_equal_short_names_of_two_domains_are_two_users(make: Make, idp: Idp) -> None:
    identities = []
    for domain in ("example.org", "example.com"):
        idp.add_user("alice", sub=f"alice-of-{domain}", email=f"alice@{domain}", email_verified=True)
        identities.append(await sign_in(make(username_claim="email"), idp))
    assert [identity.name for identity in identities] == ["alice@example.org", "alice@example.com"]
    assert identities[0].subject != identities[1].subject
