"""Hints for people who know another system."""

from __future__ import annotations

import shlex
import sys

import click
import pytest

from aizen_hub.cli import hints
from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.main import COMMANDS, cli, hint_for, main

PAIRS = list(hints._pairs())


@pytest.mark.parametrize(("typed", "named"), [
    ("auth can-i delete training", "can-i"),
    ("kubectl auth can-i --list", "can-i --list"),
    ("config use-context staging", "context use"),
    ("gcloud projects add-iam-policy-binding churn", "grant ROLE"),
    ("role bind rita", "grant ROLE"),
    ("user disable rita", "user stop"),
    ("list users", "user list"),
    ("create projects churn", "aizen-hub project create"),
    ("get pods", "session list"),
])  # fmt: skip
def test_what_was_typed_names_our_words(typed: str, named: str) -> None:
    hint = hint_for(typed.split())
    assert hint is not None
    assert named in hint


@pytest.mark.parametrize("typed", ["", "user", "user list", "user --help", "can-i x", "frobnicate", "user frobnicate"])
def test_our_own_words_and_unknown_ones_get_none(typed: str) -> None:
    assert hint_for(typed.split()) is None


def test_no_hint_hides_a_command_of_ours() -> None:
    root = click.Context(cli)
    for words, _ in PAIRS:
        command = cli.get_command(root, words[0])
        if isinstance(command, click.Group):
            assert len(words) == 1 or words[1] not in command.commands, words
    assert len({words for words, _ in PAIRS}) == len(PAIRS), "two hints for the same words"


def test_each_hint_names_a_command_that_exists() -> None:
    root = click.Context(cli)
    for _, instead in PAIRS:
        if not instead.startswith("aizen-hub ") or instead == "aizen-hub --version":
            continue
        words = shlex.split(instead.partition(",")[0].partition(";")[0].partition(">")[0])[1:]
        assert words[0] in COMMANDS, instead
        command = cli.get_command(root, words[0])
        if isinstance(command, click.Group):
            assert words[1] in command.commands, instead


@pytest.mark.parametrize(("typed", "named"), [
    ("session list --as rita", "`whoami`"),
    ("request ask X --dry-run", "request withdraw"),
    ("keys list --dry-run", "only commands that change access"),
    ("--v", "aizen-hub --version"),
])  # fmt: skip
def test_an_option_that_a_command_lacks_gets_a_hint(
    typed: str, named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["aizen-hub", *typed.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == ExitCode.USAGE
    assert named in capsys.readouterr().err


def test_option_hints_are_about_commands_that_lack_the_option() -> None:
    for hint in hints._load()["options"]:
        for path in hint.get("commands", ()):
            command: click.Command | None = cli
            for word in path.split():
                assert isinstance(command, click.Group)
                command = command.get_command(click.Context(command), word)
            assert command is not None, path
            assert not any(hint["option"] in option.opts for option in command.params), path
