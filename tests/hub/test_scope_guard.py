"""Scopes that the hub's configuration gives: which ones would let their holders act as others at the service."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.scopes import scope_definitions
from jupyterhub.spawner import Spawner
from traitlets.config import Config

from aizen_hub.hub.scope_guard import COMMAND_LINE_SCOPE, SERVICE_SCOPE, check_scopes
from aizen_hub.hub.violation import Violation
from aizen_hub.settings import Settings

PEOPLE = [{"users": ["rita"]}, {"groups": ["helpers"]}, {"users": ["rita"], "services": ["bot"]}, {}]
CONTROL = (
    "tokens",
    "tokens!user=ada",
    "tokens!group=staff",
    "admin:users",
    "admin:auth_state",
    "groups",
    "admin:groups",
    "admin:groups!group=staff",
    "servers",
    "servers!server=ada/",
    "start:servers",
    "admin:server_state",
    "admin:services",
    "proxy",
)
HARMLESS = (
    "self",
    "admin-ui",
    "list:users",
    "read:users",
    "users",
    "users:activity",
    "delete:users",
    "read:tokens",
    "read:groups",
    "list:groups",
    "delete:groups",
    "read:servers",
    "delete:servers",
    "read:hub",
    "read:metrics",
    "shutdown",
    "access:services",
    SERVICE_SCOPE,
    "tokens!user",
    "servers!user",
    "admin:server_state!server",
    "custom:reports:read",
)
REPORTED_OTHERWISE = {"access:servers", "admin:servers", "shares", "users:shares", "groups:shares"}
"""They open the servers of others."""
WITHOUT_EFFECT = {"(no_scope)", "inherit", "read:roles", "read:roles:users", "read:roles:services", "read:roles:groups"}


def find(**settings: Any) -> list[Violation]:
    values = {
        "load_roles": [],
        "load_groups": {},
        "services": [],
        "api_tokens": {},
        "extra_user_scopes": {SERVICE_SCOPE, COMMAND_LINE_SCOPE},
        "spawner_class": Spawner,
        "config": Config(),
        **settings,
    }
    return list(check_scopes(SimpleNamespace(**values), Settings()))


def role(scope: str, **holders: Any) -> dict[str, Any]:
    return {"name": "r", "scopes": [scope], **holders}


@pytest.mark.proves("R1")
@pytest.mark.parametrize("holders", PEOPLE, ids=str)
@pytest.mark.parametrize("scope", CONTROL)
def test_people_with_a_scope_over_others_stop_the_start(scope: str, holders: dict[str, Any]) -> None:
    """A role without holders too: the hub remembers those of an earlier configuration."""
    (violation,) = find(load_roles=[role(scope, **holders)])
    assert violation.fatal
    assert violation.setting == f"JupyterHub.load_roles (`r`: {scope})"
    assert "AIZEN_ADMIN too" in violation.explanation
    assert violation.remedy.startswith("remove it")


@pytest.mark.parametrize("scope", CONTROL)
def test_services_with_a_scope_over_users_are_named(scope: str) -> None:
    (violation,) = find(load_roles=[role(scope, services=["bot"])])
    assert (violation.fatal, "protect the service like the hub" in violation.remedy) == (False, True)


@pytest.mark.parametrize("scope", HARMLESS)
def test_other_scopes_are_accepted(scope: str) -> None:
    assert find(load_roles=[role(scope, users=["rita"])]) == []


def test_every_scope_of_jupyterhub_was_considered() -> None:
    """A new version may bring scopes that let users act as others."""
    considered = {*CONTROL, *HARMLESS, *REPORTED_OTHERWISE, *WITHOUT_EFFECT}
    unknown = {
        name
        for name in scope_definitions
        if name not in considered and not name.startswith("read:") and name not in ("list:services", "list:groups")
    }
    assert unknown == set()


@pytest.mark.parametrize("name", ["user", "token", "helpers"])
def test_default_roles_of_the_hub_are_checked_too(name: str) -> None:
    found = find(load_roles=[{"name": name, "scopes": [SERVICE_SCOPE, COMMAND_LINE_SCOPE, "tokens"]}])
    assert [violation.fatal for violation in found] == [True]


@pytest.mark.proves("R1")
def test_a_scope_over_others_for_all_users_stops_the_start() -> None:
    (violation,) = find(extra_user_scopes={SERVICE_SCOPE, COMMAND_LINE_SCOPE, "tokens"})
    assert (violation.fatal, "extra_user_scopes" in violation.setting) == (True, True)
    assert find(extra_user_scopes={"access:services", "tokens!user"}) == []


@pytest.mark.parametrize(
    ("scopes", "effects"),
    [
        ({"self", "access:services"}, []),
        ({"self", SERVICE_SCOPE}, ["aizen-hub login"]),
        ({"self", COMMAND_LINE_SCOPE}, ["neither panel nor command line"]),
        ({"self"}, ["neither panel nor command line", "aizen-hub login"]),
    ],
)
def test_what_users_need_is_named(scopes: set[str], effects: list[str]) -> None:
    """The hub ignores the extra scopes where the role `user` is redefined."""
    for settings in ({"extra_user_scopes": scopes}, {"load_roles": [{"name": "user", "scopes": [*scopes]}]}):
        found = find(**settings)
        assert len(found) == len(effects)
        assert all(effect in violation.explanation for effect, violation in zip(effects, found, strict=True))
        assert not any(violation.fatal for violation in found)


@pytest.mark.parametrize(
    ("groups", "stops"),
    [
        ({}, False),
        ({"aizen-admins": {"users": ["rita"]}}, True),
        ({"aizen-admins": ["rita"]}, True),
        ({"aizen-admins": {"users": []}}, False),
        ({"aizen-admins": {"properties": {"note": "x"}}}, False),
        ({"staff": {"users": ["rita"]}}, False),
    ],
)
def test_the_group_of_the_admin_page_has_no_fixed_members(groups: dict[str, Any], stops: bool) -> None:
    assert [violation.fatal for violation in find(load_groups=groups)] == ([True] if stops else [])


def test_services_and_tokens_that_act_as_anyone_are_named() -> None:
    found = find(
        load_roles=[{"name": "admin", "services": ["bot"]}],
        services=[{"name": "bot", "admin": True}, {"name": "other"}],
        api_tokens={"t": "rita"},
    )
    assert [(violation.setting, violation.fatal) for violation in found] == [
        ("JupyterHub.load_roles (`admin`)", False),
        ("JupyterHub.services (`bot`)", False),
        ("JupyterHub.api_tokens", False),
    ]
