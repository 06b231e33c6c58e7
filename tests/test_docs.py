"""Documents agree with the code: snippets work, files under ``deploy/`` load, links and named files exist."""

from __future__ import annotations

import ast
import configparser
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
from aizen_hub.cli.commands.machine.init import HUB_CONFIG, example
from aizen_hub.cli.main import cli
from aizen_hub.settings import Settings
from tests.screenshots.pictures import IMAGES, PICTURES
from tests.terminal_demo import CAST

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEPLOYED = [
    path
    for path in sorted((ROOT / "deploy").rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(".pyc")
]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(path for path in DEPLOYED if path.suffix == ".md"),
]
INSTRUCTIONS = {
    *("FROM", "ARG", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "CMD", "ENTRYPOINT"),
    *("HEALTHCHECK", "LABEL"),
}
PRODUCTION = "https://hub.example.org"
"""The address of a hub for which `init` writes no setting that weakens a protection."""
FOUR_SYSTEMS = ROOT / "docs" / "explanation" / "catalogs.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def snippets(language: str) -> list[object]:
    return [
        pytest.param(body, id=f"{document.relative_to(ROOT)}-{number}")
        for document in DOCUMENTS
        for number, (kind, body) in enumerate(FENCE.findall(document.read_text(encoding="utf-8")), 1)
        if kind == language
    ]


def parse_arguments(argv: list[str]) -> None:
    """Parse the arguments of ``aizen-hub`` without running the command."""
    command: click.Command = cli
    context = click.Context(cli, info_name="aizen-hub")
    while isinstance(command, click.Group):
        _, subcommand, argv = command.resolve_command(context, argv)
        assert subcommand is not None
        command, context = subcommand, click.Context(subcommand, parent=context)
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
    of_kustomize = {"namespace", "resources", "images", "configMapGenerator", "components", "patches"}
    if data.keys() & of_kustomize:  # not ours
        assert data.keys() <= of_kustomize
        return
    if "config" in data.get("hub", {}):  # values of a chart: deploy/test_kubernetes.py
        return
    if "providers" in data:
        # A snippet shows one provider; the admin then comes from there.
        data.setdefault("admin_user", f"{data['providers'][0]['name']}:admin")
    file = tmp_path / "aizen.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert Settings.load(file, {}).providers


def test_every_kind_of_snippet_is_tested() -> None:
    kinds = {kind for document in DOCUMENTS for kind, _ in FENCE.findall(document.read_text(encoding="utf-8"))}
    assert kinds <= {"yaml", "python", "sh", "text", ""}, "add a test for the new kind"


@pytest.mark.parametrize("body", snippets("python"))
def test_python_of_the_documents(body: str) -> None:
    ast.parse(body)
    if "configure(" in body:
        assert set(body.splitlines()) <= {line.partition("  #")[0] for line in HUB_CONFIG.splitlines()}


@pytest.mark.parametrize("body", snippets("sh"))
def test_shell_lines_of_the_documents(body: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for shown in body.splitlines():
        line = re.sub(r"^[A-Z_]+=\$\((.*)\)$", r"\1", shown)
        words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"[A-Z_]+=.*", word)]
        if words[:1] == ["sudo"]:
            del words[0]
        if words[:1] == ["make"]:
            assert words[1] in targets, line
        elif words and Path(words[0]).name == "aizen-hub":
            parse_arguments(words[1:])
        elif words[:1] == ["install"]:
            # Folders, and what `init` wrote, are on the machine only.
            is_of_machine = "-d" in words or words[-2].startswith("/etc/aizen/aizen-data/")
            assert is_of_machine or (ROOT / words[-2]).is_file(), line
        elif words[:1] in (["systemctl"], ["journalctl"], ["systemd-analyze"]):
            units = [word for word in words if word.endswith(".service")]
            assert all((ROOT / "deploy" / "systemd" / unit).is_file() for unit in units), line
        elif words[:1] in (["helm"], ["kubectl"]):
            named = [word.rpartition("=")[2] for word in words if "deploy/" in word]
            assert all((ROOT / path).is_file() for path in named), line
            command = words[words.index("--") + 1 :] if "--" in words else []
            if command[:1] in (["cat"], ["rm"]):
                assert f"--new-file {command[1]}" in body, line
            elif command:
                assert command[0] == "aizen-hub", line
                parse_arguments(command[1:])
        elif words[:1] == ["umask"]:
            assert words[1] == "077", line
        elif words[:1] == ["printf"]:
            # A builtin of the shell: no other account sees its arguments.
            assert words[words.index("|") + 1] == "kubectl", line
        elif words[:1] == ["tljh-config"]:
            assert words[1] in {"reload", "remove-item", "set"}, line
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file(), line
        elif words[:1] in (["createdb"], ["psql"]):
            # The table of the checkpoints, whose script tests run on a real server.
            assert words[-1] == "aizen_checkpoints", line
            named = [word for word in words if word.endswith(".sql")]
            assert all((ROOT / "deploy" / "postgresql" / name).is_file() for name in named), line
        else:
            is_other_program = (
                not words
                or words[0] in {"cp", "docker", "echo", "export", "pip", "jupyterhub", "python3", "sed", "useradd"}
                or words[0].startswith("/")
            )
            assert is_other_program, f"no check for this line: {line}"


def test_the_readme_is_short() -> None:
    """The README says what it is and where to read on; all else is in docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_an_invalid_line_is_found() -> None:
    with pytest.raises(click.UsageError):
        parse_arguments(["can-i", "--no-such-option"])


def test_links_have_a_target() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_pictures_are_small_and_shown() -> None:
    """The pictures are those that `make screenshots` takes, each is in a document, and a clone stays small."""
    sizes = {path.name: path.stat().st_size for path in IMAGES.iterdir()}
    assert sizes.keys() == {*(f"{picture.name}.webp" for picture in PICTURES), CAST.name}
    assert [name for name, size in sizes.items() if size >= 120_000] == []
    assert sum(sizes.values()) < 600_000
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    shown = re.findall(r"[(\"](?:docs/)?images/([\w.-]+)[)\"]", text)
    assert set(shown) == sizes.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    """Paths in code spans are relative to the repository, to the package or to a folder that the documents name."""
    bases = (ROOT, ROOT / "aizen_hub", ROOT / "aizen_hub" / "service", ROOT / "tests", document.parent)
    named = re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)+\.(?:py|md|html|json|yaml))`", document.read_text(encoding="utf-8"))
    missing = [path for path in named if not any((base / path).is_file() for base in bases)]
    assert [path for path in missing if path not in ("aizen_hub/a/b.py", "tests/a/test_b.py")] == []


def test_the_architecture_names_what_exists() -> None:
    """Identifiers in the code spans of the architecture occur in the code."""
    code = "\n".join(
        path.read_text(encoding="utf-8") for folder in ("aizen_hub", "tests") for path in (ROOT / folder).rglob("*.py")
    )
    words = set(re.findall(r"\w+", code))
    prose = re.sub(r"^```.*?^```", "", ARCHITECTURE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = {name for span in re.findall(r"`([^`]+)`", prose) for name in re.findall(r"[A-Za-z_]\w+", span)}
    identifiers = {name for name in named if "_" in name.strip("_") or re.search(r"[a-z][A-Z]", name)}
    files = {path.stem for path in (ROOT / "aizen_hub").rglob("*")} | {
        path.stem for path in (ROOT / "tests").rglob("*")
    }
    assert identifiers - words - files == set()


def test_every_package_is_in_the_architecture() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "aizen_hub").glob("*/__init__.py")}
    assert {package for package in packages if f"| `{package}/` |" not in text} == set()


def test_the_example_configuration_equals_what_init_writes() -> None:
    assert (ROOT / "aizen.yaml").read_text(encoding="utf-8") == example()
    assert (ROOT / "jupyterhub_config.py").read_text(encoding="utf-8") == HUB_CONFIG


# Prose in the example begins with a capital letter; a comment that begins with a key is YAML that is commented out.
COMMENTED = re.compile(r"^( *)# ((?: *(?:- )?[a-z_]+:(?: .*)?| *# .*))$", re.MULTILINE)


def complete_example() -> dict[str, Any]:
    """Return the example with everything that is commented out."""
    data: dict[str, Any] = yaml.safe_load(COMMENTED.sub(r"\1\2", example(PRODUCTION)))
    return data


def settings_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the dotted path of every key of the settings, with its field."""
    for name, field in model.model_fields.items():
        yield prefix + name, field
        for annotation in {field.annotation, *get_args(field.annotation)}:
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from settings_keys(annotation, f"{prefix}{name}.")


def values_at(data: Any, path: str) -> list[Any]:
    """Return the values at a dotted path, in each element of lists on the way; none where the key is missing."""
    values = [data]
    for key in path.split("."):
        items = [item for value in values for item in (value if isinstance(value, list) else [value])]
        values = [item[key] for item in items if isinstance(item, dict) and key in item]
    return values


@pytest.mark.parametrize(
    ("path", "field"), list(settings_keys(Settings)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_example_shows_every_key_and_its_default(path: str, field: FieldInfo) -> None:
    values = values_at(complete_example(), path)
    assert values, f"explain `{path}` in cli/example.yaml; it may be commented out"
    default = field.get_default(call_default_factory=True)
    sections = isinstance(default, BaseModel) or path in (
        "providers",
        "providers.config",
        "providers.label",
        "further_hubs",
    )
    if not (field.is_required() or default is None or sections):
        json_default = json.loads(json.dumps(default, default=str))
        assert all(value == json_default for value in values), path


def test_the_example_is_valid_as_written_and_with_all_comments_enabled(tmp_path: Path) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_text(example(PRODUCTION), encoding="utf-8")
    plain = Settings.load(file, {})
    file.write_text("{}", encoding="utf-8")
    assert plain == Settings.load(file, {}), "the lines that are not commented out are the default too"
    of_service = complete_example()
    of_further_hub = {"panel_url": of_service.pop("panel_url"), "service": {**of_service["service"], "managed": False}}
    file.write_text(yaml.safe_dump(of_further_hub), encoding="utf-8")
    assert Settings.load(file, {}).is_further_hub
    file.write_text(yaml.safe_dump(of_service), encoding="utf-8")
    whole = Settings.load(file, {})
    assert [provider.kind for provider in whole.providers] == ["local", "ldap", "oidc"]
    assert (whole.hub_secret_file, whole.key_encryption_file) == (plain.hub_secret_path, plain.key_encryption_path)
    assert whole.checkpoint_file == plain.checkpoint_path


def test_the_document_counts_the_roles_of_each_catalog() -> None:
    lines = FOUR_SYSTEMS.read_text(encoding="utf-8").splitlines()
    rows = {cells[1].strip(): cells[2:-1] for line in lines if len(cells := line.split("|")) == 7}
    for name, cell in zip(rows["catalog"], rows["built-in roles"], strict=True):
        number, _, rest = cell.strip().partition(":")
        roles = load_catalog(name.strip(" `")).roles
        assert ("two", "three", "four", "five", "twelve").index(number) == (2, 3, 4, 5, 12).index(len(roles)), cell
        assert all(role in roles for role in re.findall(r"\b[A-Z]\w+", rest) if name.strip(" `") == "xat")


def test_the_document_names_the_role_of_a_project_creator() -> None:
    lines = FOUR_SYSTEMS.read_text(encoding="utf-8").splitlines()
    (cells,) = [line.split("|")[2:-1] for line in lines if line.startswith("| creator of a project |")]
    for name, cell in zip(("aizen", "aihub", "xat", "zenml"), cells, strict=True):
        catalog = load_catalog(name)
        assert str(catalog.creator_role) in cell, name
        removers = catalog.creator_role_removers
        assert all(role in cell for role in removers) if removers else "not deletable" in cell, name


def test_the_document_states_what_new_users_get() -> None:
    for name, stated in (("aizen", "nothing"), ("aihub", "`users`"), ("xat", "nothing"), ("zenml", "`admin`")):
        default_groups = [group for group in load_catalog(name).default_groups if group.includes_new_users]
        assert bool(default_groups) is (stated != "nothing")
        assert all(stated.strip("`") in (group.name, *group.roles) for group in default_groups)
        assert stated in next(
            line for line in FOUR_SYSTEMS.read_text(encoding="utf-8").splitlines() if "new users get" in line
        )


def test_the_overlay_in_the_catalog_of_zenml_works(tmp_path: Path) -> None:
    text = (ROOT / "aizen_hub" / "catalogs" / "zenml.yaml").read_text(encoding="utf-8")
    (overlay,) = re.findall(r"`(default_groups: .*)`", text)
    file = tmp_path / "overlay.yaml"
    file.write_text(overlay + "\n", encoding="utf-8")
    (everyone,) = load_catalog("zenml", [file]).default_groups
    assert (everyone.includes_new_users, everyone.roles) == (True, ("guest",))


def test_every_kind_of_example_file_has_a_loader() -> None:
    assert {path.suffix for path in DEPLOYED} <= set(LOADERS), "add a loader for the new kind of file"


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_under_deploy_load(path: Path) -> None:
    LOADERS[path.suffix](path)


def _yaml(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.name == "aizen.yaml":
        Settings.load(path, {})
    assert data


def _unit(path: Path) -> None:
    configparser.ConfigParser(interpolation=None).read_string(path.read_text(encoding="utf-8"))


def _shell(path: Path) -> None:
    subprocess.run(["sh", "-n", str(path)], check=True)


def _dockerfile(path: Path) -> None:
    words = {line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line and line[0].isupper()}
    assert "FROM" in words
    assert words <= INSTRUCTIONS


def _sql(path: Path) -> None:
    """Only that each statement ends: `tests/fixtures/databases/checkpoint_database.py` runs it on a real server."""
    assert path.read_text(encoding="utf-8").rstrip().endswith(";")


LOADERS: dict[str, Callable[[Path], object]] = {
    ".sql": _sql,
    ".py": lambda path: ast.parse(path.read_text(encoding="utf-8")),
    ".service": _unit,
    ".conf": _unit,
    ".yaml": _yaml,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".toml": lambda path: tomllib.loads(path.read_text(encoding="utf-8")),
    ".sh": _shell,
    ".Dockerfile": _dockerfile,
    "": _dockerfile,
    ".md": lambda path: path.read_text(encoding="utf-8"),
}
