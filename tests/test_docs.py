"""What the documents show works: every snippet and every file under ``deploy/`` is loaded here."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml

from aizen_hub.cli.main import cli
from aizen_hub.cli.setup import HUB_CONFIG, example
from aizen_hub.settings import Settings

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEPLOYED = [
    path
    for path in sorted((ROOT / "deploy").rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(".pyc")
]
DEFAULTS = set(Settings.model_fields) - {"database", "default_provider"}
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *(path for path in DEPLOYED if path.suffix == ".md")]


def snippets(language: str) -> list[object]:
    return [
        pytest.param(body, id=f"{document.relative_to(ROOT)}-{number}")
        for document in DOCUMENTS
        for number, (kind, body) in enumerate(FENCE.findall(document.read_text(encoding="utf-8")), 1)
        if kind == language
    ]


def understand(argv: list[str]) -> None:
    """Let the command line parse words as it would before it acts on them."""
    command: click.Command = cli
    context = click.Context(cli, info_name="aizen-hub")
    while isinstance(command, click.Group):
        _, found, argv = command.resolve_command(context, argv)
        assert found is not None
        command, context = found, click.Context(found, parent=context)
    command.make_context(command.name, list(argv), parent=context.parent)


@pytest.mark.parametrize("body", snippets("yaml"))
def test_yaml_of_the_documents(body: str, tmp_path: Path) -> None:
    data = yaml.safe_load(body)
    assert isinstance(data, dict)
    if "assertions" in data:
        file = tmp_path / "access.policy.yaml"
        file.write_text(body, encoding="utf-8")
        from click.testing import CliRunner

        assert CliRunner().invoke(cli, ["policy", "test", str(file)], standalone_mode=False).return_value == 0
        return
    if "providers" in data:
        # A snippet shows one provider; the admin then comes from there.
        data.setdefault("admin_user", f"{data['providers'][0]['name']}:somebody")
    file = tmp_path / "aizen.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert Settings.load(file, {}).providers


def test_every_snippet_is_of_a_kind_that_is_tried() -> None:
    kinds = {kind for document in DOCUMENTS for kind, _ in FENCE.findall(document.read_text(encoding="utf-8"))}
    assert kinds <= {"yaml", "python", "sh", "text", ""}, "give the new kind a test here"


@pytest.mark.parametrize("body", snippets("python"))
def test_python_of_the_documents(body: str) -> None:
    ast.parse(body)
    if "configure(" in body:
        assert set(body.splitlines()) <= {line.partition("  #")[0] for line in HUB_CONFIG.splitlines()}


@pytest.mark.parametrize("body", snippets("sh"))
def test_shell_lines_of_the_documents(body: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in body.splitlines():
        words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=.*", word)]
        if words[:1] == ["make"]:
            assert words[1] in targets, line
        elif words[:1] == ["aizen-hub"]:
            understand(words[1:])
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file(), line
        else:
            foreign = not words or words[0] in {"cp", "export", "pip", "jupyterhub"} or words[0].startswith("/")
            assert foreign, f"who checks this line? {line}"


def test_a_wrong_line_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        understand(["can-i", "--no-such-option"])


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_example_configuration_is_the_one_that_init_writes() -> None:
    assert (ROOT / "aizen.yaml").read_text(encoding="utf-8") == example()
    assert (ROOT / "jupyterhub_config.py").read_text(encoding="utf-8") == HUB_CONFIG


def test_what_the_example_shows_as_default_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_text(example(), encoding="utf-8")
    plain = Settings.load(file, {})
    shown = re.findall(r"^# ([a-z_]+: .+)$", example(), re.MULTILINE)
    data = {key: value for line in shown for key, value in yaml.safe_load(line).items() if key in DEFAULTS}
    assert len(data) >= 7, "the example no longer shows what this test reads"
    defaults = plain.model_dump(mode="json")
    for key, value in data.items():
        found = {name: defaults[key][name] for name in value} if isinstance(value, dict) else defaults[key]
        assert found == value, key


def test_every_example_file_is_checked() -> None:
    assert {path.suffix for path in DEPLOYED} <= set(LOADERS), "add a loader for the new kind of file"


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_under_deploy_load(path: Path) -> None:
    LOADERS[path.suffix](path)


def _yaml(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.name == "aizen.yaml":
        Settings.load(path, {})
    assert data


def _shell(path: Path) -> None:
    subprocess.run(["sh", "-n", str(path)], check=True)


LOADERS: dict[str, Callable[[Path], object]] = {
    ".py": lambda path: ast.parse(path.read_text(encoding="utf-8")),
    ".yaml": _yaml,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".toml": lambda path: tomllib.loads(path.read_text(encoding="utf-8")),
    ".sh": _shell,
    ".md": lambda path: path.read_text(encoding="utf-8"),
}
