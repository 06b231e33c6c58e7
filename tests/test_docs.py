"""What the documents show works: every snippet and every file under ``deploy/`` is loaded here."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.commands.init import HUB_CONFIG, example
from aizen_hub.cli.main import cli
from aizen_hub.settings import Settings

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEPLOYED = [
    path
    for path in sorted((ROOT / "deploy").rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(".pyc")
]
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


# Prose of the example begins with a capital; what begins with a key is YAML that is commented out.
COMMENTED = re.compile(r"^( *)# ((?: *(?:- )?[a-z_]+:(?: .*)?| *# .*))$", re.MULTILINE)


def shown() -> dict[str, Any]:
    """The example with everything in it that is commented out."""
    data: dict[str, Any] = yaml.safe_load(COMMENTED.sub(r"\1\2", example()))
    return data


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of the settings, with the dotted path by which one would write it."""
    for name, field in model.model_fields.items():
        yield above + name, field
        for one in {field.annotation, *get_args(field.annotation)}:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from keys(one, f"{above}{name}.")


def at(data: Any, path: str) -> list[Any]:
    """What stands at a dotted path, in each element of a list on the way; nothing where the key is missing."""
    found = [data]
    for key in path.split("."):
        inner = [each for one in found for each in (one if isinstance(one, list) else [one])]
        found = [one[key] for one in inner if isinstance(one, dict) and key in one]
    return found


@pytest.mark.parametrize(("path", "field"), keys(Settings), ids=lambda one: one if isinstance(one, str) else "")
def test_the_example_shows_every_key_and_its_default(path: str, field: FieldInfo) -> None:
    found = at(shown(), path)
    assert found, f"say in cli/example.yaml what `{path}` is for; it may be commented out"
    default = field.get_default(call_default_factory=True)
    sections = isinstance(default, BaseModel) or path in ("providers", "providers.config", "providers.label")
    if not (field.is_required() or default is None or sections):
        plain = json.loads(json.dumps(default, default=str))
        assert all(one == plain for one in found), path


def test_the_example_can_be_used_as_it_is_and_with_all_that_it_shows(tmp_path: Path) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_text(example(), encoding="utf-8")
    plain = Settings.load(file, {})
    file.write_text("{}", encoding="utf-8")
    assert plain == Settings.load(file, {}), "what is not commented out is the default too"
    file.write_text(yaml.safe_dump(shown()), encoding="utf-8")
    whole = Settings.load(file, {})
    assert [one.kind for one in whole.providers] == ["local", "ldap", "oidc"]
    assert (whole.hub_secret_file, whole.key_encryption_file) == (plain.hub_secret_path, plain.key_encryption_path)
    assert whole.checkpoint_file == plain.checkpoint_path


def test_the_readme_says_every_variable_that_is_no_key() -> None:
    """What the environment says beside the keys of the settings stands in the README, unless we set it ourselves."""
    own = {"AIZEN_URL", "AIZEN_TOKEN", "AIZEN_TOKEN_FILE", "AIZEN_PROJECT", "AIZEN_INSTANCE", "AIZEN_TEST_KILL_AT"}
    own.add("AIZEN_ADMIN")  # a role
    named = {
        name
        for path in (ROOT / "aizen_hub").rglob("*.py")
        for name in re.findall(r'"(AIZEN_[A-Z]+(?:_[A-Z]+)*)"', path.read_text(encoding="utf-8"))
    }
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {name for name in named - own if name not in readme} == set()


def test_the_readme_counts_the_roles_of_each_catalog() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rows = {cells[1].strip(): cells[2:-1] for line in lines if len(cells := line.split("|")) == 7}
    for name, cell in zip(rows[""], rows["built-in roles"], strict=True):
        number, _, rest = cell.strip().partition(":")
        roles = load_catalog(name.strip(" `")).roles
        assert ("two", "three", "four", "five", "twelve").index(number) == (2, 3, 4, 5, 12).index(len(roles)), cell
        assert all(one in roles for one in re.findall(r"\b[A-Z]\w+", rest) if name.strip(" `") == "xat")


def test_the_readme_says_what_new_users_get() -> None:
    for name, said in (("aizen", "nothing"), ("aihub", "`users`"), ("xat", "nothing"), ("zenml", "`admin`")):
        given = [group for group in load_catalog(name).default_groups if group.joins_new_users]
        assert bool(given) is (said != "nothing")
        assert all(said.strip("`") in (group.name, *group.roles) for group in given)
        assert said in next(line for line in (ROOT / "README.md").read_text().splitlines() if "new users get" in line)


def test_what_the_catalog_of_zenml_says_of_overlays_works(tmp_path: Path) -> None:
    text = (ROOT / "aizen_hub" / "catalogs" / "zenml.yaml").read_text(encoding="utf-8")
    (overlay,) = re.findall(r"`(default_groups: .*)`", text)
    file = tmp_path / "overlay.yaml"
    file.write_text(overlay + "\n", encoding="utf-8")
    (everyone,) = load_catalog("zenml", [file]).default_groups
    assert (everyone.joins_new_users, everyone.roles) == (True, ("guest",))


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
