"""Every refusal says where it is explained."""

from __future__ import annotations

import pytest

from aizen_hub.cli.exit_codes import ExitCode, report_problem
from aizen_hub.problems import Denied
from tests.service.conftest import Driver


async def test_a_refused_command_carries_the_address_of_its_explanation(service: Driver) -> None:
    rob = await service.open("rob")
    refused = await service.command(rob, "start training churn")
    assert refused.status == 403
    decision = refused.json["decision"]["id"]
    assert refused.json["why"] == f"/services/aizen/why?decision={decision}"
    allowed = await service.command(rob, "list projects")
    assert "why" not in allowed.json


async def test_a_refused_call_carries_it_too(service: Driver) -> None:
    rob = await service.open("rob")
    body = {"roles": ["PROJECT_READER"], "scope": "p1", "identity": "user:nil"}
    refused = await service.call("POST", "/api/v1/assignments", body, auth=rob.auth)
    assert refused.status == 403
    assert refused.json["why"].endswith(refused.json["decision"]["id"])


@pytest.mark.parametrize("why", ["https://hub.example/services/aizen/why?decision=d1", "x\x1b[2Jy"])
def test_the_command_line_shows_it(why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_problem(Denied("no", extensions={"why": why})) is ExitCode.DENIED
    shown = capsys.readouterr().err
    assert "  why: " in shown
    assert "\x1b" not in shown
