"""The completion scripts in the shells themselves: commands, options, and names from the service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RecordingServer

BASH = """
eval "$(aizen-hub completion bash)"
registered=$(complete -p aizen-hub)
set -- $registered
while IFS= read -r line; do
    COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    "${registered_function:=$(grep -o '_[a-z_]*completion' <<< "$registered")}" aizen-hub
    printf '%s|' "${COMPREPLY[@]}"
    echo
done
"""
"""What bash does on Tab: it calls the function that was registered, with the line and the place of the cursor."""


@pytest.fixture
def environment(tmp_path: Path, recording_server: RecordingServer) -> dict[str, str]:
    """An environment with a program ``aizen-hub`` of this tree."""
    program = tmp_path / "bin" / "aizen-hub"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom aizen_hub.cli.main import main\nmain()\n")
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "AIZEN_HUB_URL": recording_server.url,
        "AIZEN_HUB_TOKEN": "a made-up token",
        "LC_ALL": "C.UTF-8",
    }


def names(server: RecordingServer, *texts: str) -> None:
    server.answer = {"completions": [{"text": text, "description": "its description"} for text in texts]}


def complete_in_bash(environment: dict[str, str], *lines: str) -> list[list[str]]:
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", BASH],
        input="\n".join(lines) + "\n",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not done.stderr, done.stderr
    return [[item for item in line.split("|") if item] for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
class TestBash:
    def test_commands_and_options(self, environment: dict[str, str]) -> None:
        first, group, option, choice = complete_in_bash(
            environment, "aizen-hub who", "aizen-hub user sh", "aizen-hub grant --proj", "aizen-hub whoami -o y"
        )
        assert first == ["who-can", "whoami"]
        assert group == ["show"]
        assert option == ["--project"]
        assert choice == ["yaml"]

    def test_names_of_the_service(self, environment: dict[str, str], recording_server: RecordingServer) -> None:
        names(recording_server, "churn", "churn-2027")
        after_space, with_equals = complete_in_bash(
            environment, "aizen-hub grant PROJECT_READER --project chu", "aizen-hub whoami --as rita --project=chu"
        )
        assert after_space == with_equals == ["churn", "churn-2027"]
        asked = [path for _, path, _ in recording_server.requests]
        assert asked == ["completions?kind=project&prefix=chu"] * 2

    def test_a_name_after_a_colon_and_one_with_a_blank(
        self, environment: dict[str, str], recording_server: RecordingServer
    ) -> None:
        """Bash replaces only what follows the colon, and takes a bare blank for the end of the word."""
        names(recording_server, "group:data", "group:domain users")
        (found,) = complete_in_bash(environment, "aizen-hub grant PROJECT_READER --to group:d")
        assert found == ["data", "domain\\ users"]
        assert recording_server.requests[-1][1] == "completions?kind=identity&prefix=group%3Ad"

    def test_a_word_with_a_blank_before_the_cursor_is_not_completed(
        self, environment: dict[str, str], recording_server: RecordingServer
    ) -> None:
        names(recording_server, "group:domain users")
        line = "aizen-hub grant PROJECT_READER --to "
        found = complete_in_bash(
            environment, f"{line}group:domain\\ u", f'{line}"group:domain u', f"{line}'a b' --proj"
        )
        assert found == [[], [], ["--project"]]

    def test_an_unreachable_service_completes_nothing(self, environment: dict[str, str]) -> None:
        environment["AIZEN_HUB_URL"] = "http://127.0.0.1:9"
        assert complete_in_bash(environment, "aizen-hub grant X --project chu") == [[]]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish(environment: dict[str, str], recording_server: RecordingServer) -> None:
    names(recording_server, "churn", "churn-2027")
    script = (
        "aizen-hub completion fish | source; complete -C 'aizen-hub user sh'; "
        "complete -C 'aizen-hub whoami --as rita --project chu'"
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["show", "churn", "churn-2027"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh(environment: dict[str, str], recording_server: RecordingServer) -> None:
    """Outside its line editor zsh cannot insert anything: what the function hands to zsh is recorded instead."""
    names(recording_server, "churn", "churn-2027")
    script = """
    compdef() { print registered $1; }
    eval "$(aizen-hub completion zsh)"
    _describe() { print -l -- "${(@P)3}"; }
    compadd() { print -l -- "${@}"; }
    words=(aizen-hub user sh) CURRENT=3
    _aizen_hub_completion
    words=(aizen-hub whoami --as rita --project chu) CURRENT=6
    _aizen_hub_completion
    exit 0
    """
    done = subprocess.run(
        ["zsh", "-f", "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert "registered _aizen_hub_completion" in done.stdout
    for name in ("show", "churn", "churn-2027"):
        assert any(line.split(":")[0] == name for line in done.stdout.splitlines()), done.stdout
