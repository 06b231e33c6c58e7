"""``aizen.yaml``: readable errors, and relative paths resolved against the folder of the file (R1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from aizen_hub.settings import ConfigurationError, Settings

REQUIRED: dict[str, dict[str, Any]] = {
    "core": {"url": "https://core.example.org"},
    "hub": {"url": "https://hub.example.org", "api_url": "http://hub.example.org:8081/hub/api"},
    "pod_identity": {"namespaces": ["users"]},
    "mail": {"host": "mail.example.org", "sender": "hub@example.org"},
    "further_hubs": {
        "id": "gpu",
        "secret_file": "hub-secret-gpu",
        "api_url": "http://gpu.example.org:8081/hub/api",
        "providers": ["local"],
    },
}
"""Required keys of sections, in addition to the key that a test sets."""
LISTS = {"further_hubs"}
"""Sections that are lists."""


def plain_types(annotation: Any) -> Iterator[Any]:
    """The plain types in an annotation, without wrappers."""
    if get_origin(annotation) is None:
        yield annotation
    for argument in get_args(annotation):
        yield from plain_types(argument)


def path_keys(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Every settings key that is a path, and whether it is a list of paths."""
    for name, field in model.model_fields.items():
        types = list(plain_types(field.annotation))
        if Path in types:
            yield (*prefix, name), "tuple" in str(field.annotation)
        for item in types:
            if isinstance(item, type) and issubclass(item, BaseModel):
                yield from path_keys(item, (*prefix, name))


PATHS = list(path_keys(Settings))


def load(folder: Path, data: Any, environ: dict[str, str] | None = None) -> Settings:
    file = folder / "aizen.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    return Settings.load(file, environ or {})


def document(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    *sections, last = keys
    for section in reversed(sections):
        value, last = {**REQUIRED.get(section, {}), last: value}, section
        if section in LISTS:
            value = [value]
    return {last: value}


def test_all_path_settings_are_tested() -> None:
    names = {".".join(keys) for keys, _ in PATHS}
    assert {"data_dir", "overlays", "core.credential_file", "alerts.mail.password_file"} <= names
    assert len(names) >= 8


@pytest.mark.parametrize(
    ("keys", "several"), PATHS, ids=lambda value: ".".join(value) if isinstance(value, tuple) else ""
)
def test_relative_paths_are_resolved_against_the_folder_of_the_file(
    tmp_path: Path, keys: tuple[str, ...], several: bool
) -> None:
    for given, expected in (("secrets/one", tmp_path / "secrets" / "one"), ("/run/one", Path("/run/one"))):
        database = {}
        if keys[-1].endswith("database_password_file"):
            database = {keys[-1].removesuffix("_password_file"): "postgresql://aizen@db/aizen"}
        value: Any = load(tmp_path, document(keys, [given] if several else given) | database)
        for key in keys:
            value = getattr(value, key)
            if key in LISTS:
                (value,) = value
        assert value == ((expected,) if several else expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqlite:///own.sqlite", "sqlite:///{}/own.sqlite"),
        ("sqlite:////srv/own.sqlite", "sqlite:////srv/own.sqlite"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://aizen@db.example.org/aizen", "postgresql+psycopg://aizen@db.example.org/aizen"),
        (None, "sqlite:///{}/aizen-data/aizen.sqlite"),
    ],
)
def test_the_database_path_is_resolved(tmp_path: Path, given: str | None, expected: str) -> None:
    assert load(tmp_path, {"database": given}).database_url == expected.format(tmp_path)


def test_the_catalog_path_is_resolved(tmp_path: Path) -> None:
    assert load(tmp_path, {"catalog": "own.yaml"}).catalog == str(tmp_path / "own.yaml")
    assert load(tmp_path, {"catalog": "xat"}).catalog == "xat"


def test_a_path_from_a_variable_is_resolved(tmp_path: Path) -> None:
    assert load(tmp_path, {}, {"AIZEN_DATA_DIR": "elsewhere"}).data_dir == tmp_path / "elsewhere"


@pytest.mark.proves("R1")
@pytest.mark.parametrize("value", ["[1", "a: b: c", "{", "2026-13-45", "'open"])
def test_the_error_for_an_invalid_variable_does_not_show_its_value(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {}, {"AIZEN_DATABASE": value})
    assert "AIZEN_DATABASE" in str(caught.value)
    assert value not in str(caught.value)


@pytest.mark.proves("R1")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"label: caf\xe9\n", "not UTF-8 at byte 10"),
        (b"a: [1\n", "not YAML"),
        (b"a: 2026-13-45\n", "not YAML"),
        (b"- one\n", "expected `key: value` pairs"),
        (b"1: one\n", "`1`"),
        (b"service:\n", "`service`: expected `key: value` pairs below it"),
    ],
)
def test_an_invalid_file_has_a_readable_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "aizen.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(file, {})
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.proves("R1")
def test_an_unreadable_file_has_a_readable_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    for file in (tmp_path, loop):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            Settings.load(file, {})
    with pytest.raises(ConfigurationError, match="no such file"):
        Settings.load(tmp_path / "missing.yaml", {})


def test_a_host_of_the_metrics_without_a_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"`metrics`: `host` has no effect without `port`: set `port` too"):
        load(tmp_path, {"metrics": {"host": "10.0.0.1"}})
    assert load(tmp_path, {"metrics": {"host": "10.0.0.1", "port": 9096}}).metrics.host == "10.0.0.1"
    assert load(tmp_path, {"metrics": {}}).metrics.port is None


@pytest.mark.parametrize(
    "section",
    [{}, {"namespaces": []}, {"namespaces": ["*"]}, {"namespaces": ["users*x"]}, {"namespaces": ["Users"]},
     {"namespaces": ["users"], "api_url": "http://api.example.org"}, {"namespaces": ["users"], "audience": "a:b"}],
)  # fmt: skip
def test_a_pod_identity_that_protects_nothing_is_refused(tmp_path: Path, section: dict[str, Any]) -> None:
    """No namespace, all of them, or a token of the service that everyone on the network reads."""
    (tmp_path / "aizen.yaml").write_text(yaml.safe_dump({"pod_identity": section}))
    with pytest.raises(ConfigurationError, match="pod_identity"):
        Settings.load(tmp_path / "aizen.yaml", {})


def test_the_expiry_notice_is_bounded(tmp_path: Path) -> None:
    assert load(tmp_path, {"alerts": {"expiry_notice_hours": 720}}).alerts.expiry_notice_hours == 720
    with pytest.raises(ConfigurationError, match=r"alerts\.expiry_notice_hours"):
        load(tmp_path, {"alerts": {"expiry_notice_hours": 721}})


@pytest.mark.proves("R2")
def test_the_password_of_the_database_stands_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "aizen.yaml").write_text(
        "database: postgresql://aizen@db.example.org:6432/aizen\ndatabase_password_file: database-password\n"
    )
    (tmp_path / "database-password").write_text("p@ss/w ord\n")
    (tmp_path / "database-password").chmod(0o600)
    settings = Settings.load(tmp_path / "aizen.yaml", {})
    assert settings.database_url == "postgresql://aizen:p%40ss%2Fw%20ord@db.example.org:6432/aizen"
    assert "p@ss" not in repr(settings)
    (tmp_path / "database-password").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"`database_password_file`: .* can be read by others"):
        _ = settings.database_url


@pytest.mark.parametrize("key", ["database", "checkpoint_database"])
@pytest.mark.parametrize("database", ["sqlite:///x", "postgresql://a:b@host/name", "postgresql://host/name"])
def test_a_password_file_needs_a_server_and_a_user_without_a_password(tmp_path: Path, database: str, key: str) -> None:
    (tmp_path / "aizen.yaml").write_text(f"{key}: {database}\n{key}_password_file: x\n")
    with pytest.raises(ConfigurationError, match=f"needs a PostgreSQL `{key}` with a user"):
        Settings.load(tmp_path / "aizen.yaml", {})


@pytest.mark.proves("R2")
@pytest.mark.parametrize("key", ["database", "checkpoint_database"])
@pytest.mark.parametrize("name", ["password", "sslpassword", "pass%77ord"])
def test_a_password_in_the_query_of_a_database_is_refused(tmp_path: Path, key: str, name: str) -> None:
    """Only the one before the host is left out where an address is shown or recorded."""
    with pytest.raises(ConfigurationError, match=rf"`{key}` has `(ssl)?password` after the `\?`") as refused:
        load(tmp_path, {key: f"postgresql://aizen@host/name?sslmode=require&{name}=sekret"})
    assert "sekret" not in str(refused.value)
    assert (f"`{key}_password_file`" in str(refused.value)) == (name != "sslpassword")


BROKEN_URL = "http:" + "//[x"


@pytest.mark.proves("R1")
@pytest.mark.parametrize(
    "section",
    [
        {"alerts": {"webhook_url": BROKEN_URL}},
        {"core": {"url": BROKEN_URL}},
        {"service": {"url": BROKEN_URL}},
        {"hub": {"url": BROKEN_URL, "api_url": "http://127.0.0.1:8081/hub/api"}},
    ],
)
def test_an_address_that_cannot_be_taken_apart_is_refused(tmp_path: Path, section: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"url`?.*write it as `https://host:port/path`"):
        load(tmp_path, section)


@pytest.mark.proves("R97")
@pytest.mark.parametrize(
    ("database", "checkpoints", "message"),
    [
        ("postgresql://aizen@one/a", "postgresql+psycopg://aizen@two/b", "another role than `database`"),
        ("sqlite:///x", "sqlite:///y", "a role of its own"),
        ("postgresql://aizen@one/a", "postgresql://two/b", "a role of its own"),
    ],
)
def test_checkpoints_need_a_role_of_their_own(tmp_path: Path, database: str, checkpoints: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path, {"database": database, "checkpoint_database": checkpoints})


@pytest.mark.proves("R2")
def test_the_password_of_the_checkpoint_database_stands_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss\n")
    (tmp_path / "password").chmod(0o600)
    url = "postgresql://aizen_checkpoints@db.example.org/c"
    settings = load(tmp_path, {"checkpoint_database": url, "checkpoint_database_password_file": "password"})
    assert settings.checkpoint_database_url == "postgresql://aizen_checkpoints:p%40ss@db.example.org/c"
    assert load(tmp_path, {}).checkpoint_database_url is None


def further_hub(**values: Any) -> dict[str, Any]:
    return REQUIRED["further_hubs"] | values


@pytest.mark.proves("R1")
@pytest.mark.parametrize(
    ("hubs", "message"),
    [
        ([further_hub(id="main")], "`main` is the hub of `hub` and `hub_secret_file`"),
        ([further_hub(), further_hub(secret_file="other")], "two of `further_hubs` are called `gpu`"),
        ([further_hub(id="GPU")], "`further_hubs.0.id`"),
        ([further_hub(id="gpu/../main")], "`further_hubs.0.id`"),
        ([further_hub(providers=[])], "`further_hubs.0.providers`"),
        ([further_hub(providers=["ldap"])], "the provider `ldap`, which is not in `providers`: local"),
        ([further_hub(api_url="file:///hub/api")], "`further_hubs.0.api_url`"),
        ([further_hub(api_url="http://me:secret@gpu.example.org/hub/api")], "`further_hubs.0.api_url`"),
        ([further_hub(name="gpu")], "`further_hubs.0.name` is not a known key"),
        *(
            ([{name: value for name, value in further_hub().items() if name != key}], f"`further_hubs.0.{key}`")
            for key in further_hub()
        ),
    ],
)
def test_a_further_hub_that_is_not_clear_is_refused(tmp_path: Path, hubs: list[Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {"further_hubs": hubs})
    assert message in str(caught.value)
    assert "me:secret" not in str(caught.value)


FURTHER = {"panel_url": "https://hub.example.org/services/aizen/", "service": {"managed": False}}


@pytest.mark.proves("R1")
@pytest.mark.parametrize(
    "wrong",
    [
        {"service": {"managed": True}},
        {"hub": REQUIRED["hub"]},
        {"further_hubs": [further_hub()]},
        {"panel_url": "javascript:alert(1)"},
        {"panel_url": "//hub.example.org/services/aizen/"},
        {"panel_url": "https://hub.example.org"},
        {"panel_url": "https://hub.example.org/services/aizen"},
        {"panel_url": "https://me:secret@hub.example.org/services/aizen/"},
        {"panel_url": "https://hub.example.org/services/aizen/?next=/"},
    ],
)
def test_a_hub_with_the_panel_elsewhere_has_no_service_of_its_own(tmp_path: Path, wrong: dict[str, Any]) -> None:
    assert load(tmp_path, FURTHER).is_further_hub
    with pytest.raises(ConfigurationError, match="panel_url"):
        load(tmp_path, FURTHER | wrong)
