"""``aizen-hub policy test`` and ``apply``: exit codes, JSON Lines, and local checks of assertions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aizen_hub.cli.main import cli
from tests.cli.conftest import RecordingServer

DATA = Path(__file__).parents[2] / "data"
FILES = sorted(DATA.glob("*.policy.yaml"))
GOOD = """
catalog: {roles: {editor: {permissions: [read, write]}}, commands: []}
groups: {ops: ["user:u1"], everyone: ["group:ops", "user:u2"]}
projects: [p1]
assignments:
  - {role: editor, scope: p1, identity: "group:ops", until: 2027-01-01T00:00:00Z}
assertions:
  - {identity: "user:u1", scope: p1, permission: "write:model", at: 2026-12-01T00:00:00Z, expect: allow}
  - {identity: "user:u1", scope: p1, permission: "write:model", at: 2027-01-01T00:00:00Z, expect: deny}
  - {identity: "user:u2", scope: p1, permission: "read:model", at: 2026-12-01T00:00:00Z, expect: deny}
"""


def run(file: Path, *options: str) -> tuple[int, Result]:
    answer = CliRunner().invoke(cli, ["policy", "test", str(file), *options], standalone_mode=False)
    assert answer.exception is None, answer.exception
    return answer.return_value, answer


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_demo_policies_hold(file: Path) -> None:
    status, answer = run(file)
    assert status == 0, answer.output


def test_there_are_demo_policies_of_all_four_systems() -> None:
    assert {"aizen", "aihub", "xat", "zenml"} <= {file.name.partition(".")[0] for file in FILES}


def test_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(GOOD.replace("expect: allow", "expect: deny"))
    status, answer = run(file, "--json")
    assert status == 1
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [(row["index"], row["expected"], row["got"]) for row in rows] == [
        (0, "deny", "allow"),
        (1, "deny", "deny"),
        (2, "deny", "deny"),
    ]
    assert all(set(row) == {"index", "expected", "got", "reason"} and row["reason"] for row in rows)


def test_a_failed_assertion_exits_with_1_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(GOOD)
    assert run(file)[0] == 0
    file.write_text(GOOD.replace("expect: deny", "expect: allow"))
    status, answer = run(file)
    assert status == 1
    assert "assertion 1: expected allow, got deny" in answer.stdout
    assert "1 passed, 2 failed" in answer.stderr


def test_a_file_without_assertions_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(GOOD.partition("assertions:")[0])
    status, answer = run(file)
    assert status == 0
    assert "the file has no assertions" in answer.stderr


@pytest.mark.parametrize(
    "text",
    [
        "assertions: nothing",
        GOOD.replace("role: editor, scope", "role: editr, scope"),
        GOOD.replace("projects: [p1]", "projects: [p1]\nsurprise: 1"),
        GOOD.replace('"user:u1", scope', '"u1", scope'),
        "a: [1\n",
    ],
    ids=["type", "unknown role", "unknown key", "no identity", "no yaml"],
)
def test_an_invalid_file_exits_with_2(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    status, answer = run(file)
    assert status == 2, answer.output
    assert answer.stdout == ""
    assert answer.stderr


OVERLAID = """
catalog: aizen
projects: [p1]
assignments:
  - {role: PROJECT_SCORER, scope: p1, identity: "user:u1"}
"""
ASSERTED = OVERLAID + 'assertions:\n  - {identity: "user:u1", scope: p1, permission: "write:model", expect: %s}\n'


@pytest.fixture
def policy_server(recording_server: RecordingServer) -> RecordingServer:
    """A server whose operations have succeeded as soon as they are started."""
    result = {"kind": "message", "message": "done", "data": {}}
    recording_server.answer = {"id": "0", "state": "succeeded", "result": result}
    return recording_server


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An ``aizen.yaml`` whose overlay adds a role."""
    (tmp_path / "overlay.yaml").write_text("roles: {PROJECT_SCORER: {scopes: [project], permissions: [write:model]}}\n")
    file = tmp_path / "aizen.yaml"
    file.write_text("overlays: [overlay.yaml]\n")
    return file


def test_without_assertions_the_catalog_is_not_needed(policy_server: RecordingServer, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(OVERLAID)
    answer = policy_server.run("policy", "apply", str(file), "--yes")
    assert answer.return_value == 0, answer.output
    ((method, path, body),) = policy_server.requests
    assert (method, path, body["policy"]["assignments"][0]["role"]) == ("POST", "policy", "PROJECT_SCORER")


def test_assertions_are_checked_with_the_overlays_of_the_configuration(
    policy_server: RecordingServer, tmp_path: Path, config: Path
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(ASSERTED % "allow")
    without = policy_server.run("policy", "apply", str(file), "--yes")
    assert without.return_value == 2
    assert "set -c aizen.yaml" in without.stderr
    assert policy_server.requests == []
    answer = policy_server.run("policy", "apply", str(file), "--yes", "-c", str(config))
    assert answer.return_value == 0, answer.output
    assert len(policy_server.requests) == 1
    file.write_text(ASSERTED % "deny")
    assert policy_server.run("policy", "apply", str(file), "--yes", "-c", str(config)).return_value == 1
    assert len(policy_server.requests) == 1, "nothing is applied if an assertion fails"
