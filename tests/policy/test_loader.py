"""The policy file: the demo policies pass, and invalid files are rejected with line and reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import yaml

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.policy.assertions import run_assertions
from aizen_hub.policy.format import json_schema
from aizen_hub.policy.loader import PolicyError, load_policy
from aizen_hub.rbac.identity import Identity

DATA = Path(__file__).parent.parent / "data"
POLICIES = sorted(DATA.glob("*.policy.yaml"))

# The example of the documentation, verbatim.
EXAMPLE = """\
catalog: {roles: {editor: {permissions: [read, write]}}, commands: []}
groups: {ops: ["user:u1"], everyone: ["group:ops", "user:u2"]}
projects: [p1]
assignments:                     # scope: a project, or `system`; `from` and `until` optional; groups nest
  - {role: editor, scope: p1, identity: "group:ops", until: 2027-01-01T00:00:00Z}
assertions:
  - {identity: "user:u1", scope: p1, permission: "write:model", at: 2026-12-01T00:00:00Z, expect: allow}
"""


def write_policy(folder: Path, text: str) -> Path:
    path = folder / "test.policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_the_demo_policies_pass(path: Path) -> None:
    results = run_assertions(path)
    assert len(results) > 20
    assert [result for result in results if not result.passed] == []
    assert {result.actual for result in results} == {"allow", "deny"}


def test_there_is_a_demo_policy_for_each_catalog() -> None:
    catalogs = {load_policy(path).catalog.name for path in POLICIES}
    assert catalogs == {"aizen", "aihub", "xat", "zenml", "local"}


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_a_wrong_expectation_is_reported(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = text.replace("expect: allow", "expect: other").replace("expect: deny", "expect: allow")
    text = text.replace("expect: other", "expect: deny")
    assert not any(result.passed for result in run_assertions(write_policy(tmp_path, text)))


def test_the_documented_example(tmp_path: Path) -> None:
    (result,) = run_assertions(write_policy(tmp_path, EXAMPLE))
    assert list(result.to_json()) == ["index", "expected", "got", "reason"]
    assert result.to_json() == {
        "index": 0,
        "expected": "allow",
        "got": "allow",
        "reason": "role editor in `p1` through `group:ops`",
    }


def test_a_file_without_assertions_has_no_outcomes(tmp_path: Path) -> None:
    assert run_assertions(write_policy(tmp_path, "")) == []
    assert load_policy(write_policy(tmp_path, "")).catalog.name == "aizen"


def test_an_assertion_without_a_time_uses_the_current_time(tmp_path: Path) -> None:
    path = write_policy(tmp_path, EXAMPLE.replace(", at: 2026-12-01T00:00:00Z", ""))
    assert run_assertions(path, now=datetime(2026, 12, 31, tzinfo=UTC))[0].actual == "allow"
    assert run_assertions(path, now=datetime(2027, 1, 1, tzinfo=UTC))[0].actual == "deny"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("colour: red\n", 1, "`colour` is not a known key"),
        ("projects: [p1]\nprojects: [p2]\n", 2, "is also in line 1"),
        ("catalog: aizzen\n", None, "there is no catalog `aizzen`"),
        ("catalog: 3\n", 1, "write the name of a catalog"),
        ("catalog:\n  roles:\n    r: {permissions: [Read]}\n", 3, "`Read` is not a verb or noun"),
        ("catalog:\n  roles: {}\n  rolls: {}\n", 3, "`rolls` is not a known key"),
        ("roles: {PROJECT_READER: {permissions: [read]}}\n", 1, "is one of the catalog"),
        ("\nassignments:\n  - {role: NO_ROLE, identity: 'user:a'}\n", 3, "there is no role `NO_ROLE`"),
        ("assignments:\n  - {role: AIZEN_ADMIN, scope: p, identity: 'user:a'}\n", 2, "cannot be assigned in `p`"),
        ("projects: []\nassignments: [{role: PROJECT_READER, scope: p, identity: 'user:a'}]\n", 2, "no project `p`"),
        ("assignments: [{role: AIZEN_ADMIN, identity: alice}]\n", 1, "write user:NAME, group:NAME or"),
        ("assignments: [{role: AIZEN_ADMIN, identity: 'user:a', until: soon}]\n", 1, "until"),
        ("assignments: [{role: AIZEN_ADMIN, identity: 'user:a', until: 5}]\n", 1, "write a time as"),
        (
            "assertions: [{identity: 'user:a', permission: read, at: 9999-12-31T23:59:59-12:00, expect: deny}]\n",
            1,
            "is out of range",
        ),
        (
            "assertions: [{identity: 'user:a', permission: read, at: '0001-01-01T00:00:00+12:00', expect: deny}]\n",
            1,
            "is out of range",
        ),
        ("projects: [system]\n", 1, "`system` is the scope above all projects"),
        ("assertions: [{identity: 'user:a', expect: allow}]\n", 1, "exactly one of them"),
        ("assertions: [{identity: 'user:a', permission: read, command: plot, expect: deny}]\n", 1, "exactly one"),
        ("assertions: [{identity: 'user:a', permission: read, expect: maybe}]\n", 1, "'allow' or 'deny'"),
        ("- a\n", 1, "expected `key: value` pairs"),
    ],
)
def test_an_invalid_file_is_rejected(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    path = write_policy(tmp_path, text)
    with pytest.raises((PolicyError, ValueError)) as caught:
        load_policy(path)
    assert isinstance(caught.value, ValueError)
    assert line is None or f"{path}:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_without_projects_those_of_the_assignments_exist(tmp_path: Path) -> None:
    path = write_policy(tmp_path, EXAMPLE.replace("projects: [p1]\n", ""))
    assert load_policy(path).projects == {"p1"}
    assert run_assertions(path)[0].actual == "allow"


def test_the_deployed_catalog_is_used_for_its_name(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("commands: [{command: show widget, permission: read:widget}]\n", encoding="utf-8")
    path = write_policy(
        tmp_path,
        "assignments: [{role: PROJECT_READER, scope: p, identity: 'user:a'}]\n"
        "assertions: [{identity: 'user:a', scope: p, command: show widget, expect: allow}]\n",
    )
    assert run_assertions(path)[0].actual == "deny"
    assert run_assertions(path, catalog=load_catalog("aizen", [overlay]))[0].actual == "allow"
    assert run_assertions(path, catalog=load_catalog("xat"))[0].actual == "deny"


@pytest.mark.proves("R64")
@pytest.mark.parametrize(
    "text",
    ["2026-06-01", "2026-06-01T00:00:00", "2026-06-01 00:00:00", "2026-06-01T02:00:00+02:00", "2026-06-01T00:00:00Z"],
)
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_time_without_a_zone_is_utc(tmp_path: Path, text: str, quote: str) -> None:
    path = write_policy(tmp_path, EXAMPLE.replace("2026-12-01T00:00:00Z", f"{quote}{text}{quote}"))
    assert load_policy(path).form.assertions[0].at == datetime(2026, 6, 1, tzinfo=UTC)


def test_deep_groups_and_cycles_are_supported(tmp_path: Path) -> None:
    groups = {f"g{i}": [f"group:g{i + 1}"] for i in range(12)} | {"g12": ["user:u", "group:g0"]}
    text = yaml.safe_dump(
        {
            "catalog": {"roles": {"r": {"permissions": ["read"]}}, "commands": []},
            "groups": groups,
            "projects": ["p"],
            "assignments": [{"role": "r", "scope": "p", "identity": "group:g0"}],
            "assertions": [
                {"identity": "user:u", "scope": "p", "permission": "read:x", "expect": "allow"},
                {"identity": "group:g3", "scope": "p", "permission": "read:x", "expect": "allow"},
            ],
        }
    )
    path = write_policy(tmp_path, text)
    assert all(result.passed for result in run_assertions(path))
    assert len(load_policy(path).rights(Identity.user("u")).groups) == 13


def test_the_schema_accepts_the_demo_policies_and_rejects_a_misspelling() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    for path in POLICIES:
        # JSON has no dates: what YAML reads as one is text there.
        document = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))
        assert list(validator.iter_errors(document)) == [], path.name
    assert list(validator.iter_errors({"asserttions": []}))
    assert list(validator.iter_errors({"catalog": {"rolls": {}}}))
