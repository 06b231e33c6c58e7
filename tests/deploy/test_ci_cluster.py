"""How ``.ci/cluster`` builds the program, with a program in place of Go."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GO = """#!/bin/sh
case $1 in
env) echo "{version}" ;;
list) {list} ;;
build) {build} ;;
esac
"""
WRITE = 'while [ "$1" != -o ]; do shift; done; echo program > "$2"; chmod 755 "$2"'
NO_PROXY = 'echo "go: example.org/x@v1: dial tcp: connection refused" >&2; exit 1'


def build(folder: Path, *, version: str = "go1.30.1", modules: str = "exit 0", program: str = WRITE) -> tuple[int, str]:
    """Build in a folder; return the status and what is said."""
    path = folder / "bin" / "go"
    path.parent.mkdir(exist_ok=True)
    path.write_text(GO.format(version=version, list=modules, build=program), encoding="utf-8")
    path.chmod(0o755)
    done = subprocess.run(
        [".ci/cluster", str(folder / "cache" / "program")],
        cwd=ROOT,
        env={"PATH": f"{path.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_a_program_is_built_once(tmp_path: Path) -> None:
    status, said = build(tmp_path)
    assert status == 0
    assert said.startswith("building Kubernetes v1.")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["program"]
    assert build(tmp_path, program="exit 1") == (0, "")


@pytest.mark.parametrize(
    ("version", "modules", "reason"),
    [
        ("", "exit 0", "no Go on the search path"),
        ("go1.9.7", "exit 0", "Go 1.9 is on the search path; the cluster's program needs Go 1.24"),
        ("go1.24", NO_PROXY, "cannot be fetched: go: example.org/x@v1: dial tcp: connection refused"),
    ],
)
def test_a_machine_that_cannot_build_it_is_told_apart(tmp_path: Path, version: str, modules: str, reason: str) -> None:
    status, said = build(tmp_path, version=version, modules=modules)
    assert status == 3
    assert reason in said.splitlines()[-1]
    assert not (tmp_path / "cache" / "program").exists()


def test_a_program_that_does_not_compile_is_a_defect(tmp_path: Path) -> None:
    status, said = build(tmp_path, program="echo main.go:5: undefined >&2; exit 1")
    assert status == 1
    assert "undefined" in said
