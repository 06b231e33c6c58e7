"""Validation of an identity provider's claims: groups, roles, name, e-mail address (F6, F10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aizen_hub.hub.login.provider import printable

MAX_GROUPS = 1000
MAX_LENGTH = 255
_MAX_DOTS = 16
_TYPE_NAMES = ((str, "one text"), (dict, "an object"), (list, "a list"))
REALM_ROLE = "realm-role/"
CLIENT_ROLE = "client-role/"
"""Prefixes of groups that represent roles. Groups of Keycloak begin with `/`; others with a prefix are dropped."""


class ClaimError(Exception):
    """A claim is missing or malformed; the message names it."""


def find_claim(claims: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Return a claim by its literal name, such as `https://example.org/groups`, or else by its path with dots.

    Returns
    -------
    bool
        Whether it exists.
    Any
        Its value.
    """
    if name in claims:
        return True, claims[name]
    dots = [index for index, char in enumerate(name) if char == "."]
    if len(dots) > _MAX_DOTS:
        return False, None
    # The longest prefix first, so that a literal name takes precedence at every level.
    for index in reversed(dots):
        nested = claims.get(name[:index])
        if isinstance(nested, Mapping):
            exists, value = find_claim(nested, name[index + 1 :])
            if exists:
                return True, value
    return False, None


def read_names(claims: Mapping[str, Any], name: str, *, required: bool) -> tuple[str, ...] | None:
    """Return a claim that must be a list of names (R24), sorted and without duplicates.

    Parameters
    ----------
    required : bool
        Whether its absence is an error; otherwise None is returned.

    Raises
    ------
    ClaimError
    """
    exists, value = find_claim(claims, name)
    if not exists:
        if required:
            raise ClaimError(f"the claim `{printable(name)}` is missing")
        return None
    if not isinstance(value, list):
        raise ClaimError(f"the claim `{printable(name)}` is {_describe_type(value)} and not a list of names")
    if len(value) > MAX_GROUPS:
        raise ClaimError(f"the claim `{printable(name)}` has more than {MAX_GROUPS} entries")
    for item in value:
        if not isinstance(item, str):
            raise ClaimError(f"the claim `{printable(name)}` contains {_describe_type(item)} among the names")
        if not 0 < len(item) <= MAX_LENGTH or not item.isprintable():
            raise ClaimError(f"the claim `{printable(name)}` contains an entry that is not a valid name")
    return tuple(sorted(set(value)))


def read_roles(claims: Mapping[str, Any], *, realm: bool, clients: Iterable[str]) -> tuple[str, ...]:
    """Return Keycloak's realm and client roles as groups, with a prefix for each kind.

    An absent role claim means no roles: Keycloak omits it for users without any.

    Raises
    ------
    ClaimError
        A role claim is malformed.
    """
    names: list[str] = []
    if realm:
        names += [REALM_ROLE + role for role in read_names(claims, "realm_access.roles", required=False) or ()]
    access = claims.get("resource_access")
    for client in clients:
        # Not by `find_claim`: client ids may contain dots, which must not lead to another client's roles.
        roles = access.get(client) if isinstance(access, Mapping) else None
        if isinstance(roles, Mapping):
            role_names = read_names(roles, "roles", required=False) or ()
            names += [f"{CLIENT_ROLE}{client}/{role}" for role in role_names]
    return tuple(names)


def exclude_role_names(groups: Iterable[str]) -> tuple[str, ...]:
    """Return the groups without those whose name could be mistaken for a role."""
    return tuple(group for group in groups if not group.casefold().startswith((REALM_ROLE, CLIENT_ROLE)))


def verified_email(claims: Mapping[str, Any]) -> str | None:
    """Return the e-mail address if the provider reports it as verified (R22)."""
    email = claims.get("email")
    # `verified_email` is Google's older name. Exactly true: some providers send the text "false".
    confirmed = claims.get("email_verified", claims.get("verified_email"))
    return email if confirmed is True and isinstance(email, str) and _is_displayable(email) else None


def is_email_based(claims: Mapping[str, Any], name: str, claim: Any) -> bool:
    """Return whether a name equals the e-mail address; with an unverified one, users could choose any name (F10)."""
    email = claims.get("email")
    return claim == "email" or (isinstance(email, str) and bool(email) and name.casefold() == email.casefold())


def display_text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim for display, or None if it is not displayable."""
    value = claims.get(name)
    return value if isinstance(value, str) and _is_displayable(value) else None


def _is_displayable(value: str) -> bool:
    return 0 < len(value) <= MAX_LENGTH and value.isprintable()


def _describe_type(value: Any) -> str:
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true or false"
    return next((name for kind, name in _TYPE_NAMES if isinstance(value, kind)), "a number")
