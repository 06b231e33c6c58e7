"""Remedies name actions of what shows them: a notebook its commands, the command line its own, a page neither."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from aizen_hub import wording
from aizen_hub.accounts.command_handlers import HANDLERS
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.main import cli
from aizen_hub.problems import NotFound
from aizen_hub.wording import Interface, Wording, request_role

ROLE = request_role("PROJECT_READER", "churn")
WORDINGS = {name: value for name, value in vars(wording).items() if isinstance(value, Wording)} | {"role": ROLE}
QUOTED = re.compile(r"`([^`]+)`")
pytestmark = pytest.mark.proves("R144")


@pytest.mark.parametrize("name", WORDINGS)
def test_the_command_line_names_commands_that_it_has(name: str) -> None:
    for quoted in QUOTED.findall(WORDINGS[name].command_line):
        if not quoted.startswith("aizen-hub "):
            assert quoted in {"--project", "--last", "last", "Idempotency-Key", "%aizen help", "GET /api/v1/jobs"}
            continue
        command: click.Command = cli
        for word in quoted.split()[1:]:
            if isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                assert found is not None, quoted
                command = found
        assert not isinstance(command, click.Group), quoted


@pytest.mark.parametrize("catalog", ["aizen", "aihub", "xat", "zenml"])
@pytest.mark.parametrize("name", WORDINGS)
def test_a_notebook_names_commands_of_its_catalog(name: str, catalog: str) -> None:
    loaded, text = load_catalog(catalog), WORDINGS[name]
    handlers = re.findall(r"\{(\w+)\}", text.notebook)
    assert set(handlers) <= set(HANDLERS)
    for quoted in QUOTED.findall(text.for_interface(Interface.NOTEBOOK, loaded.command_with_handler)):
        words = quoted.split(" <")[0]
        # `request` is a question of the notebook itself, the same with every catalog.
        assert words.startswith(("%aizen ", "request ")) or loaded.find_command(words) is not None


@pytest.mark.parametrize("name", WORDINGS)
def test_a_page_names_no_command(name: str) -> None:
    assert "`" not in WORDINGS[name].web
    assert "{" not in WORDINGS[name].web


def test_a_command_that_the_catalog_calls_otherwise_is_named_as_it_is_called() -> None:
    def names(handler: str) -> str | None:
        return {"list_users": "user list"}.get(handler)

    assert wording.LIST_USERS == "`list users` shows who is registered"
    assert wording.LIST_USERS.for_interface(Interface.NOTEBOOK, names) == "`user list` shows who is registered"
    assert wording.LIST_PROJECTS.for_interface(Interface.NOTEBOOK, names) == wording.LIST_PROJECTS.web


def test_text_before_a_wording_is_the_same_for_all() -> None:
    def all_texts(text: Wording) -> Iterator[str]:
        return (text.for_interface(interface, lambda handler: handler) for interface in Interface)

    assert [text[:9] for text in all_texts(ROLE.after("ask `a`, "))] == ["ask `a`, "] * 3


def test_a_problem_is_put_into_words_once() -> None:
    problem = NotFound("no", remedy=wording.LIST_USERS)
    problem.word_for(Interface.COMMAND_LINE, lambda handler: None)
    problem.word_for(Interface.WEB, lambda handler: None)
    assert problem.to_json()["remedy"] == "`aizen-hub user list` shows who is registered"
