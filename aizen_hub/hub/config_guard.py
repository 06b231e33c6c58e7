"""Settings of the operator that would undo a protection: refused or warned about by name, on the hub's final values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

from aizen_hub.settings import ConfigurationError, Settings

SERVICE = "aizen"
SERVICE_SCOPE = f"access:services!service={SERVICE}"

_INTO_SERVERS = ("access:servers", "shares", "users:shares", "groups:shares", "admin:servers")
_SERVER_TOKEN = (
    "inherit",
    "self",
    "access:services",
    "servers",
    "admin:",
    "tokens",
    "shares",
    "users:shares",
    "start:",
)


@dataclass(frozen=True, slots=True)
class Undone:
    """One protection that the configuration undoes.

    Attributes
    ----------
    setting : str
        As it is written in ``jupyterhub_config.py``, without ``c.``.
    why : str
        What it would open, and what to do instead.
    fatal : bool
        Whether the hub must not start with it.
    """

    setting: str
    why: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"`c.{self.setting}`: {self.why}"


def enforce(app: Any, settings: Settings) -> None:
    """Check the final configuration of a hub that is about to start.

    Raises
    ------
    ConfigurationError
        At least one protection is undone; names every such setting.
    """
    found = list(undone(app, settings))
    for one in found:
        if not one.fatal:
            app.log.warning("%s", one)
    fatal = [str(one) for one in found if one.fatal]
    if fatal:
        raise ConfigurationError("the hub does not start with these settings:\n  " + "\n  ".join(fatal))


def undone(app: Any, settings: Settings) -> Iterator[Undone]:
    """Yield every protection that is undone, the same way for the start and for a report."""
    for rule in (_authenticator, _administrators, _roles, _server_tokens, _spawner, _tokens, _browsers):
        yield from rule(app, settings)


def _authenticator(app: Any, settings: Settings) -> Iterator[Undone]:
    it = app.authenticator
    checks: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("auth_refresh_strict", bool, "kernels and tokens of somebody who was taken out would go on: leave it True"),
        ("refresh_pre_spawn", bool, "somebody who was taken out could start a server: leave it True"),
        ("auth_refresh_age", bool, "0 switches off every later check of who may be here: set seconds, e.g. 300"),
        ("enable_auth_state", bool, "without it nobody can be checked again after the sign-in: leave it True"),
        ("manage_groups", bool, "group memberships that ended would stay in the hub: leave it True"),
    )
    for name, good, why in checks:
        if not good(getattr(it, name)):
            yield Undone(f"Authenticator.{name}", why)
    if it.auth_refresh_age > settings.group_max_age_seconds:
        yield Undone("Authenticator.auth_refresh_age", "longer than `group_max_age_seconds` of aizen.yaml", fatal=False)
    if it.username_map:
        yield Undone("Authenticator.username_map", "one person would become another: register people by name instead")
    if it.allow_all:
        yield Undone("Authenticator.allow_all", "has no effect: the registration lets people in", fatal=False)


def _administrators(app: Any, settings: Settings) -> Iterator[Undone]:
    if app.authenticator.admin_users:
        yield Undone(
            "Authenticator.admin_users",
            "administrators of the hub can enter every server and act as its owner: grant the role AIZEN_ADMIN instead",
        )
    if app.admin_access:
        yield Undone("JupyterHub.admin_access", "lets administrators act as others: remove it")


def _roles(app: Any, settings: Settings) -> Iterator[Undone]:
    for role in app.load_roles:
        name, scopes = str(role.get("name")), tuple(role.get("scopes") or ())
        wide = sorted(scope for scope in scopes if _begins(scope, _INTO_SERVERS) and not _own(scope))
        if wide and name != "admin":
            yield Undone(
                f"JupyterHub.load_roles (`{name}`: {', '.join(wide)})",
                "lets others into a project's server, where they act with its owner's rights: take it out",
            )
        if name == "admin" and any(role.get(kind) for kind in ("users", "groups")):
            yield Undone(
                "JupyterHub.load_roles (`admin`)",
                "its holders can enter every server and act as its owner: grant the role AIZEN_ADMIN instead",
            )
        if name == "user" and scopes and SERVICE_SCOPE not in scopes:
            yield Undone(
                "JupyterHub.load_roles (`user`)",
                f"people could use neither panel nor command line: add `{SERVICE_SCOPE}` to its scopes",
                fatal=False,
            )
        if name == "server":
            yield from _server_scopes("JupyterHub.load_roles (`server`)", scopes)
    wide = sorted(scope for scope in app.extra_user_scopes if _begins(scope, _INTO_SERVERS) and not _own(scope))
    if wide:
        yield Undone(
            f"JupyterHub.extra_user_scopes ({', '.join(wide)})",
            "lets people into each other's servers, where they act with the owner's rights: take it out",
        )
    if SERVICE_SCOPE not in app.extra_user_scopes and "access:services" not in app.extra_user_scopes:
        yield Undone(
            "JupyterHub.extra_user_scopes",
            f"people can use neither panel nor command line: add `{SERVICE_SCOPE}`, or call `configure` last",
            fatal=False,
        )


def _server_tokens(app: Any, settings: Settings) -> Iterator[Undone]:
    for kind in app.spawner_class.mro():
        section = app.config.get(kind.__name__) or {}
        for name in ("server_token_scopes", "oauth_client_allowed_scopes"):
            value = section.get(name)
            if isinstance(value, list | tuple | set | frozenset):
                yield from _server_scopes(f"{kind.__name__}.{name}", value)
            elif value is not None:
                yield Undone(
                    f"{kind.__name__}.{name}", "computed scopes cannot be checked: keep them minimal", fatal=False
                )


def _server_scopes(setting: str, scopes: Iterable[str]) -> Iterator[Undone]:
    wide = sorted(scope for scope in scopes if _begins(scope, _SERVER_TOKEN))
    if wide:
        yield Undone(
            f"{setting} ({', '.join(wide)})",
            "code in a notebook could use the panel, start servers or make tokens as its owner: take it out",
        )


def _spawner(app: Any, settings: Settings) -> Iterator[Undone]:
    kind = app.spawner_class
    same = issubclass(kind, SimpleLocalProcessSpawner) or (issubclass(kind, LocalProcessSpawner) and os.geteuid() != 0)
    if same and not settings.insecure_same_uid:
        yield Undone(
            "JupyterHub.spawner_class",
            f"`{kind.__name__}` runs notebooks under the account of the hub and service, so every notebook can read "
            "their secrets and become anybody: use another spawner, or `insecure_same_uid: true` in aizen.yaml to try "
            "things out",
        )
    elif same:
        yield Undone(
            "JupyterHub.spawner_class",
            "notebooks run under the account of the hub (`insecure_same_uid`): whoever runs code controls the system",
            fatal=False,
        )
    names = {one.__name__ for one in kind.mro()}
    if "BatchSpawnerBase" in names:
        yield Undone(
            "JupyterHub.spawner_class",
            f"`{kind.__name__}` asks its batch system for `req_memory` and `req_nprocs`: the limits `memory` and `cpu` "
            "of roles do not reach it, so set those two",
            fatal=False,
        )
    if "DockerSpawner" in names and not (app.config.get("DockerSpawner") or {}).get("remove"):
        yield Undone(
            "DockerSpawner.remove", "a stopped container would start again with its old token: set it to True", False
        )


def _tokens(app: Any, settings: Settings) -> Iterator[Undone]:
    if not app.token_expires_in_max_seconds:
        yield Undone("JupyterHub.token_expires_in_max_seconds", "hub tokens live for ever: set seconds", fatal=False)


def _browsers(app: Any, settings: Settings) -> Iterator[Undone]:
    if not app.subdomain_host and not settings.insecure_same_uid:
        yield Undone(
            "JupyterHub.subdomain_host",
            "is not set: pages of user servers share an origin with the panel; set it for production",
            fatal=False,
        )


def _begins(scope: str, heads: tuple[str, ...]) -> bool:
    name = scope.partition("!")[0]
    return any(name == head or name.startswith(head if head.endswith(":") else head + ":") for head in heads)


def _own(scope: str) -> bool:
    return scope.endswith(("!user", "!server")) and not scope.startswith(("shares", "users:shares", "groups:shares"))


def refuse(setting: str, why: str) -> ConfigurationError:
    """Return the error for one setting found while the configuration is still being read."""
    return ConfigurationError(str(Undone(setting, why)))
