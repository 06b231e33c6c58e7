"""Settings that `configure` sets, keeps and rejects."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from jupyterhub.spawner import LocalProcessSpawner
from traitlets.config import Config, PyFileConfigLoader

from aizen_hub.hub import config_guard
from aizen_hub.hub.configure import configure
from aizen_hub.hub.login.authenticator import AizenAuthenticator
from aizen_hub.hub.spawn.docker import AizenDockerSpawner
from aizen_hub.pod_identity_settings import PodIdentitySettings
from aizen_hub.secret_files import SecretFileError, read_or_create_secret, read_secret
from aizen_hub.settings import ConfigurationError, Settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("JUPYTERHUB_CRYPT_KEY", "JPY_COOKIE_SECRET"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "aizen.yaml").write_text("insecure_same_uid: true\ninsecure_same_origin: true\n")
    yield tmp_path
    JupyterHub.clear_instance()


def applied(c: Config) -> JupyterHub:
    """Return a hub with this configuration, before it opens its database."""
    app = JupyterHub(config=c)
    app.authenticator = AizenAuthenticator(parent=app)
    return app


def test_one_line_configures_a_hub(folder: Path) -> None:
    c = Config()
    configure(c, "aizen.yaml")
    app = applied(c)
    assert app.authenticator_class is AizenAuthenticator
    authenticator = app.authenticator
    settings = ("auth_refresh_strict", "refresh_pre_spawn", "enable_auth_state", "manage_groups")
    assert [getattr(authenticator, name) for name in settings] == [True] * 4
    assert authenticator.auth_refresh_age == 300
    assert app.extra_user_scopes == {"access:services!service=aizen", "access:services!service=aizen-command-line"}
    assert app.token_expires_in_max_seconds == 90 * 86_400
    assert app.allow_named_servers is True
    service, command_line = app.services
    assert command_line["oauth_redirect_uri"] == "/services/aizen/command-line/done"
    assert command_line["api_token"] != service["api_token"]
    assert "url" not in command_line
    assert service["command"][1:] == ["-m", "aizen_hub.service", str(folder / "aizen.yaml")]
    assert service["timeout"] >= 60, "a start on a busy disk does not end the hub"
    assert service["environment"]["AIZEN_INSTANCE"] == authenticator.instance
    assert len(authenticator.instance) == 32
    assert service["oauth_no_confirm"] is True
    assert service["url"] == "http://127.0.0.1:9095"
    assert list(config_guard.find_violations(app, authenticator.aizen_settings)) == [
        violation
        for violation in config_guard.find_violations(app, authenticator.aizen_settings)
        if not violation.fatal
    ]


def test_the_service_gets_no_scope_and_the_admin_role_cannot_enter_servers(folder: Path) -> None:
    c = Config()
    configure(c)
    (role,) = applied(c).load_roles
    assert not role.get("services")
    assert role["groups"] == ["aizen-admins"]
    forbidden = (
        "access:servers",
        "admin:",
        "tokens",
        "shares",
        "users:shares",
        "servers",
        "proxy",
        "shutdown",
        "inherit",
    )
    assert not [scope for scope in role["scopes"] if scope.startswith(forbidden)]


@pytest.mark.proves("R2", "R3", "R8", "R57")
def test_secrets_are_created_once_distinct_and_private(folder: Path) -> None:
    first = Config()
    configure(first)
    second = Config()
    configure(second)
    assert first.CryptKeeper["keys"] == second.CryptKeeper["keys"]
    assert len(first.CryptKeeper["keys"][0]) == 32
    texts = {}
    for name in ("service-api-token", "hub-cookie-secret", "hub-crypt-key"):
        path = folder / "aizen-data" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        texts[name] = path.read_text().strip()
        assert len(texts[name]) >= 43
    assert len(set(texts.values())) == 3
    assert stat.S_IMODE((folder / "aizen-data").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "jupyterhub.sqlite").stat().st_mode) == 0o600
    assert applied(second).services[0]["api_token"] == texts["service-api-token"]


def test_the_configuration_in_the_root_folder_works(folder: Path) -> None:
    root = Path(config_guard.__file__).parents[2]
    (folder / "aizen.yaml").write_text((root / "aizen.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    c = PyFileConfigLoader("jupyterhub_config.py", path=str(root)).load_config()
    assert applied(c).authenticator_class is AizenAuthenticator


def test_the_single_user_server_is_found_without_an_activated_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(programs))
    c = Config()
    configure(c, "aizen.yaml")
    assert "cmd" not in c.Spawner, "it is on the search path"
    monkeypatch.setenv("PATH", "/nowhere")
    c = Config()
    configure(c, "aizen.yaml")
    assert c.Spawner.cmd == [str(programs / "jupyterhub-singleuser")]
    c = Config({"Spawner": {"cmd": ["own"]}})
    configure(c, "aizen.yaml")
    assert c.Spawner.cmd == ["own"]


@pytest.mark.parametrize(
    ("deadline", "configured", "seconds"),
    [
        (5, "", None),
        (12, "", 16),
        (12, "c.JupyterHub.tornado_settings = {'headers': {'X-Frame': 'no'}}", 16),
        (12, "c.JupyterHub.tornado_settings.update({'headers': {'X-Frame': 'no'}})", 16),
        (12, "c.JupyterHub.tornado_settings = {'slow_spawn_timeout': 3}", 3),
    ],
)
def test_the_hub_waits_for_the_reason_of_a_failed_start(
    folder: Path, deadline: int, configured: str, seconds: int | None
) -> None:
    """The hub's own answer after its ten seconds does not show the reason."""
    with (folder / "aizen.yaml").open("a") as settings:
        settings.write(f"service: {{deadline_seconds: {deadline}}}\n")
    c = Config()
    exec(configured, {"c": c})
    configure(c, "aizen.yaml")
    values = applied(c).tornado_settings
    assert values.get("slow_spawn_timeout") == seconds
    assert ("headers" in values) == ("headers" in configured)


@pytest.mark.parametrize("own", [False, True])
def test_a_new_database_uses_a_write_ahead_log_and_an_existing_one_is_unchanged(folder: Path, own: bool) -> None:
    """R128: the hub commits on its only thread, and without a write-ahead log waits for the disk more than once."""
    path = folder / "jupyterhub.sqlite"
    if own:
        with closing(sqlite3.connect(path)) as db:
            db.execute("create table mine (x)")
    configure(Config())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("delete" if own else "wal",)
        db.execute("create table more (x)")
        db.commit()
        files = [path for path in folder.iterdir() if path.name.startswith("jupyterhub.sqlite")]
        assert len(files) == (1 if own else 3)
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_two_starts_have_two_instances(folder: Path) -> None:
    first, second = Config(), Config()
    configure(first)
    configure(second)
    assert first.AizenAuthenticator.instance != second.AizenAuthenticator.instance


def test_an_existing_hub_keeps_what_it_has(folder: Path) -> None:
    (folder / "jupyterhub_cookie_secret").write_text("ab" * 32)
    (folder / "jupyterhub.sqlite").write_bytes(b"")
    (folder / "jupyterhub.sqlite").chmod(0o644)
    c = Config()
    c.CryptKeeper["keys"] = [b"k" * 32]
    c.JupyterHub.services = [{"name": "culler", "api_token": "x" * 40}]
    c.JupyterHub.load_roles = [{"name": "culler", "scopes": ["list:users", "delete:servers"], "services": ["culler"]}]
    c.JupyterHub.token_expires_in_max_seconds = 60
    c.Spawner.options_form = "<p>mine</p>"
    c.JupyterHub.extra_user_scopes = {"read:hub"}
    configure(c)
    app = applied(c)
    assert "cookie_secret_file" not in c.JupyterHub
    assert c.CryptKeeper["keys"] == [b"k" * 32]
    assert [service["name"] for service in app.services] == ["culler", "aizen", "aizen-command-line"]
    assert [role["name"] for role in app.load_roles] == ["culler", "aizen-admin"]
    assert app.token_expires_in_max_seconds == 60
    assert app.extra_user_scopes == {
        "read:hub",
        "access:services!service=aizen",
        "access:services!service=aizen-command-line",
    }
    assert c.Spawner.options_form == "<p>mine</p>"
    assert stat.S_IMODE((folder / "jupyterhub.sqlite").stat().st_mode) == 0o600
    assert [
        violation
        for violation in config_guard.find_violations(app, app.authenticator.aizen_settings)
        if violation.fatal
    ] == []


def test_overrides_of_the_environment_reach_both_sides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIZEN_SERVICE__PORT", "9123")
    monkeypatch.setenv("AIZEN_TOKEN", "of a notebook")
    c = Config()
    configure(c)
    service, _ = applied(c).services
    assert service["url"].endswith(":9123")
    assert service["environment"]["AIZEN_SERVICE__PORT"] == "9123"
    assert "AIZEN_TOKEN" not in service["environment"]


def test_a_service_that_runs_elsewhere_is_not_started(folder: Path) -> None:
    (folder / "aizen.yaml").write_text(
        yaml.safe_dump({"insecure_same_uid": True, "service": {"managed": False, "url": "https://aizen.example.org/"}})
    )
    c = Config()
    configure(c)
    service, _ = applied(c).services
    assert not {"command", "timeout"} & set(service)
    assert service["url"] == "https://aizen.example.org"


@pytest.mark.parametrize(
    ("spawner", "ipc"), [("localprocess", True), (LocalProcessSpawner, True), ("dockerspawner.X", False)]
)
def test_kernels_on_a_shared_machine_use_no_network(folder: Path, spawner: Any, ipc: bool) -> None:
    (folder / "aizen.yaml").write_text("{}\n")
    c = Config()
    c.JupyterHub.spawner_class = spawner
    c.Spawner.args = ["--debug"]
    configure(c)
    assert c.Spawner.args == ["--debug", *(["--KernelManager.transport=ipc"] if ipc else [])]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("authenticator_class = 'pam'", "JupyterHub.authenticator_class"),
        ("services = [{'name': 'aizen'}]", "JupyterHub.services"),
    ],
)
@pytest.mark.proves("R1")
def test_conflicting_settings_are_rejected_at_once(folder: Path, lines: str, named: str) -> None:
    c = Config()
    exec(f"c.JupyterHub.{lines}", {"c": c})
    with pytest.raises(ConfigurationError, match=named):
        configure(c)


def test_a_mistake_in_the_file_is_named(folder: Path) -> None:
    (folder / "aizen.yaml").write_text("provders: []\n")
    with pytest.raises(ConfigurationError, match="`provders` is not a known key"):
        configure(Config())


VIOLATIONS: list[tuple[str, str]] = [
    ("c.Authenticator.auth_refresh_strict = False", "Authenticator.auth_refresh_strict"),
    ("c.AizenAuthenticator.refresh_pre_spawn = False", "Authenticator.refresh_pre_spawn"),
    ("c.Authenticator.auth_refresh_age = 0", "Authenticator.auth_refresh_age"),
    ("c.Authenticator.enable_auth_state = False", "Authenticator.enable_auth_state"),
    ("c.Authenticator.manage_groups = False", "Authenticator.manage_groups"),
    ("c.Authenticator.username_map = {'bob': 'alice'}", "Authenticator.username_map"),
    ("c.Authenticator.admin_users = {'alice'}", "Authenticator.admin_users"),
    ("c.JupyterHub.load_roles = [{'name': 'admin', 'users': ['alice']}]", "JupyterHub.load_roles (`admin`)"),
    ("c.JupyterHub.load_roles = [{'name': 'r', 'scopes': ['access:servers'], 'groups': ['g']}]", "`r`: access:servers"),
    ("c.JupyterHub.load_roles = [{'name': 'r', 'scopes': ['access:servers!group=g']}]", "`r`: access:servers!group=g"),
    ("c.JupyterHub.load_roles = [{'name': 'user', 'scopes': ['self', 'shares!user']}]", "`user`: shares!user"),
    ("c.JupyterHub.load_roles = [{'name': 'server', 'scopes': ['inherit']}]", "(`server`) (inherit)"),
    ("c.JupyterHub.load_roles = [{'name': 'r', 'scopes': ['tokens'], 'users': ['bob']}]", "`r`: tokens"),
    ("c.JupyterHub.load_groups = {'aizen-admins': {'users': ['bob']}}", "JupyterHub.load_groups (`aizen-admins`)"),
    ("c.JupyterHub.extra_user_scopes = ['access:servers']", "JupyterHub.extra_user_scopes (access:servers)"),
    ("c.Spawner.server_token_scopes = ['inherit']", "Spawner.server_token_scopes (inherit)"),
    ("c.Spawner.server_token_scopes = ['access:services!service=aizen']", "Spawner.server_token_scopes"),
    ("c.Spawner.server_token_scopes = ['servers!user']", "Spawner.server_token_scopes (servers!user)"),
    ("c.SimpleLocalProcessSpawner.oauth_client_allowed_scopes = ['tokens!user']", "oauth_client_allowed_scopes"),
]


@pytest.mark.parametrize(("when", "stops"), [("before", False), ("after", True)])
@pytest.mark.proves("R1")
def test_administrators_cannot_be_given_the_servers_of_others(folder: Path, when: str, stops: bool) -> None:
    """The Zero-to-JupyterHub chart sets this before `configure`, which switches it off."""
    c = Config()
    c.JupyterHub.admin_access = when == "before"
    configure(c)
    if when == "after":
        c.JupyterHub.admin_access = True
    app = applied(c)
    named = {found.setting for found in config_guard.find_violations(app, app.authenticator.aizen_settings)}
    assert app.admin_access is stops
    assert ("JupyterHub.admin_access" in named) is stops


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("line", "named"), VIOLATIONS, ids=[named for _, named in VIOLATIONS])
@pytest.mark.proves("R1")
def test_a_setting_that_disables_a_protection_stops_the_start_and_is_named(
    folder: Path, line: str, named: str, when: str
) -> None:
    c = Config()
    c.JupyterHub.spawner_class = "simple"
    if when == "before":
        exec(line, {"c": c})
    configure(c)
    if when == "after":
        # A value on the base class has no effect then, because `configure` sets it on the class itself.
        line = line.replace("c.Authenticator.", "c.AizenAuthenticator.")
        exec(line, {"c": c})
    app = applied(c)
    with pytest.raises(ConfigurationError) as error:
        config_guard.enforce(app, app.authenticator.aizen_settings)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("c.JupyterHub.token_expires_in_max_seconds = 0", "JupyterHub.token_expires_in_max_seconds"),
        ("c.JupyterHub.extra_user_scopes = []", "JupyterHub.extra_user_scopes"),
        ("c.Authenticator.allow_all = True", "Authenticator.allow_all"),
        ("c.Spawner.server_token_scopes = lambda spawner: []", "Spawner.server_token_scopes"),
        ("c.Spawner.apply_user_options = {'image': 'image', 'project': 'x'}", "Spawner.apply_user_options"),
        ("c.Spawner.profile_list = [{'display_name': 'Small'}]", "Spawner.profile_list"),
    ],
)
def test_other_risky_settings_cause_a_warning(folder: Path, line: str, named: str) -> None:
    c = Config()
    configure(c)
    exec(line, {"c": c})
    app = applied(c)
    violations = list(config_guard.find_violations(app, app.authenticator.aizen_settings))
    assert not [violation for violation in violations if violation.fatal]
    assert named in {violation.setting for violation in violations}


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ("BatchSpawnerBase", "`req_memory`"),
        ("SlurmSpawner", '"aizen-slurm"'),
        ("DockerSpawner", "old token"),
        ("DockerSpawner", '"aizen-docker"'),
        ("KubeSpawner", '"aizen-kubernetes"'),
    ],
)
def test_gaps_of_a_spawner_are_reported(folder: Path, base: str, says: str) -> None:
    c = Config()
    # Matched by name: neither package is a dependency.
    c.JupyterHub.spawner_class = type("Mine", (type(base, (LocalProcessSpawner,), {}),), {})
    configure(c)
    app = applied(c)
    texts = [
        str(violation)
        for violation in config_guard.find_violations(app, app.authenticator.aizen_settings)
        if not violation.fatal
    ]
    assert any(says in text for text in texts), texts


@pytest.mark.parametrize("spawner", ["aizen-slurm", "aizen-docker", "aizen-kubernetes"])
def test_the_spawners_of_this_package_have_no_gap(folder: Path, spawner: str) -> None:
    c = Config()
    c.JupyterHub.spawner_class = spawner
    configure(c)
    app = applied(c)
    settings = {violation.setting for violation in config_guard.find_violations(app, app.authenticator.aizen_settings)}
    assert not {name for name in settings if "Spawner" in name or "spawner" in name}
    app.config.DockerSpawner.remove = False
    violations = config_guard.find_violations(app, app.authenticator.aizen_settings)
    assert ("DockerSpawner.remove" in {violation.setting for violation in violations}) is (spawner == "aizen-docker")


@pytest.mark.parametrize(("spawner", "fatal"), [("aizen-docker", True), ("aizen-kubernetes", False)])
def test_pod_identity_needs_pods(folder: Path, spawner: str, fatal: bool) -> None:
    c = Config()
    c.JupyterHub.spawner_class = spawner
    configure(c)
    app = applied(c)
    settings = app.authenticator.aizen_settings
    settings = settings.model_copy(update={"pod_identity": PodIdentitySettings(namespaces=("users",))})
    texts = [str(violation) for violation in config_guard.find_violations(app, settings) if violation.fatal]
    assert any("pod_identity" in text for text in texts) is fatal
    assert not any(
        "pod_identity" in str(violation)
        for violation in config_guard.find_violations(app, app.authenticator.aizen_settings)
    )


@pytest.mark.parametrize(("section", "kept"), [("Mine", True), ("AizenDockerSpawner", True), ("Another", False)])
def test_a_derived_docker_spawner_that_keeps_containers_is_reported(folder: Path, section: str, kept: bool) -> None:
    c = Config()
    c.JupyterHub.spawner_class = type("Mine", (AizenDockerSpawner,), {})
    c[section].remove = False
    configure(c)
    app = applied(c)
    violations = config_guard.find_violations(app, app.authenticator.aizen_settings)
    assert ("DockerSpawner.remove" in {violation.setting for violation in violations}) is kept


@pytest.mark.parametrize(("spawner", "fatal"), [("simple", True), ("localprocess", os.geteuid() != 0)])
def test_notebooks_under_the_account_of_the_service_need_their_flag(folder: Path, spawner: str, fatal: bool) -> None:
    c = Config()
    c.JupyterHub.spawner_class = spawner
    configure(c)
    app = applied(c)
    violations = [
        violation
        for violation in config_guard.find_violations(app, Settings())
        if violation.setting == "JupyterHub.spawner_class"
    ]
    assert bool(violations and violations[0].fatal) is fatal
    assert not [
        violation
        for violation in config_guard.find_violations(app, Settings(insecure_same_uid=True, insecure_same_origin=True))
        if violation.fatal
    ]


@pytest.mark.proves("R137", "R1")
def test_servers_on_the_origin_of_the_panel_need_their_flag(folder: Path) -> None:
    (folder / "aizen.yaml").write_text("insecure_same_uid: true\n")
    c = Config()
    c.JupyterHub.spawner_class = "simple"
    configure(c)
    app = applied(c)
    with pytest.raises(ConfigurationError, match=r"subdomain_host.*insecure_same_origin: true"):
        config_guard.enforce(app, app.authenticator.aizen_settings)
    app.subdomain_host = "https://hub.example.org"
    config_guard.enforce(app, app.authenticator.aizen_settings)
    app.subdomain_host = ""
    accepted = Settings(insecure_same_uid=True, insecure_same_origin=True)
    config_guard.enforce(app, accepted)
    (warning,) = [v for v in config_guard.find_violations(app, accepted) if v.setting == "JupyterHub.subdomain_host"]
    assert "as the user who opens it" in str(warning), "the log of the hub says what that means"


class TestNames:
    @pytest.fixture
    def authenticator(self, folder: Path) -> AizenAuthenticator:
        c = Config()
        configure(c)
        authenticator = applied(c).authenticator
        assert isinstance(authenticator, AizenAuthenticator)
        return authenticator

    @pytest.mark.parametrize("name", ["alice\n", "alice\r\n", "al ice\0", "", "alice\u200b", "\u202ealice"])
    @pytest.mark.proves("R28", "T-15")
    def test_the_whole_name_is_matched(self, authenticator: AizenAuthenticator, name: str) -> None:
        authenticator.username_pattern = r"^[a-z]+$"
        authenticator.username_regex = __import__("re").compile(authenticator.username_pattern)
        assert not authenticator.validate_username(name)
        assert authenticator.validate_username("alice")

    def test_a_username_map_has_no_effect(self, authenticator: AizenAuthenticator) -> None:
        authenticator.username_map = {"bob": "alice"}
        assert authenticator.normalize_username("Bob") == "bob"


@pytest.mark.parametrize(
    ("allowed", "who", "in_"),
    [(None, "x", True), (set(), "x", False), ({"alice"}, "alice", True), ({"alice"}, "bob", False)],
)
@pytest.mark.parametrize("section", ["Authenticator", "AizenAuthenticator"])
@pytest.mark.proves("R6", "R25")
def test_a_configured_list_restricts_even_when_empty(
    folder: Path, section: str, allowed: set[str] | None, who: str, in_: bool
) -> None:
    c = Config()
    if allowed is not None:
        c[section].allowed_users = allowed
    configure(c)
    assert applied(c).authenticator.check_allowed(who, {}) is in_


class TestSecretFile:
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o660])
    @pytest.mark.proves("R3")
    def test_others_must_not_read_it(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "secret"
        read_or_create_secret(path)
        path.chmod(mode)
        with pytest.raises(SecretFileError, match="chmod 600"):
            read_secret(path)

    @pytest.mark.parametrize(
        "text", ["", "short", "x" * 31, "two words that are long enough to pass the length", "ü" * 40]
    )
    @pytest.mark.proves("R2")
    def test_it_must_be_long_enough(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "secret"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(SecretFileError, match="does not hold"):
            read_secret(path)

    def test_a_link_to_elsewhere_or_a_pipe_is_rejected(self, tmp_path: Path) -> None:
        real = tmp_path / "real"
        read_or_create_secret(real)
        (tmp_path / "mounted").mkdir()
        (tmp_path / "mounted" / "link").symlink_to(real)
        os.mkfifo(tmp_path / "pipe", 0o600)
        for name in ("mounted/link", "pipe", "missing", "."):
            with pytest.raises(SecretFileError):
                read_secret(tmp_path / name)

    def test_concurrent_starts_agree(self, tmp_path: Path) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(16) as pool:
            secrets = set(pool.map(lambda _: read_or_create_secret(tmp_path / "x" / "secret"), range(64)))
        assert len(secrets) == 1
        assert [path.name for path in (tmp_path / "x").iterdir()] == ["secret"]
