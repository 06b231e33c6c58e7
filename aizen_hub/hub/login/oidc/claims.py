"""What an identity provider says about a person, read with suspicion: groups, roles, name, mail address (F6, F10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aizen_hub.hub.login.provider import show

MAX_GROUPS = 1000
MAX_TEXT = 255
_MAX_DOTS = 16
_KINDS = ((str, "one text"), (dict, "an object"), (list, "a list"))
REALM_ROLE = "realm-role/"
CLIENT_ROLE = "client-role/"
"""What the groups made of roles begin with. Groups of Keycloak begin with `/`; others that look so are dropped."""


class ClaimFault(Exception):
    """A claim is missing or malformed; the message names it."""


def find(claims: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Look a claim up: the name as it is first, since `https://example.org/groups` is one; then as a path with dots.

    Returns
    -------
    bool
        Whether it is there.
    Any
        Its value.
    """
    if name in claims:
        return True, claims[name]
    places = [index for index, char in enumerate(name) if char == "."]
    if len(places) > _MAX_DOTS:
        return False, None
    # The longest first part, so that a literal name wins at every level.
    for index in reversed(places):
        inner = claims.get(name[:index])
        if isinstance(inner, Mapping):
            there, value = find(inner, name[index + 1 :])
            if there:
                return True, value
    return False, None


def read_names(claims: Mapping[str, Any], name: str, *, required: bool) -> tuple[str, ...] | None:
    """Return a claim that must be a list of names (R24), sorted and each once.

    Parameters
    ----------
    required : bool
        Whether its absence is a fault; without that, None is returned.

    Raises
    ------
    ClaimFault
    """
    there, value = find(claims, name)
    if not there:
        if required:
            raise ClaimFault(f"the claim `{show(name)}` is missing")
        return None
    if not isinstance(value, list):
        raise ClaimFault(f"the claim `{show(name)}` is {_kind(value)} and not a list of names")
    if len(value) > MAX_GROUPS:
        raise ClaimFault(f"the claim `{show(name)}` has more than {MAX_GROUPS} entries")
    for one in value:
        if not isinstance(one, str):
            raise ClaimFault(f"the claim `{show(name)}` holds {_kind(one)} among the names")
        if not 0 < len(one) <= MAX_TEXT or not one.isprintable():
            raise ClaimFault(f"the claim `{show(name)}` holds an entry that cannot be a name")
    return tuple(sorted(set(value)))


def read_roles(claims: Mapping[str, Any], *, realm: bool, clients: Iterable[str]) -> tuple[str, ...]:
    """Return Keycloak's realm and client roles as groups, with prefixes of their own.

    A role claim that is not there means no such role: Keycloak leaves it out for people without any.

    Raises
    ------
    ClaimFault
        One is malformed.
    """
    names: list[str] = []
    if realm:
        names += [REALM_ROLE + one for one in read_names(claims, "realm_access.roles", required=False) or ()]
    access = claims.get("resource_access")
    for client in clients:
        # Not by `find`: the id of a client may hold dots, and a dot in it must not lead into another client's roles.
        roles = access.get(client) if isinstance(access, Mapping) else None
        if isinstance(roles, Mapping):
            found = read_names(roles, "roles", required=False) or ()
            names += [f"{CLIENT_ROLE}{client}/{one}" for one in found]
    return tuple(names)


def without_roles(groups: Iterable[str]) -> tuple[str, ...]:
    """Leave out groups whose name could be taken for a role."""
    return tuple(one for one in groups if not one.casefold().startswith((REALM_ROLE, CLIENT_ROLE)))


def verified_mail(claims: Mapping[str, Any]) -> str | None:
    """Return the mail address if the provider says that it was verified (R22)."""
    mail = claims.get("email")
    # The second name is Google's older one. Exactly true: some providers send the text "false".
    confirmed = claims.get("email_verified", claims.get("verified_email"))
    return mail if confirmed is True and isinstance(mail, str) and _shown(mail) else None


def rests_on_mail(claims: Mapping[str, Any], name: str, claim: Any) -> bool:
    """Whether a name is made of the mail address: who can enter any address there could then be anybody here (F10)."""
    mail = claims.get("email")
    return claim == "email" or (isinstance(mail, str) and bool(mail) and name.casefold() == mail.casefold())


def text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim that is only shown, or None if it cannot be."""
    value = claims.get(name)
    return value if isinstance(value, str) and _shown(value) else None


def _shown(value: str) -> bool:
    return 0 < len(value) <= MAX_TEXT and value.isprintable()


def _kind(value: Any) -> str:
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true or false"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "a number")
