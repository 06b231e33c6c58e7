"""Groups as members of a project users file, in every catalog."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.projects import lifecycle, members
from aizen_hub.accounts.users import bootstrap
from aizen_hub.commands.result import Result
from aizen_hub.problems import BadInput, Escalation
from aizen_hub.rbac.identity import Identity
from tests.accounts.harness import OPERATOR, AccountsHarness, open_harness

CREW = Identity.group("crew")
PAUL = {"id": "paul", "roles": ["PROJECT_ADMIN"]}


@pytest.fixture
def crew(sandbox: AccountsHarness) -> AccountsHarness:
    sandbox.execute(OPERATOR, management.create_group, "crew")
    sandbox.execute(OPERATOR, membership.add_member, "crew", Identity.user("tim"))
    return sandbox


def alter(harness: AccountsHarness, entries: Any) -> Result:
    return harness.run_command("paul", "alter project p1,config=m", files={"m": json.dumps(entries)})


def members_of(harness: AccountsHarness) -> dict[str, list[str]]:
    with harness.read() as tx:
        return {entry["id"]: entry["roles"] for entry in members.list_members(tx, "p1")}


def test_a_group_is_a_member(crew: AccountsHarness) -> None:
    result = alter(crew, [PAUL, {"id": "group:Crew", "roles": ["PROJECT_EXECUTOR"]}])
    assert ["group:crew", "PROJECT_EXECUTOR"] in result.data["granted"]
    assert members_of(crew) == {"paul": ["PROJECT_ADMIN"], "group:crew": ["PROJECT_EXECUTOR"]}
    assert "PROJECT_EXECUTOR" in crew.roles_of("tim", "p1")


def test_an_export_with_groups_is_imported_without_a_change(crew: AccountsHarness) -> None:
    alter(crew, [PAUL, {"id": "group:crew", "roles": ["PROJECT_READER"]}])
    exported = crew.run_command("paul", "exportconfig project p1").data
    assert {"id": "group:crew", "roles": ["PROJECT_READER"], "alerts": []} in exported["members"]
    result = crew.run_command("paul", "importconfig project p1,config=m", files={"m": json.dumps(exported)})
    assert (result.data["granted"], result.data["revoked"]) == ([], [])


def test_a_group_that_is_not_named_stays_and_an_empty_entry_takes_its_roles(crew: AccountsHarness) -> None:
    crew.grant("PROJECT_READER", "p1", CREW)
    alter(crew, [PAUL])
    assert members_of(crew) == {"paul": ["PROJECT_ADMIN"], "group:crew": ["PROJECT_READER"]}
    result = alter(crew, [PAUL, {"id": "group:crew", "roles": []}])
    assert result.data["revoked"] == [["group:crew", "PROJECT_READER"]]
    assert members_of(crew) == {"paul": ["PROJECT_ADMIN"]}


def test_the_role_of_a_mapping_rule_is_not_part_of_the_file(crew: AccountsHarness) -> None:
    crew.grant("PROJECT_READER", "p1", CREW, mapped=True)
    assert "group:crew" not in members_of(crew)
    alter(crew, [PAUL, {"id": "group:crew", "roles": ["PROJECT_EXECUTOR"]}])
    assert crew.roles_of(CREW, "p1") == {"PROJECT_READER", "PROJECT_EXECUTOR"}


def test_every_fault_of_a_group_is_reported(crew: AccountsHarness) -> None:
    entries = [
        {"id": "group:ghosts", "roles": ["PROJECT_READER"]},
        {"id": "group:", "roles": ["PROJECT_READER"]},
        {"id": "group:crew", "alerts": ["training"]},
        {"id": "group:CREW", "roles": ["PROJECT_READER"]},
        {"id": "service-account:robot"},
    ]
    with pytest.raises(BadInput) as caught:
        alter(crew, entries)
    assert [(fault.pointer, fault.detail) for fault in caught.value.faults] == [
        ("/2/alerts", "a group receives no alerts: list them at its members"),
        ("/0/id", "`group:ghosts` is not a group"),
        ("/1/id", "`group:` is not a group"),
        ("/3/id", "`crew` is in the file twice"),
        ("/4/id", "`service-account:robot` is not registered"),
    ]


@pytest.mark.proves("R67")
def test_a_file_grants_nothing_to_an_own_group(crew: AccountsHarness) -> None:
    crew.execute(OPERATOR, membership.add_member, "crew", Identity.user("paul"))
    with pytest.raises(Escalation) as caught:
        alter(crew, [PAUL, {"id": "group:crew", "roles": ["PROJECT_EXECUTOR"]}])
    assert [fault.pointer for fault in caught.value.faults] == ["/1/roles/0"]
    assert "group:crew" not in members_of(crew)


@pytest.fixture(params=["aihub", "xat"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AccountsHarness]:
    harness = open_harness(tmp_path / "data", catalog=request.param)
    harness.execute(OPERATOR, bootstrap.bootstrap_installation, harness.settings)
    harness.register_users("ann")
    yield harness
    harness.close()


def test_a_group_of_the_catalog_is_a_member_at_creation(harness: AccountsHarness) -> None:
    group, role = {"aihub": ("users", "permitted"), "xat": ("Administrators", "Editor")}[harness.catalog.name]
    config = json.dumps([{"id": f"group:{group}", "roles": [role]}])
    harness.execute(OPERATOR, lifecycle.create_project, "p1", config=config, owner=Identity.user("ann"))
    assert harness.roles_of(Identity.group(group.casefold()), "p1") == {role}
