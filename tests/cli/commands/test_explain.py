"""`aizen-hub explain`: roles, commands, errors and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aizen_hub.cli.commands import explain
from aizen_hub.cli.exit_codes import MEANINGS, ExitCode
from aizen_hub.cli.main import cli
from docs.generator.problems import problem_classes

CATALOG = {
    "roles": [
        {"name": "READER", "description": "reads", "scopes": ["project"], "permissions": ["read"], "limits": {},
         "built_in": True},
    ],
    "commands": [
        {"command": "start training", "description": "Start a training", "grammar": "<name>", "scope": "project",
         "permission": "execute:training"},
    ],
}  # fmt: skip


def test_every_problem_of_the_service_is_explained() -> None:
    assert {cls.slug for cls in problem_classes()} == explain._error_texts().keys()
    assert set(MEANINGS) == set(ExitCode)


@pytest.mark.parametrize("text", ["escalation", "Escalation", "/services/aizen/problems/escalation", "3", "0"])
def test_errors_and_exit_codes(text: str) -> None:
    assert explain.explain_error(text) is not None


@pytest.mark.parametrize("what", ["4", "not-authenticated"])
def test_errors_are_explained_without_a_sign_in(what: str, tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "AIZEN_HUB_URL": None, "AIZEN_HUB_TOKEN": None}
    answer = CliRunner().invoke(
        cli, ["explain", what], env={**environ, "AIZEN_HUB_CONTEXT": None}, standalone_mode=False
    )
    assert answer.exception is None, answer.exception
    answer = CliRunner().invoke(cli, ["explain", "READER"], env={**environ, "AIZEN_HUB_CONTEXT": None})
    assert "the address of the hub is missing" in answer.output


@pytest.mark.parametrize("text", ["8", "-1", "READER", "٣", ""])
def test_what_is_no_error(text: str) -> None:
    assert explain.explain_error(text) is None


def test_roles_and_commands() -> None:
    role = explain.explain_from_catalog(CATALOG, "reader")
    assert role is not None
    assert role["grant_it"] == "aizen-hub grant READER --to NAME --project PROJECT"
    command = explain.explain_from_catalog(CATALOG, "start training churn")
    assert command is not None
    assert command["written"] == "start training <name>"
    assert explain.explain_from_catalog(CATALOG, "stop") is None
