"""The people of the test directory, and their passwords."""

from __future__ import annotations

import re

from aizen_hub.hub.login.ldap.provider import LdapProvider
from aizen_hub.hub.login.provider import Proof

SUFFIX = "dc=lab,dc=test"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def prove(provider: LdapProvider, name: str, password: str | None = None) -> Proof:
    from tests.fixtures.slapd import PASSWORDS

    return await provider.prove(name, PASSWORDS[name] if password is None else password, totp=None, source="127.0.0.1")
