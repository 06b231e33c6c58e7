"""Protected roles change hands with confirmation, or after a fresh sign-in."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aizen_hub.accounts import command_handlers as carry_out
from aizen_hub.problems import Problem
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from aizen_hub.store.actor import Road
from tests.accounts.harness import House


@pytest.mark.parametrize("road", [Road.KERNEL, Road.CLI])
@pytest.mark.proves("R77")
def test_a_protected_role_waits_for_confirmation(town: House, road: Road) -> None:
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"], "username": "Tim"}])
    answer = town.run("admin", "alter users u", files={"u": text}, road=road)
    assert answer.pending
    assert town.roles_of("tim") == set()
    for who, how in (
        ("paul", {}),  # not entitled
        ("admin", {"road": Road.KERNEL}),  # not the panel
        ("admin", {"road": Road.CLI}),
        ("admin", {"fresh_until": None}),  # no fresh sign-in
        ("admin", {"acting": Identity.user("zoe")}),
    ):
        with pytest.raises(Problem):
            town.do(town.actor(who, **how), carry_out.confirm, answer.pending)  # type: ignore[arg-type]
    assert town.roles_of("tim") == set()
    town.do("admin", carry_out.confirm, answer.pending)
    assert town.roles_of("tim") == {"AIZEN_ADMIN"}
    with pytest.raises(Problem, match="confirmed already"):
        town.do("admin", carry_out.confirm, answer.pending)
    assert "Tim" not in str(town.state()["pending"])


@pytest.mark.proves("R77")
def test_in_the_panel_a_protected_role_needs_a_fresh_sign_in(town: House) -> None:
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    problem = town.refused("admin", "alter users u", files={"u": text}, fresh_until=None)
    assert problem.more["reason"] == "fresh-login-required"
    problem = town.refused("admin", "alter users u", files={"u": text}, fresh_until=town.now())
    assert problem.more["reason"] == "fresh-login-required"
    town.run("admin", "alter users u", files={"u": text})
    assert town.roles_of("tim") == {"AIZEN_ADMIN"}


def test_what_a_locked_or_deleted_asker_left_waiting_is_dead(town: House) -> None:
    town.give("AIZEN_ADMIN", SYSTEM, "olga")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    answer = town.run("olga", "alter users u", files={"u": text}, road=Road.KERNEL)
    removal = json.dumps([{"id": "olga", "roles": []}])
    town.run("admin", "alter users u", files={"u": removal})
    with town.reading() as tx:
        assert tx.roles
    town.give("PROJECT_ADMIN", "p2", "tim")
    assert town.run("admin", "delete user olga").data["deleted"] == ["olga"]
    with pytest.raises(Problem, match="rejected already"):
        town.do("admin", carry_out.confirm, answer.pending)


def test_confirmation_can_be_switched_off(make_house: Callable[..., House]) -> None:
    house = make_house(confirm_protected=False)
    house.people("tim")
    text = json.dumps([{"id": "tim", "roles": ["AIZEN_ADMIN"]}])
    assert house.run("admin", "alter users u", files={"u": text}, road=Road.KERNEL).pending is None
    assert house.roles_of("tim") == {"AIZEN_ADMIN"}
