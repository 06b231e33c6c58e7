"""docs/how-to/install.md as written: `init`, the directory, `doctor`, the hub, a role by a group of the directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.guide import Guide, HubPorts, confirm_rule, token_of

pytestmark = [pytest.mark.needs("slapd", "browser"), pytest.mark.slow]


def write_directory(guide: Guide, directory: Any) -> None:
    """Put the providers of the document into the file of `init`; only the directory is that of this test."""
    from tests.fixtures.identity.slapd import GROUPS_DN, READER_PASSWORD

    wanted = guide.provider()
    config, real = wanted["providers"][0]["config"], directory.settings(group_search_base=GROUPS_DN)
    guide.write_secret(config["lookup_dn_search_password_file"], READER_PASSWORD)
    del real["lookup_dn_search_password"]
    assert config.keys() | {"server_port"} == real.keys() | {"lookup_dn_search_password_file"}
    config |= real
    guide.write_settings(wanted)


def test_the_documented_way(tmp_path: Path, chromium: Any) -> None:
    from tests.fixtures.identity.slapd import GROUPS_DN, PASSWORDS, USERS_DN, running_directory

    guide = Guide(Path("docs/how-to/install.md"), tmp_path)
    init, doctor, hub_command, *changes = guide.commands()
    ports = HubPorts.reserve(guide)
    with running_directory(tmp_path, member_of=False) as directory:
        directory.ldapadd(
            f"dn: cn=scientists,{GROUPS_DN}\nobjectClass: groupOfNames\ncn: scientists\nmember: uid=bob,{USERS_DN}\n"
        )
        guide.run([*init, "--hub-url", ports.url])
        write_directory(guide, directory)
        assert "ldap" in guide.run(doctor)
        with guide.running_hub(hub_command, ports) as hub:
            token = token_of(hub.login("alice", PASSWORDS["alice"], provider="ldap"), "alice")
            credentials = {"AIZEN_HUB_URL": ports.url, "AIZEN_HUB_TOKEN": token}
            for command in changes:
                guide.run(command, **credentials)
            confirm_rule(chromium, ports.url, "alice", PASSWORDS["alice"])
            guide.assert_let_in(
                "bob", "churn", lambda: hub.login("bob", PASSWORDS["bob"], provider="ldap"), **credentials
            )
