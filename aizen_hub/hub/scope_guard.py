"""Check of the scopes that the hub's configuration gives to people, services and user servers.

The service decides what a user may do, but it identifies users by what the hub says: with a token of another user, or
a place in that user's server, anyone is that user for the service, AIZEN_ADMIN included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aizen_hub.api_models.command_line import HUB_SERVICE
from aizen_hub.hub.hub_groups import ADMIN_GROUP
from aizen_hub.hub.violation import Violation
from aizen_hub.settings import Settings

SERVICE_NAME = "aizen"
SERVICE_SCOPE = f"access:services!service={SERVICE_NAME}"
COMMAND_LINE_SCOPE = f"access:services!service={HUB_SERVICE}"
"""To sign in a command line; the token gives access to the service `aizen`, and this scope opens nothing else."""

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
_CONTROL_SCOPES: Mapping[str, str] = {
    "tokens": "create tokens of other users, and act as them in the panel and the command line",
    "admin:users": "change any user, and make one an administrator of the hub",
    "admin:auth_state": "read the saved logins of other users",
    "groups": "put any user into any group of the hub, which may have scopes",
    "admin:groups": "put any user into any group of the hub, which may have scopes",
    "servers": "start servers as other users",
    "start:servers": "start servers as other users",
    "admin:server_state": "change what is saved of the servers of other users",
    "admin:services": "add services that may do anything",
    "proxy": "send the traffic of the hub elsewhere",
}
"""What users with each scope could do; the service could then not tell whom it answers."""

_NEEDED_SCOPES: Mapping[str, str] = {
    SERVICE_SCOPE: "users can use neither panel nor command line",
    COMMAND_LINE_SCOPE: "users cannot sign in with `aizen-hub login`",
}


def check_scopes(app: Any, settings: Settings) -> Iterator[Violation]:
    """Yield what is wrong with roles, groups, tokens and services of the hub, and with the tokens of user servers."""
    for role in app.load_roles:
        yield from _check_role(role)
    yield from _check_user_scopes(app.extra_user_scopes)
    if not settings.is_further_hub:  # its users sign in to panel and command line at the main hub
        yield from _check_scopes_of_users(app)
    yield from _check_admin_group(app.load_groups)
    yield from _check_services(app)
    yield from _check_server_tokens(app)


def _check_role(role: Mapping[str, Any]) -> Iterator[Violation]:
    name, scopes = str(role.get("name")), tuple(role.get("scopes") or ())
    setting = f"JupyterHub.load_roles (`{name}`"
    wide_scopes = _find_wide_scopes(scopes)
    if wide_scopes and name != "admin":
        yield Violation(
            f"{setting}: {', '.join(wide_scopes)})",
            "lets other users into a project's server, where they act with its owner's rights",
            "remove it",
        )
    if name == "admin" and any(role.get(key) for key in ("users", "groups")):
        yield Violation(
            f"{setting})",
            "its holders can enter every server and act as its owner",
            "grant the role AIZEN_ADMIN instead",
        )
    if name == "admin" and role.get("services"):
        yield _act_as_anyone(f"{setting})")
    if name == "server":
        yield from _check_server_scopes(f"{setting})", scopes)
    elif name != "admin":
        # The hub keeps the holders of earlier configurations: a role that names none may have some.
        only_services = bool(role.get("services")) and not role.get("users") and not role.get("groups")
        yield from _check_control_scopes(setting, scopes, for_people=name == "user" or not only_services)


def _check_control_scopes(setting: str, scopes: Iterable[str], *, for_people: bool) -> Iterator[Violation]:
    for scope in sorted(scopes):
        effect = None if _is_own_scope(scope) else _CONTROL_SCOPES.get(scope.partition("!")[0])
        if effect is None:
            continue
        if for_people:
            yield Violation(
                f"{setting}: {scope})",
                f"its holders could {effect}, as holders of AIZEN_ADMIN too",
                "remove it; users with administrative work get AIZEN_ADMIN, programs a service of their own",
            )
        else:
            yield Violation(
                f"{setting}: {scope})",
                f"the service could {effect}, as holders of AIZEN_ADMIN too",
                "remove the scope if it is not needed, and protect the service like the hub",
                fatal=False,
            )


def _check_user_scopes(extra_user_scopes: Iterable[str]) -> Iterator[Violation]:
    scopes = tuple(extra_user_scopes)
    wide_scopes = _find_wide_scopes(scopes)
    if wide_scopes:
        yield Violation(
            f"JupyterHub.extra_user_scopes ({', '.join(wide_scopes)})",
            "lets users into each other's servers, where they act with the owner's rights",
            "remove it",
        )
    yield from _check_control_scopes("JupyterHub.extra_user_scopes (of all users", scopes, for_people=True)


def _check_scopes_of_users(app: Any) -> Iterator[Violation]:
    for role in app.load_roles:
        if role.get("name") == "user" and role.get("scopes"):
            yield from _check_needed_scopes("JupyterHub.load_roles (`user`)", role["scopes"])
    yield from _check_needed_scopes("JupyterHub.extra_user_scopes", app.extra_user_scopes)


def _check_needed_scopes(setting: str, scopes: Iterable[str]) -> Iterator[Violation]:
    for scope, effect in _NEEDED_SCOPES.items():
        if not {scope, "access:services"} & set(scopes):
            yield Violation(setting, effect, f"add `{scope}`, or call `configure` last", fatal=False)


def _check_admin_group(load_groups: Mapping[str, Any]) -> Iterator[Violation]:
    group = load_groups.get(ADMIN_GROUP)
    if group.get("users") if isinstance(group, Mapping) else group:
        yield Violation(
            f"JupyterHub.load_groups (`{ADMIN_GROUP}`)",
            "its members could use the hub's admin page without AIZEN_ADMIN",
            "remove them, and grant that role instead",
        )


def _check_services(app: Any) -> Iterator[Violation]:
    for service in app.services:
        if service.get("admin"):
            yield _act_as_anyone(f"JupyterHub.services (`{service.get('name')}`)")
    if app.api_tokens:
        yield Violation(
            "JupyterHub.api_tokens",
            "such a token acts as its user, without a sign-in, and never expires",
            "remove it; programs use a service account",
            fatal=False,
        )


def _act_as_anyone(setting: str) -> Violation:
    return Violation(
        setting,
        "`admin` lets the service act as any user, as holders of AIZEN_ADMIN too",
        "give it the scopes that it needs by a role of its own in `load_roles` instead",
        fatal=False,
    )


def _check_server_tokens(app: Any) -> Iterator[Violation]:
    for base in app.spawner_class.mro():
        section = app.config.get(base.__name__) or {}
        for name in ("server_token_scopes", "oauth_client_allowed_scopes"):
            value = section.get(name)
            if isinstance(value, list | tuple | set | frozenset):
                yield from _check_server_scopes(f"{base.__name__}.{name}", value)
            elif value is not None:
                yield Violation(
                    f"{base.__name__}.{name}", "computed scopes cannot be checked", "keep them minimal", fatal=False
                )


def _check_server_scopes(setting: str, scopes: Iterable[str]) -> Iterator[Violation]:
    wide_scopes = sorted(scope for scope in scopes if _has_prefix(scope, _FORBIDDEN_SERVER_SCOPES))
    if wide_scopes:
        yield Violation(
            f"{setting} ({', '.join(wide_scopes)})",
            "code in a notebook could use the panel, start servers or create tokens as its owner",
            "remove it",
        )


def _find_wide_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes that open the servers of other users."""
    return sorted(scope for scope in scopes if _has_prefix(scope, _SERVER_ACCESS_SCOPES) and not _is_own_scope(scope))


def _has_prefix(scope: str, prefixes: tuple[str, ...]) -> bool:
    name = scope.partition("!")[0]
    return any(
        name == prefix or name.startswith(prefix if prefix.endswith(":") else prefix + ":") for prefix in prefixes
    )


def _is_own_scope(scope: str) -> bool:
    return scope.endswith(("!user", "!server")) and not scope.startswith(("shares", "users:shares", "groups:shares"))
