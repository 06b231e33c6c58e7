"""``configure(c, "aizen.yaml")``: everything a hub needs, in one line of ``jupyterhub_config.py``."""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from traitlets.utils.importstring import import_item

from aizen_hub.client.secret_file import SecretFileError, read_or_make_secret
from aizen_hub.hub.config_guard import SERVICE, SERVICE_SCOPE, refuse
from aizen_hub.hub.hub_groups import ADMIN_GROUP
from aizen_hub.hub.spawn.options_form import apply_user_options, options_form, options_from_form
from aizen_hub.settings import ENV_PREFIX, ConfigurationError, Settings

TEMPLATES = Path(__file__).parent / "templates"

ADMIN_ROLE: dict[str, Any] = {
    "name": "aizen-admin",
    "description": "Holders of AIZEN_ADMIN at the hub's admin page: see people and servers, stop servers, enter none",
    "scopes": [
        "admin-ui",  # opens the page
        "list:users",  # its list of people
        "read:users:name",
        "read:users:activity",
        "read:users:groups",
        "read:servers",  # its list of servers
        "delete:servers",  # the stop button
        "read:hub",  # the version and state shown on the page
    ],
    "groups": [ADMIN_GROUP],
}
"""The one hub role of ours. The service gets none: it reads whose token it was shown with that token itself."""

TOKEN_SECONDS = 90 * 86_400
REFRESH_SECONDS = 300
_IPC = "--KernelManager.transport=ipc"


def configure(c: Any, path: str | Path = "aizen.yaml") -> Settings:
    """Set up a hub. Call it last in ``jupyterhub_config.py``; what was set before is kept where it undoes nothing.

    It sets: the authenticator and its protections, the service `aizen` (started by the hub unless
    ``service.managed: false``), the start page, a role for the hub's admin page, templates, and secrets in files of
    ``data_dir`` that only the hub's account reads (0600): cookie secret, key of stored sign-ins, token of the service.

    Parameters
    ----------
    c : traitlets.config.Config
        The ``c`` of ``jupyterhub_config.py``.
    path : str or Path
        The configuration file; relative to the working folder of the hub.

    Returns
    -------
    Settings
        What was read from the file.

    Raises
    ------
    ConfigurationError
        The file has a mistake, or a setting made before undoes a protection.
    """
    path = Path(path).absolute()
    settings = Settings.load(path)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    instance = secrets.token_hex(16)
    _authenticator(c, path, instance)
    _service(c, path, settings, instance)
    _secrets(c, settings)
    _people(c)
    _servers(c, settings)
    return settings


def _authenticator(c: Any, path: Path, instance: str) -> None:
    given = c.JupyterHub.get("authenticator_class")
    if given not in (None, SERVICE) and getattr(given, "__name__", given) != "AizenAuthenticator":
        raise refuse("JupyterHub.authenticator_class", "is set to another one: list it under `providers` of aizen.yaml")
    c.JupyterHub.authenticator_class = SERVICE
    c.AizenAuthenticator.config_file = str(path)
    c.AizenAuthenticator.instance = instance
    for name, value in (
        ("auth_refresh_strict", True),
        ("refresh_pre_spawn", True),
        ("enable_auth_state", True),
        ("manage_groups", True),
        ("auth_refresh_age", REFRESH_SECONDS),
    ):
        _default(c, "AizenAuthenticator", name, value, also=("Authenticator",))


def _service(c: Any, path: Path, settings: Settings, instance: str) -> None:
    listed = c.JupyterHub.get("services")
    if isinstance(listed, list) and any(one.get("name") == SERVICE for one in listed):
        raise refuse("JupyterHub.services", f"has a service `{SERVICE}` already: remove it, `configure` adds it")
    entry: dict[str, Any] = {
        "name": SERVICE,
        "url": f"http://{_host(settings)}:{settings.service.port}"
        if settings.service.managed
        else settings.service_url,
        "display": True,
        # The person signed in at this hub a moment ago, and the service is part of it.
        "oauth_no_confirm": True,
        # Fixed: the hub never takes back tokens that it made up for earlier starts.
        "api_token": _secret(settings.data_dir / "service-api-token"),
    }
    if settings.service.managed:
        entry["command"] = [sys.executable, "-m", "aizen_hub.service", str(path)]
        entry["environment"] = {
            # The overrides that this side has read, so that both sides have one configuration.
            **{name: value for name, value in os.environ.items() if _is_override(name)},
            "AIZEN_INSTANCE": instance,
        }
    c.JupyterHub.services.append(entry)
    c.JupyterHub.load_roles.append(dict(ADMIN_ROLE))


def _secrets(c: Any, settings: Settings) -> None:
    folder = settings.data_dir
    # An existing hub keeps its own: another secret would sign everybody out.
    own_cookies = "cookie_secret" in c.JupyterHub or "cookie_secret_file" in c.JupyterHub
    if not own_cookies and "JPY_COOKIE_SECRET" not in os.environ and not Path("jupyterhub_cookie_secret").exists():
        file = folder / "hub-cookie-secret"
        _secret(file, lambda: secrets.token_hex(32))
        c.JupyterHub.cookie_secret_file = str(file)
    if "keys" not in c.CryptKeeper and "JUPYTERHUB_CRYPT_KEY" not in os.environ:
        c.CryptKeeper.keys = [bytes.fromhex(_secret(folder / "hub-crypt-key", lambda: secrets.token_hex(32)))]
    _close_database(c)


def _close_database(c: Any) -> None:
    """Make the hub's SQLite file private before the hub creates it, readable for everybody as it would be.

    A new one gets a write-ahead log: the hub commits on its one thread, several times for each sign-in, and without it
    every commit waits for the disk more than once. A file that is there already stays as its operator has it.
    """
    url = c.JupyterHub.get("db_url", "sqlite:///jupyterhub.sqlite")
    if not isinstance(url, str) or not url.startswith("sqlite:///") or ":memory:" in url:
        return
    path = Path(url.removeprefix("sqlite:///").partition("?")[0])
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        new = os.fstat(file).st_size == 0
        os.close(file)
        path.chmod(0o600)
    except OSError as error:
        raise refuse("JupyterHub.db_url", f"`{path}` cannot be made private: {error.strerror}") from None
    if new:
        try:
            with closing(sqlite3.connect(path)) as db:
                # Kept in the file. Where the file system cannot do it, SQLite says no and goes on as before.
                db.execute("pragma journal_mode = wal")
        except sqlite3.Error as error:
            raise refuse("JupyterHub.db_url", f"`{path}` cannot be used: {error}") from None


def _people(c: Any) -> None:
    # The command line and the panel come in by a person's hub token; server tokens never get this scope.
    given = c.JupyterHub.extra_user_scopes
    if isinstance(given, list):
        given.append(SERVICE_SCOPE)
    else:
        # The trait is a set: what is appended before it exists would be dropped without a word.
        given.update({SERVICE_SCOPE})
    _default(c, "JupyterHub", "token_expires_in_max_seconds", TOKEN_SECONDS)
    c.JupyterHub.template_paths.insert(0, str(TEMPLATES))


def _servers(c: Any, settings: Settings) -> None:
    # One person may work in several projects at once, each in a server of its own.
    _default(c, "JupyterHub", "allow_named_servers", True)
    _default(c, "Spawner", "options_form", options_form)
    _default(c, "Spawner", "options_from_form", options_from_form)
    _default(c, "Spawner", "apply_user_options", apply_user_options)
    if shares_machine(c) and not settings.insecure_same_uid:
        # On a machine with other accounts, kernels that listen on TCP would talk in clear where everybody can connect.
        # Under one account for all, file permissions protect nothing and the long paths of its homes break sockets.
        given = c.Spawner.get("args")
        if not (isinstance(given, list) and any("transport" in str(one) for one in given)):
            c.Spawner.args.append(_IPC)


def shares_machine(c: Any) -> bool:
    """Say whether servers run on the hub's own machine, under accounts of it."""
    given = c.JupyterHub.get("spawner_class", LocalProcessSpawner)
    if given in ("default", "localprocess", "simple"):
        return True
    if isinstance(given, str) and "." in given:
        try:
            given = import_item(given)
        except ImportError:
            return False
    return isinstance(given, type) and issubclass(given, LocalProcessSpawner)


def _default(c: Any, section: str, name: str, value: Any, also: tuple[str, ...] = ()) -> None:
    if not any(name in c[one] for one in (section, *also)):
        c[section][name] = value


def _host(settings: Settings) -> str:
    host = settings.service.host
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _is_override(name: str) -> bool:
    return name.startswith(ENV_PREFIX) and name.removeprefix(ENV_PREFIX).lower().split("__")[0] in Settings.model_fields


def _secret(path: Path, make: Any = None) -> str:
    try:
        return read_or_make_secret(path, make) if make else read_or_make_secret(path)
    except SecretFileError as error:
        raise ConfigurationError(str(error)) from None
