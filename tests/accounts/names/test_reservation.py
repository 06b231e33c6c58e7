"""Reserved names: what the user who wants one is told works."""

from __future__ import annotations

import json

import pytest

from aizen_hub.accounts.names import name_release
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.cli.main import cli
from tests.accounts.harness import AccountsHarness


@pytest.mark.proves("R29", "R31", "R144")
def test_adding_a_user_with_a_reserved_name_says_how_to_release_it(sandbox: AccountsHarness) -> None:
    sandbox.run_command("admin", "delete users zoe")
    files = {"u": json.dumps([{"id": "zoe"}])}
    problem = sandbox.expect_problem("admin", "add users u", files=files)
    (fault,) = problem.faults
    assert "stays reserved" in fault.detail
    assert "`aizen-hub user release zoe`" in fault.detail
    sandbox.execute("admin", name_release.release_name, NameKind.USER, "zoe")
    sandbox.run_command("admin", "add users u", files=files)


@pytest.mark.parametrize("kind", NameKind)
def test_the_command_line_has_the_command_that_the_remedy_names(kind: NameKind) -> None:
    import click

    group = cli.get_command(click.Context(cli), str(kind))
    assert isinstance(group, click.Group)
    assert "release" in group.commands
