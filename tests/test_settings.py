"""``aizen.yaml``: what cannot be used is a sentence, and a relative path is taken from the file's folder (R1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from aizen_hub.settings import ConfigurationError, Settings

NEEDED: dict[str, dict[str, Any]] = {
    "core": {"url": "https://core.example.org"},
    "mail": {"host": "mail.example.org", "sender": "hub@example.org"},
}
"""What a section must have beside the key that a test sets in it."""


def kinds(annotation: Any) -> Iterator[Any]:
    """The plain types in an annotation, whatever it is wrapped in."""
    if get_origin(annotation) is None:
        yield annotation
    for one in get_args(annotation):
        yield from kinds(one)


def path_keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Every key of the settings that holds a path, and whether it holds several."""
    for name, field in model.model_fields.items():
        found = list(kinds(field.annotation))
        if Path in found:
            yield (*above, name), "tuple" in str(field.annotation)
        for one in found:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from path_keys(one, (*above, name))


PATHS = list(path_keys(Settings))


def load(folder: Path, data: Any, environ: dict[str, str] | None = None) -> Settings:
    file = folder / "aizen.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return Settings.load(file, environ or {})


def document(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    *sections, last = keys
    for section in reversed(sections):
        value, last = {**NEEDED.get(section, {}), last: value}, section
    return {last: value}


def test_the_paths_that_are_tried_are_all() -> None:
    found = {".".join(keys) for keys, _ in PATHS}
    assert {"data_dir", "overlays", "core.credential_file", "alerts.mail.password_file"} <= found
    assert len(found) >= 8


@pytest.mark.parametrize(("keys", "several"), PATHS, ids=lambda one: ".".join(one) if isinstance(one, tuple) else "")
def test_a_relative_path_is_taken_from_the_folder_of_the_file(
    tmp_path: Path, keys: tuple[str, ...], several: bool
) -> None:
    for given, wanted in (("secrets/one", tmp_path / "secrets" / "one"), ("/run/one", Path("/run/one"))):
        found: Any = load(tmp_path, document(keys, [given] if several else given))
        for key in keys:
            found = getattr(found, key)
        assert found == ((wanted,) if several else wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("sqlite:///own.sqlite", "sqlite:///{}/own.sqlite"),
        ("sqlite:////srv/own.sqlite", "sqlite:////srv/own.sqlite"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://aizen@db.example.org/aizen", "postgresql+psycopg://aizen@db.example.org/aizen"),
        (None, "sqlite:///{}/aizen-data/aizen.sqlite"),
    ],
)
def test_so_is_the_file_of_a_database(tmp_path: Path, given: str | None, wanted: str) -> None:
    assert load(tmp_path, {"database": given}).database_url == wanted.format(tmp_path)


def test_so_is_the_file_of_a_catalog(tmp_path: Path) -> None:
    assert load(tmp_path, {"catalog": "own.yaml"}).catalog == str(tmp_path / "own.yaml")
    assert load(tmp_path, {"catalog": "xat"}).catalog == "xat"


def test_a_path_from_a_variable_is_taken_from_there_too(tmp_path: Path) -> None:
    assert load(tmp_path, {}, {"AIZEN_DATA_DIR": "elsewhere"}).data_dir == tmp_path / "elsewhere"


@pytest.mark.proves("R1")
@pytest.mark.parametrize("value", ["[1", "a: b: c", "{", "2026-13-45", "'open"])
def test_a_variable_that_is_not_yaml_is_a_sentence_without_its_value(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {}, {"AIZEN_DATABASE": value})
    assert "AIZEN_DATABASE" in str(caught.value)
    assert value not in str(caught.value)


@pytest.mark.proves("R1")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"label: caf\xe9\n", "not UTF-8 at byte 10"),
        (b"a: [1\n", "not YAML"),
        (b"a: 2026-13-45\n", "not YAML"),
        (b"- one\n", "expected `key: value` pairs"),
        (b"1: one\n", "`1`"),
        (b"service:\n", "`service`: expected `key: value` pairs below it"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(file, {})
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.proves("R1")
def test_so_is_one_that_cannot_be_read(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    for file in (tmp_path, loop):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            Settings.load(file, {})
    with pytest.raises(ConfigurationError, match="no such file"):
        Settings.load(tmp_path / "missing.yaml", {})


def test_what_was_sent_is_not_forgotten_while_it_could_be_told_again(tmp_path: Path) -> None:
    assert load(tmp_path, {"alerts": {"expiry_notice_hours": 720}}).alerts.expiry_notice_hours == 720
    with pytest.raises(ConfigurationError, match=r"alerts\.expiry_notice_hours"):
        load(tmp_path, {"alerts": {"expiry_notice_hours": 721}})
