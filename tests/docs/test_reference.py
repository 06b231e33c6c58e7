"""The reference has an entry for everything that is public, and its pages are those that the code gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aizen_hub.audit.event_texts import EVENT_TEXTS
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.cli.main import cli
from aizen_hub.service.routes import routes
from docs.generator.catalogs import CATALOGS
from docs.generator.http_api import api_operations
from docs.generator.metrics import metric_families
from docs.generator.pages import REFERENCE, build_pages
from docs.generator.problems import problem_classes
from docs.generator.settings import read_descriptions, setting_keys

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {path.relative_to(REFERENCE).as_posix(): text for path, text in build_pages().items()}


def test_the_pages_are_those_that_the_code_gives(pages: dict[str, str]) -> None:
    changed = [name for name, text in pages.items() if (REFERENCE / name).read_text(encoding="utf-8") != text]
    assert changed == [], "`make reference` writes them"


def test_every_setting_is_described(pages: dict[str, str]) -> None:
    from aizen_hub.cli.commands.machine.init import example

    described = read_descriptions(example("https://hub.example.org"))
    assert [key for key in setting_keys() if key not in described] == [], "add a comment in cli/example.yaml"
    assert [key for key in setting_keys() if f"`{key}`" not in pages["settings.md"]] == []


def test_every_subcommand_and_its_options_have_an_entry(pages: dict[str, str]) -> None:
    """Walks the commands themselves: the page is made from the names that its generator finds."""
    sections = re.split(r"^## `(aizen-hub[^`]*)`$", pages["command-line.md"], flags=re.MULTILINE)
    entries = dict(zip(sections[1::2], sections[2::2], strict=True))
    found = dict(_subcommands(cli, "aizen-hub"))
    assert len(found) > 100
    assert [name for name in found if name not in entries] == []
    options = {
        (name, option)
        for name, command in found.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
    }
    assert sorted((name, option) for name, option in options if option not in entries[name]) == []


def test_every_route_has_an_entry(pages: dict[str, str]) -> None:
    listed = {f"{method} {path}" for method, path, _ in api_operations()}
    missing = {route.name for route in routes()} - listed
    assert [name for name in listed if f"### `{name}`\n" not in pages["http-api.md"]] == []
    # What is left out are pages for browsers and their forms.
    pages_for_browsers = {route.name for route in routes() if route.browser_page}
    assert missing <= pages_for_browsers


def test_every_event_has_an_entry(pages: dict[str, str]) -> None:
    assert [event for event in EVENT_TEXTS if f"| `{event}` |" not in pages["audit-events.md"]] == []


def test_every_command_and_role_has_an_entry(pages: dict[str, str]) -> None:
    for name in CATALOGS:
        catalog, page = load_catalog(name), pages[f"catalogs/{name}.md"]
        assert [entry.name for entry in catalog.commands.values() if f"| `{entry.usage}` |" not in page] == []
        assert [role for role in catalog.roles if f"| `{role}` |" not in page] == []


def test_every_problem_type_of_the_code_has_an_entry(pages: dict[str, str]) -> None:
    """Types are found in the text of the code too, so that a class in a module that is not imported is not missed."""
    pattern = re.compile(
        r'^ +slug(?:, title, status)? = "([a-z-]+)"|^ +slug: ClassVar\[str\] = "([a-z-]+)"', re.MULTILINE
    )
    named = {one or other for text in _code() for one, other in pattern.findall(text)}
    assert len(named) > 20
    assert [slug for slug in sorted(named) if f"(problem-{slug})=" not in pages["problems.md"]] == []
    assert [cls.slug for cls in problem_classes() if not (cls.__doc__ or "").strip()] == []


def test_every_metric_of_the_dashboard_has_an_entry(pages: dict[str, str]) -> None:
    dashboard = (ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8")
    families = {family.name for family in metric_families()}
    used = set(re.findall(r"aizen_[a-z_]+", dashboard))
    assert len(used) > 10
    unknown = [name for name in used if not any(name.startswith(family) for family in families)]
    assert unknown == []
    assert [name for name in families if f"`{name}" not in pages["metrics.md"]] == []


def test_every_environment_variable_has_an_entry() -> None:
    named = {name for text in _code() for name in re.findall(r'"(AIZEN_[A-Z]+(?:_[A-Z]+)*)"', text)}
    roles = {role for name in CATALOGS for role in load_catalog(name).roles}
    page = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    only_in_tests = {"AIZEN_TEST_KILL_AT"}
    assert [name for name in sorted(named - roles - only_in_tests) if f"| `{name}` |" not in page] == []


def _subcommands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for word in group.list_commands(ctx):
        command = group.get_command(ctx, word)
        assert command is not None
        if not command.hidden:
            yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from _subcommands(command, f"{name} {word}")


def _code() -> Iterator[str]:
    for path in (ROOT / "aizen_hub").rglob("*.py"):
        yield path.read_text(encoding="utf-8")
