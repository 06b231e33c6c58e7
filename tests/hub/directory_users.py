"""Users of the test directory, and their passwords."""

from __future__ import annotations

import re

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.provider import AuthenticatedIdentity

SUFFIX = "dc=lab,dc=test"
USERS_DN, GROUPS_DN = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def authenticate(provider: LdapProvider, name: str, password: str | None = None) -> AuthenticatedIdentity:
    from tests.fixtures.identity.slapd import PASSWORDS

    return await provider.authenticate(
        name, PASSWORDS[name] if password is None else password, totp=None, source="127.0.0.1"
    )
