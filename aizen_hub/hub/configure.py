"""Setup of a hub by one line of ``jupyterhub_config.py``: ``configure(c, "aizen.yaml")``."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyterhub.app import JupyterHub
from jupyterhub.spawner import LocalProcessSpawner
from traitlets.utils.importstring import import_item

from aizen_hub.hub import python_proxy
from aizen_hub.hub.command_line_client import add_client
from aizen_hub.hub.hub_groups import ADMIN_GROUP
from aizen_hub.hub.preset import apply_preset
from aizen_hub.hub.scope_guard import COMMAND_LINE_SCOPE, SERVICE_NAME, SERVICE_SCOPE
from aizen_hub.hub.service_entry import add_entry, find_entry
from aizen_hub.hub.spawn.kernel_transport import missing_arguments
from aizen_hub.hub.spawn.options_form import apply_user_options, options_form, options_from_form
from aizen_hub.hub.violation import violation_error
from aizen_hub.secret_files import SecretFileError, read_or_create_secret
from aizen_hub.settings import ConfigurationError, Settings

log = logging.getLogger("aizen_hub.hub")

TEMPLATES = Path(__file__).parent / "templates"

ADMIN_ROLE: dict[str, Any] = {
    "name": "aizen-admin",
    "description": "Holders of AIZEN_ADMIN on the hub's admin page: list users and servers, stop servers, enter none",
    "scopes": [
        "admin-ui",  # opens the page
        "list:users",  # its list of users
        "read:users:name",
        "read:users:activity",
        "read:users:groups",
        "read:servers",  # its list of servers
        "delete:servers",  # the stop button
        "read:hub",  # the version and state shown on the page
    ],
    "groups": [ADMIN_GROUP],
}
"""The hub role for holders of AIZEN_ADMIN. The service gets no role: it identifies a token's user with that token."""

MAX_TOKEN_SECONDS = 90 * 86_400
AUTH_REFRESH_SECONDS = 300
HUB_SLOW_START_SECONDS = 10
"""How long JupyterHub waits for the start of a server before it answers by itself (its ``slow_spawn_timeout``)."""
SLOW_START_MARGIN_SECONDS = 4
"""What a start needs besides the wait for the service."""
CHART_DEFAULT = "dummy"
"""The authenticator of the Zero-to-JupyterHub chart where none is chosen; it takes no effect."""
SERVER_PROGRAM = "jupyterhub-singleuser"


def configure(c: Any, path: str | Path = "aizen.yaml") -> Settings:
    """Set up a hub. Call it last in ``jupyterhub_config.py``: earlier settings stay unless they disable a protection.

    It sets: the authenticator and its protections, the service `aizen` (started by the hub unless
    ``service.managed: false``; none at a hub whose ``panel_url`` is that of another one), the options form, a role for
    the hub's admin page, templates, and secrets in files of ``data_dir`` with mode 0600: cookie secret, encryption key
    of ``auth_state``, token of the service.

    Parameters
    ----------
    c : traitlets.config.Config
        The ``c`` of ``jupyterhub_config.py``.
    path : str or Path
        The configuration file; relative to the working directory of the hub.

    Returns
    -------
    Settings
        The content of the file.

    Raises
    ------
    ConfigurationError
        The file is invalid, or an earlier setting disables a protection.
    """
    # The lines of this package get time and level from the hub's log. JupyterHub does the same for those of Tornado.
    logging.getLogger("aizen_hub").parent = logging.getLogger(JupyterHub.__name__)
    path = Path(path).absolute()
    settings = Settings.load(path)
    if settings.service.managed:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.is_further_hub:
        apply_settings(c, path, settings, api_token=None)
    else:
        # Fixed: the hub never deletes tokens that it generated for earlier starts.
        api_token = (find_entry(c) or {}).get("api_token") or _read_secret(settings.api_token_path)
        apply_settings(c, path, settings, api_token=api_token)
    _configure_secrets(c, settings)
    return settings


def apply_settings(c: Any, path: Path, settings: Settings, *, api_token: str | None) -> None:
    """Make those changes of `configure` that read and write no file, which is also what ``aizen-hub doctor`` checks.

    Parameters
    ----------
    api_token : str or None
        Of the service; None for a further hub, at which it has no sign-in and no pages.

    Raises
    ------
    ConfigurationError
        An earlier setting contradicts them.
    """
    instance = secrets.token_hex(16)
    _configure_authenticator(c, path, instance)
    if api_token is not None:
        add_entry(c, path, settings, instance, api_token)
        add_client(c, api_token)
        _add_scopes(c)
    c.JupyterHub.load_roles.append(dict(ADMIN_ROLE))
    _configure_users(c)
    _configure_servers(c, settings)
    _configure_start_answer(c, settings)
    _configure_proxy(c)
    apply_preset(c, settings)


def _configure_authenticator(c: Any, path: Path, instance: str) -> None:
    configured = c.JupyterHub.get("authenticator_class")
    if configured not in (None, SERVICE_NAME, CHART_DEFAULT) and (
        getattr(configured, "__name__", configured) != "AizenAuthenticator"
    ):
        raise violation_error(
            "JupyterHub.authenticator_class",
            "is set to another class",
            f'set it to "{SERVICE_NAME}", and list yours under `providers` of aizen.yaml',
        )
    c.JupyterHub.authenticator_class = SERVICE_NAME
    c.AizenAuthenticator.config_file = str(path)
    c.AizenAuthenticator.instance = instance
    for name, value in (
        ("auth_refresh_strict", True),
        ("refresh_pre_spawn", True),
        ("enable_auth_state", True),
        ("manage_groups", True),
        ("auth_refresh_age", AUTH_REFRESH_SECONDS),
    ):
        _set_default(c, "AizenAuthenticator", name, value, other_sections=("Authenticator",))


def _configure_secrets(c: Any, settings: Settings) -> None:
    data_dir = settings.data_dir
    # An existing hub keeps its own: another secret would sign all users out.
    has_cookie_secret = "cookie_secret" in c.JupyterHub or "cookie_secret_file" in c.JupyterHub
    if (
        not has_cookie_secret
        and "JPY_COOKIE_SECRET" not in os.environ
        and not Path("jupyterhub_cookie_secret").exists()
    ):
        file = data_dir / "hub-cookie-secret"
        _read_secret(file, lambda: secrets.token_hex(32))
        c.JupyterHub.cookie_secret_file = str(file)
    if "keys" not in c.CryptKeeper and "JUPYTERHUB_CRYPT_KEY" not in os.environ:
        c.CryptKeeper.keys = [bytes.fromhex(_read_secret(data_dir / "hub-crypt-key", lambda: secrets.token_hex(32)))]
    _restrict_database_file(c)


def _restrict_database_file(c: Any) -> None:
    """Create the hub's SQLite file with mode 0600, since the hub would create it world-readable.

    A new file gets a write-ahead log: the hub commits on its only thread, several times for each login, and without it
    every commit waits for the disk more than once. An existing file keeps its journal mode.
    """
    url = c.JupyterHub.get("db_url", "sqlite:///jupyterhub.sqlite")
    if not isinstance(url, str) or not url.startswith("sqlite:///") or ":memory:" in url:
        return
    path = Path(url.removeprefix("sqlite:///").partition("?")[0])
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        is_new = os.fstat(descriptor).st_size == 0
        os.close(descriptor)
        path.chmod(0o600)
    except OSError as error:
        raise violation_error(
            "JupyterHub.db_url",
            f"`{path}` cannot be made private: {error.strerror}",
            "let the account of the hub own the file and write to its folder; the path must not be a symbolic link",
        ) from None
    if is_new:
        try:
            with closing(sqlite3.connect(path)) as db:
                # Persistent. Where the file system does not support it, SQLite keeps the previous mode.
                db.execute("pragma journal_mode = wal")
        except sqlite3.Error as error:
            raise violation_error(
                "JupyterHub.db_url",
                f"`{path}` cannot be used: {error}",
                "name a SQLite file in a folder that the account of the hub can write to",
            ) from None


def _configure_users(c: Any) -> None:
    if c.JupyterHub.get("admin_access"):
        # The Zero-to-JupyterHub chart sets it.
        log.warning("JupyterHub.admin_access is switched off: it would let administrators act as other users")
        c.JupyterHub.admin_access = False
    _set_default(c, "JupyterHub", "token_expires_in_max_seconds", MAX_TOKEN_SECONDS)
    c.JupyterHub.template_paths.insert(0, str(TEMPLATES))


def _add_scopes(c: Any) -> None:
    # Command line and panel authenticate by a user's hub token; server tokens never get this scope.
    scopes = c.JupyterHub.extra_user_scopes
    if isinstance(scopes, list):
        scopes += [SERVICE_SCOPE, COMMAND_LINE_SCOPE]
    else:
        # The trait is a set: a value appended before it exists would be dropped silently.
        scopes.update({SERVICE_SCOPE, COMMAND_LINE_SCOPE})


def _configure_servers(c: Any, settings: Settings) -> None:
    # A user may work in several projects at once, with one server for each.
    _set_default(c, "JupyterHub", "allow_named_servers", True)
    _set_default(c, "Spawner", "options_form", options_form)
    _set_default(c, "Spawner", "options_from_form", options_from_form)
    _set_default(c, "Spawner", "apply_user_options", apply_user_options)
    if runs_servers_locally(c) and shutil.which(SERVER_PROGRAM) is None and (program := find_server_program()):
        # The environment of this Python is not activated.
        _set_default(c, "Spawner", "cmd", [program])
    if runs_servers_locally(c) and not settings.insecure_same_uid:
        # On a machine with other accounts, kernels that listen on TCP would be reachable, unencrypted, by all of them.
        # With one account for all, file permissions protect nothing and the long home paths break sockets.
        arguments = c.Spawner.get("args")
        c.Spawner.args.extend(missing_arguments(arguments if isinstance(arguments, list) else ()))


def _configure_start_answer(c: Any, settings: Settings) -> None:
    """Let the hub wait for the start of a server until the service has answered or its deadline is over.

    After this time JupyterHub answers by itself, and a request of its API ends with 500 in place of the reason.
    """
    seconds = settings.service.deadline_seconds + SLOW_START_MARGIN_SECONDS
    if seconds > HUB_SLOW_START_SECONDS:
        configured = c.JupyterHub.tornado_settings
        values = configured if isinstance(configured, dict) else configured.get_value({})
        c.JupyterHub.tornado_settings = {"slow_spawn_timeout": seconds, **values}


def _configure_proxy(c: Any) -> None:
    command = c.ConfigurableHTTPProxy.get("command")
    if python_proxy.is_used_by(command):
        arguments = command[1:] if isinstance(command, list) else []
        c.ConfigurableHTTPProxy.command = [sys.executable, "-m", python_proxy.__name__, *arguments]


def runs_servers_locally(c: Any) -> bool:
    """Return whether servers run on the hub's own machine, under its accounts."""
    spawner_class = c.JupyterHub.get("spawner_class", LocalProcessSpawner)
    if spawner_class in ("default", "localprocess", "simple"):
        return True
    if isinstance(spawner_class, str) and "." in spawner_class:
        try:
            spawner_class = import_item(spawner_class)
        except ImportError:
            return False
    return isinstance(spawner_class, type) and issubclass(spawner_class, LocalProcessSpawner)


def find_server_program() -> str | None:
    """Return the single-user server on the search path, or beside this Python; None if it is not installed."""
    beside = Path(sys.executable).with_name(SERVER_PROGRAM)
    return shutil.which(SERVER_PROGRAM) or (str(beside) if os.access(beside, os.X_OK) else None)


def _set_default(c: Any, section: str, name: str, value: Any, other_sections: tuple[str, ...] = ()) -> None:
    if not any(name in c[candidate] for candidate in (section, *other_sections)):
        c[section][name] = value


def _read_secret(path: Path, make: Any = None) -> str:
    try:
        return read_or_create_secret(path, make) if make else read_or_create_secret(path)
    except SecretFileError as error:
        raise ConfigurationError(str(error)) from None
