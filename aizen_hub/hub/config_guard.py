"""Check of the hub's final configuration for settings that disable a protection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

from aizen_hub.hub.engine_guard import check_engine
from aizen_hub.hub.scope_guard import check_scopes
from aizen_hub.hub.violation import Violation
from aizen_hub.settings import ConfigurationError, Settings


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
        check_scopes,
        _check_spawner,
        check_engine,
        _check_user_options,
        _check_token_lifetime,
        _check_subdomain,
    ):
        yield from check(app, settings)


def _check_authenticator(app: Any, settings: Settings) -> Iterator[Violation]:
    authenticator = app.authenticator
    checks: tuple[tuple[str, Callable[[Any], bool], str, str], ...] = (
        ("auth_refresh_strict", bool, "kernels and tokens of a removed user would keep working", "leave it True"),
        ("refresh_pre_spawn", bool, "a removed user could start a server", "leave it True"),
        ("auth_refresh_age", bool, "0 disables every check after the login", "set seconds, e.g. 300"),
        ("enable_auth_state", bool, "without it users cannot be checked again after the login", "leave it True"),
        ("manage_groups", bool, "group memberships that ended would stay in the hub", "leave it True"),
    )
    for name, is_valid, explanation, remedy in checks:
        if not is_valid(getattr(authenticator, name)):
            yield Violation(f"Authenticator.{name}", explanation, remedy)
    if authenticator.auth_refresh_age > settings.group_max_age_seconds:
        yield Violation(
            "Authenticator.auth_refresh_age",
            "longer than `group_max_age_seconds` of aizen.yaml, so that roles from groups end in between",
            "set a smaller number of seconds",
            fatal=False,
        )
    if authenticator.username_map:
        yield Violation("Authenticator.username_map", "one user would become another", "register users by name instead")
    if authenticator.allow_all:
        yield Violation(
            "Authenticator.allow_all",
            "has no effect, since users are admitted by their registration",
            "remove it",
            fatal=False,
        )


def _check_administrators(app: Any, settings: Settings) -> Iterator[Violation]:
    if app.authenticator.admin_users:
        yield Violation(
            "Authenticator.admin_users",
            "administrators of the hub can enter every server and act as its owner",
            "grant the role AIZEN_ADMIN instead",
        )
    if app.admin_access:
        yield Violation("JupyterHub.admin_access", "lets administrators act as other users", "remove it")


def _check_spawner(app: Any, settings: Settings) -> Iterator[Violation]:
    spawner_class = app.spawner_class
    same_uid = issubclass(spawner_class, SimpleLocalProcessSpawner) or (
        issubclass(spawner_class, LocalProcessSpawner) and os.geteuid() != 0
    )
    if same_uid and not settings.insecure_same_uid:
        yield Violation(
            "JupyterHub.spawner_class",
            f"`{spawner_class.__name__}` runs notebooks under the account of the hub and service, so every "
            "notebook can read their secrets and act as any user",
            "use another spawner, or `insecure_same_uid: true` in aizen.yaml for a trial",
        )
    elif same_uid:
        yield Violation(
            "JupyterHub.spawner_class",
            "notebooks run under the account of the hub (`insecure_same_uid`), so any code in them controls the system",
            "use another spawner for production",
            fatal=False,
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
                "what users choose has no effect",
                f"list {', '.join(f'`{name}`' for name in dropped)} under `spawn.user_options` of aizen.yaml",
                fatal=False,
            )


def _check_token_lifetime(app: Any, settings: Settings) -> Iterator[Violation]:
    if not app.token_expires_in_max_seconds:
        yield Violation(
            "JupyterHub.token_expires_in_max_seconds", "hub tokens never expire", "set seconds", fatal=False
        )


def _check_subdomain(app: Any, settings: Settings) -> Iterator[Violation]:
    if app.subdomain_host:
        return
    if settings.insecure_same_origin:
        yield Violation(
            "JupyterHub.subdomain_host",
            "is not set (`insecure_same_origin`), so a page of any user can act in the hub as the user who opens it",
            "set it, and `insecure_same_origin: false` in aizen.yaml",
            fatal=False,
        )
    else:
        yield Violation(
            "JupyterHub.subdomain_host",
            "is not set, so user servers share the origin of the hub and the panel, and a page of any user can act "
            "there as the user who opens it",
            "set it (`https://hub.example.org`, with DNS and certificate for "
            "`*.hub.example.org`; on your own machine `http://hub.localhost:8000`), or `insecure_same_origin: true` in "
            "aizen.yaml for a trial",
        )
