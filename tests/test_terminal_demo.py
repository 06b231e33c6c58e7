"""The terminal demonstration is a cast that players read, and shows what the commands of today are."""

from __future__ import annotations

import json
import shlex

import click

from aizen_hub.cli.main import cli
from tests.terminal_demo import CAST, STEPS


def test_the_cast_shows_the_steps_in_order() -> None:
    header, *events = [json.loads(line) for line in CAST.read_text(encoding="utf-8").splitlines()]
    assert header["version"] == 2
    times = [at for at, kind, _ in events if kind == "o"]
    assert times == sorted(times)
    shown = "".join(text for _, _, text in events)
    position = 0
    for step in STEPS:
        position = shown.find(f"aizen-hub {step.line}", position)
        assert position >= 0, step.line
    assert "127.0.0.1" not in shown
    assert "\r\nyes\r\n" in shown
    assert shown.rstrip().rpartition("\r\nno\r\n")[2].count("aizen-hub ") == 0, "the last answer is a refusal"


def test_the_steps_are_commands_of_today() -> None:
    for step in STEPS:
        name, *arguments = shlex.split(step.line)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        command.make_context(name, arguments)
