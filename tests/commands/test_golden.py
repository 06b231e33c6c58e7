"""The golden table: every row as a command line, parsed with the catalog and decided by the engine."""

from __future__ import annotations

import csv
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aizen_hub.catalogs.catalog import Catalog, CommandEntry
from aizen_hub.catalogs.grammar import ArgumentKind, FixedWord, NamedArgument, PositionalArgument
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.parser import parse_command
from aizen_hub.problems import CommandSyntaxError, UnknownCommand
from aizen_hub.rbac.assignment import Assignment
from aizen_hub.rbac.decision import Reason
from aizen_hub.rbac.engine import decide
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.rights import compile_rights
from aizen_hub.rbac.role import SYSTEM, ScopeKind

DATA = Path(__file__).parent.parent / "data"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
ME = Identity.user("me")


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def command_line(entry: CommandEntry, project: str) -> str:
    """A line that matches the command's grammar; it names ``project`` if the command has a project argument."""

    def words() -> Iterator[str]:
        for part in entry.syntax.parts:
            match part:
                case FixedWord(word):
                    yield f" {word}"
                case NamedArgument(name, _):
                    yield f",{name}=file.json"
                case PositionalArgument(name, ArgumentKind.FILE):
                    yield " file.json"
                case PositionalArgument(name, _) if name == entry.project_argument:
                    yield f" {project}"
                case PositionalArgument(_, _):
                    yield " someone"

    return entry.name + "".join(words())


@pytest.mark.proves("R59", "R62", "R65", "R89", "T-26", "T-27")
def test_the_golden_table(catalog: Catalog) -> None:
    table = rows("golden.csv")
    assert len(table) == 2295
    mismatches = []
    for row in table:
        role = catalog.roles[row["role"]]
        held_in = SYSTEM if ScopeKind.SYSTEM in role.scopes else "mine"
        project = "foreign" if row["context"] == "other" else "mine"
        current = None if row["context"] == "none" else project
        rights = compile_rights(
            ME,
            active=True,
            paths=(),
            assignments=[Assignment("1", role.name, held_in, ME)],
            roles=catalog.roles,
            member_permissions=catalog.member_permissions,
        )
        command = parse_command(command_line(catalog.commands[row["command"]], project), catalog)
        decision = decide(rights, build_authorization_request(command, current, ME), NOW)
        required = decision.reason is Reason.PROJECT_REQUIRED
        outcome = "allow" if decision.allowed else "project-required" if required else "deny"
        if outcome != row["outcome"]:
            mismatches.append((row, decision))
    assert mismatches == []


@pytest.mark.proves("R89")
def test_the_catalog_is_the_reference(catalog: Catalog) -> None:
    reference = rows("commands.csv")
    assert len(reference) == len(catalog.commands) == 155
    assert len({row["group"] for row in reference}) == 17
    assert [row["command"] for row in reference] == list(catalog.commands)
    for row in reference:
        entry = catalog.commands[row["command"]]
        permission = "(none)" if entry.permission is None else str(entry.permission)
        assert (entry.group, permission, entry.scope) == (row["group"], row["permission"], row["scope"]), entry.name
        if row["least_role"] in catalog.roles:
            assert entry.least_role == row["least_role"], entry.name


@pytest.mark.proves("R86", "R89", "R90", "T-26")
def test_a_thousand_mutated_commands_are_all_refused(catalog: Catalog) -> None:
    rng = random.Random(7)
    command_names = {*catalog.commands, *catalog.aliases}
    verbs = {words.partition(" ")[0] for words in command_names if " " not in words}
    count = 0
    while count < 1_000:
        words = rng.choice(sorted(command_names))
        position = rng.randrange(len(words) + 1)
        mutated = rng.choice(
            (
                words[:position] + rng.choice(string.ascii_letters + "-_.") + words[position:],
                words[:position] + words[position + 1 :],
                words[:position] + words[position:].swapcase(),
                words + "s",
                words.replace(" ", "-"),
            )
        )
        head = " ".join(mutated.split()[:2])
        if head in command_names or mutated.split()[:1] == [] or mutated.split()[0] in verbs:
            continue
        count += 1
        with pytest.raises((UnknownCommand, CommandSyntaxError)):
            parse_command(mutated, catalog)


def test_a_command_is_added_by_one_catalog_line(tmp_path: Path) -> None:
    from aizen_hub.catalogs.loader import load_catalog

    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("commands:\n  - {command: show widget, permission: read:widget}\n", encoding="utf-8")
    extended = load_catalog("aizen", [overlay])
    command = parse_command("show widget w1", extended)
    rights = compile_rights(
        ME, active=True, paths=(), assignments=[Assignment("1", "PROJECT_READER", "p", ME)], roles=extended.roles
    )
    assert decide(rights, build_authorization_request(command, "p", ME), NOW).allowed
