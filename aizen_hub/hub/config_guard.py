"""Check of the hub's final configuration for settings that disable a protection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

from aizen_hub.settings import ConfigurationError, Settings

SERVICE_NAME = "aizen"
SERVICE_SCOPE = f"access:services!service={SERVICE_NAME}"

_SERVER_ACCESS_SCOPES = ("access:servers", "shares", "users:shares", "groups:shares", "admin:servers")
_FORBIDDEN_SERVER_SCOPES = (
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
class Violation:
    """One setting that disables a protection.

    Attributes
    ----------
    setting : str
        As it is written in ``jupyterhub_config.py``, without ``c.``.
    explanation : str
        What it would allow, and what to do instead.
    fatal : bool
        Whether the hub refuses to start with it.
    """

    setting: str
    explanation: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"`c.{self.setting}`: {self.explanation}"


def enforce(app: Any, settings: Settings) -> None:
    """Check the final configuration of a hub that is about to start.

    Raises
    ------
    ConfigurationError
        At least one protection is disabled; names every such setting.
    """
    violations = list(find_violations(app, settings))
    for violation in violations:
        if not violation.fatal:
            app.log.warning("%s", violation)
    fatal_violations = [str(violation) for violation in violations if violation.fatal]
    if fatal_violations:
        raise ConfigurationError("the hub does not start with these settings:\n  " + "\n  ".join(fatal_violations))


def find_violations(app: Any, settings: Settings) -> Iterator[Violation]:
    """Yield every violation, for the start of the hub and for the report of ``aizen-hub doctor``."""
    for check in (
        _check_authenticator,
        _check_administrators,
        _check_roles,
        _check_server_tokens,
        _check_spawner,
        _check_user_options,
        _check_token_lifetime,
        _check_subdomain,
    ):
        yield from check(app, settings)


def _check_authenticator(app: Any, settings: Settings) -> Iterator[Violation]:
    authenticator = app.authenticator
    checks: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("auth_refresh_strict", bool, "kernels and tokens of a removed user would keep working: leave it True"),
        ("refresh_pre_spawn", bool, "a removed user could start a server: leave it True"),
        ("auth_refresh_age", bool, "0 disables every check after the login: set seconds, e.g. 300"),
        ("enable_auth_state", bool, "without it users cannot be checked again after the login: leave it True"),
        ("manage_groups", bool, "group memberships that ended would stay in the hub: leave it True"),
    )
    for name, is_valid, explanation in checks:
        if not is_valid(getattr(authenticator, name)):
            yield Violation(f"Authenticator.{name}", explanation)
    if authenticator.auth_refresh_age > settings.group_max_age_seconds:
        yield Violation(
            "Authenticator.auth_refresh_age", "longer than `group_max_age_seconds` of aizen.yaml", fatal=False
        )
    if authenticator.username_map:
        yield Violation("Authenticator.username_map", "one user would become another: register users by name instead")
    if authenticator.allow_all:
        yield Violation(
            "Authenticator.allow_all", "has no effect: users are admitted by their registration", fatal=False
        )


def _check_administrators(app: Any, settings: Settings) -> Iterator[Violation]:
    if app.authenticator.admin_users:
        yield Violation(
            "Authenticator.admin_users",
            "administrators of the hub can enter every server and act as its owner: grant the role AIZEN_ADMIN instead",
        )
    if app.admin_access:
        yield Violation("JupyterHub.admin_access", "lets administrators act as other users: remove it")


def _check_roles(app: Any, settings: Settings) -> Iterator[Violation]:
    for role in app.load_roles:
        name, scopes = str(role.get("name")), tuple(role.get("scopes") or ())
        wide_scopes = sorted(
            scope for scope in scopes if _has_prefix(scope, _SERVER_ACCESS_SCOPES) and not _is_own_scope(scope)
        )
        if wide_scopes and name != "admin":
            yield Violation(
                f"JupyterHub.load_roles (`{name}`: {', '.join(wide_scopes)})",
                "lets other users into a project's server, where they act with its owner's rights: remove it",
            )
        if name == "admin" and any(role.get(key) for key in ("users", "groups")):
            yield Violation(
                "JupyterHub.load_roles (`admin`)",
                "its holders can enter every server and act as its owner: grant the role AIZEN_ADMIN instead",
            )
        if name == "user" and scopes and SERVICE_SCOPE not in scopes:
            yield Violation(
                "JupyterHub.load_roles (`user`)",
                f"users could use neither panel nor command line: add `{SERVICE_SCOPE}` to its scopes",
                fatal=False,
            )
        if name == "server":
            yield from _check_server_scopes("JupyterHub.load_roles (`server`)", scopes)
    wide_scopes = sorted(
        scope
        for scope in app.extra_user_scopes
        if _has_prefix(scope, _SERVER_ACCESS_SCOPES) and not _is_own_scope(scope)
    )
    if wide_scopes:
        yield Violation(
            f"JupyterHub.extra_user_scopes ({', '.join(wide_scopes)})",
            "lets users into each other's servers, where they act with the owner's rights: remove it",
        )
    if SERVICE_SCOPE not in app.extra_user_scopes and "access:services" not in app.extra_user_scopes:
        yield Violation(
            "JupyterHub.extra_user_scopes",
            f"users can use neither panel nor command line: add `{SERVICE_SCOPE}`, or call `configure` last",
            fatal=False,
        )


def _check_server_tokens(app: Any, settings: Settings) -> Iterator[Violation]:
    for base in app.spawner_class.mro():
        section = app.config.get(base.__name__) or {}
        for name in ("server_token_scopes", "oauth_client_allowed_scopes"):
            value = section.get(name)
            if isinstance(value, list | tuple | set | frozenset):
                yield from _check_server_scopes(f"{base.__name__}.{name}", value)
            elif value is not None:
                yield Violation(
                    f"{base.__name__}.{name}", "computed scopes cannot be checked: keep them minimal", fatal=False
                )


def _check_server_scopes(setting: str, scopes: Iterable[str]) -> Iterator[Violation]:
    wide_scopes = sorted(scope for scope in scopes if _has_prefix(scope, _FORBIDDEN_SERVER_SCOPES))
    if wide_scopes:
        yield Violation(
            f"{setting} ({', '.join(wide_scopes)})",
            "code in a notebook could use the panel, start servers or create tokens as its owner: remove it",
        )


def _check_spawner(app: Any, settings: Settings) -> Iterator[Violation]:
    spawner_class = app.spawner_class
    same_uid = issubclass(spawner_class, SimpleLocalProcessSpawner) or (
        issubclass(spawner_class, LocalProcessSpawner) and os.geteuid() != 0
    )
    if same_uid and not settings.insecure_same_uid:
        yield Violation(
            "JupyterHub.spawner_class",
            f"`{spawner_class.__name__}` runs notebooks under the account of the hub and service, so every "
            "notebook can read their secrets and act as any user: use another spawner, or `insecure_same_uid: true` in "
            "aizen.yaml for a trial",
        )
    elif same_uid:
        yield Violation(
            "JupyterHub.spawner_class",
            "notebooks run under the account of the hub (`insecure_same_uid`): any code in them controls the system",
            fatal=False,
        )
    base_names = {base.__name__ for base in spawner_class.mro()}
    if "BatchSpawnerBase" in base_names:
        yield Violation(
            "JupyterHub.spawner_class",
            f"`{spawner_class.__name__}` requests `req_memory` and `req_nprocs` from its batch system: the limits "
            "`memory` and `cpu` of roles do not apply there, so set those two",
            fatal=False,
        )
    if "DockerSpawner" in base_names and not (app.config.get("DockerSpawner") or {}).get("remove"):
        yield Violation(
            "DockerSpawner.remove", "a stopped container would start again with its old token: set it to True", False
        )


def _check_user_options(app: Any, settings: Settings) -> Iterator[Violation]:
    """Report what the operator lets users choose, but ``spawn.user_options`` does not (R138)."""
    for base in app.spawner_class.mro():
        section = app.config.get(base.__name__) or {}
        choices = {"profile"} if section.get("profile_list") else set()
        if isinstance(section.get("apply_user_options"), dict):
            choices |= set(section["apply_user_options"])
        dropped = sorted(choices - {"project", *settings.spawn.user_options})
        if dropped:
            yield Violation(
                f"{base.__name__}.{'profile_list' if 'profile' in dropped else 'apply_user_options'}",
                f"what users choose has no effect: list {', '.join(f'`{name}`' for name in dropped)} under "
                "`spawn.user_options` of aizen.yaml",
                fatal=False,
            )


def _check_token_lifetime(app: Any, settings: Settings) -> Iterator[Violation]:
    if not app.token_expires_in_max_seconds:
        yield Violation("JupyterHub.token_expires_in_max_seconds", "hub tokens never expire: set seconds", fatal=False)


def _check_subdomain(app: Any, settings: Settings) -> Iterator[Violation]:
    if app.subdomain_host:
        return
    if settings.insecure_same_origin:
        yield Violation(
            "JupyterHub.subdomain_host",
            "is not set (`insecure_same_origin`): a page of any user can act in the hub as the user who opens it",
            fatal=False,
        )
    else:
        yield Violation(
            "JupyterHub.subdomain_host",
            "is not set: user servers share the origin of the hub and the panel, so a page of any user can act there "
            "as the user who opens it: set it (`https://hub.example.org`, with DNS and certificate for "
            "`*.hub.example.org`; on your own machine `http://hub.localhost:8000`), or `insecure_same_origin: true` in "
            "aizen.yaml for a trial",
        )


def _has_prefix(scope: str, prefixes: tuple[str, ...]) -> bool:
    name = scope.partition("!")[0]
    return any(
        name == prefix or name.startswith(prefix if prefix.endswith(":") else prefix + ":") for prefix in prefixes
    )


def _is_own_scope(scope: str) -> bool:
    return scope.endswith(("!user", "!server")) and not scope.startswith(("shares", "users:shares", "groups:shares"))


def violation_error(setting: str, explanation: str) -> ConfigurationError:
    """Return the error for a setting that is detected while the configuration is still being read."""
    return ConfigurationError(str(Violation(setting, explanation)))
