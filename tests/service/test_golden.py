"""A sample of the golden table over HTTP: the rows that the engine decides in process."""

from __future__ import annotations

import pytest

from tests.commands.test_golden import command_line, rows
from tests.service.conftest import Driver

HOLDERS = {
    "AIZEN_ADMIN": "boss",
    "PROJECT_CREATOR": "maker",
    "PROJECT_ADMIN": "ada",
    "PROJECT_EXECUTOR": "eve",
    "PROJECT_READER": "rob",
}
SYSTEM_ROLES = {"AIZEN_ADMIN", "PROJECT_CREATOR"}


def sample() -> list[dict[str, str]]:
    """Every fifth row that a session can have: the role's own project, or no project for system roles."""
    possible = [
        row
        for row in rows("golden.csv")
        if row["context"] == "own" or (row["context"] == "none" and row["role"] in SYSTEM_ROLES)
    ]
    return possible[::5]


@pytest.mark.proves("R60", "R71", "R89")
async def test_a_sample_of_the_golden_table_over_http(service: Driver) -> None:
    sessions = {}
    for role, user in HOLDERS.items():
        sessions[role, "own"] = await service.open(user, "p1")
    for role in SYSTEM_ROLES:
        sessions[role, "none"] = await service.open(HOLDERS[role], None, "none")
    catalog, wrong, outcomes = service.context.catalog, [], set()
    chosen = sample()
    assert len(chosen) > 120
    for row in chosen:
        text = command_line(catalog.commands[row["command"]], "p1")
        auth = sessions[row["role"], row["context"]].auth
        answer = await service.call("POST", "/api/v1/decisions", {"command": text}, auth=auth)
        assert answer.status == 200, (row, answer.body)
        decision = answer.json["decision"]
        required = decision["reason"] == "project-required"
        outcome = "allow" if decision["allowed"] else "project-required" if required else "deny"
        outcomes.add(outcome)
        if outcome != row["outcome"]:
            wrong.append((row, decision))
    assert wrong == []
    assert outcomes == {"allow", "deny", "project-required"}


GRANTS = {
    "AIZEN_ADMIN": {"PROJECT_ADMIN"},
    "PROJECT_CREATOR": {"PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER"},
    "PROJECT_ADMIN": {"PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER"},
    "PROJECT_EXECUTOR": set(),
    "PROJECT_READER": set(),
}
REVOKES = {**GRANTS, "PROJECT_CREATOR": set()}


@pytest.mark.proves("R66", "T-04")
async def test_the_grant_table_over_http(service: Driver) -> None:
    sessions = {role: await service.open(user, "p1") for role, user in HOLDERS.items()}
    for grantor, session in sessions.items():
        for role in ("PROJECT_ADMIN", "PROJECT_EXECUTOR", "PROJECT_READER", "AIZEN_ADMIN"):
            granted = await service.command(session, f"grant role {role} to nil")
            assert (granted.status == 200) is (role in GRANTS[grantor]), (grantor, role, granted.body)
            if granted.status != 200:
                # AIZEN_ADMIN can be granted by its holders, after a second user confirmed it.
                confirmed = grantor == role == "AIZEN_ADMIN"
                assert granted.status == (202 if confirmed else 403), (grantor, role, granted.body)
                helper = sessions["PROJECT_ADMIN"]
                if role != "AIZEN_ADMIN":
                    assert (await service.command(helper, f"grant role {role} to nil")).status == 200
            revoked = await service.command(session, f"revoke role {role} from nil")
            assert (revoked.status == 200) is (role in REVOKES[grantor]), (grantor, role, revoked.body)
            if revoked.status != 200 and role != "AIZEN_ADMIN":
                assert (await service.command(sessions["PROJECT_ADMIN"], f"revoke role {role} from nil")).status == 200
