"""docs/how-to/active-directory.md as written, with a Samba domain: a role by a group in which the person is nested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.guide import Guide, HubPorts, confirm_rule, token_of

pytestmark = [pytest.mark.needs("samba", "browser"), pytest.mark.slow]


def write_directory(guide: Guide, domain: Any) -> None:
    """Put the provider of the document into the file of `init`; only names, password and certificate are the test's."""
    from tests.fixtures.identity.samba import SUFFIX

    wanted = guide.provider()
    (provider,) = wanted["providers"]
    config, real = provider["config"], domain.settings()
    guide.write_secret(config["lookup_dn_search_password_file"], real["lookup_dn_search_password"])
    config |= {name: real[name] for name in ("server_address", "tls_kwargs", "lookup_dn_search_user")}
    config |= {"user_search_base": SUFFIX, "group_search_base": SUFFIX}
    # A domain controller that shares two cores with other tests is slow.
    provider["deadline_seconds"] = 20
    guide.write_settings(wanted)


def test_the_documented_way(tmp_path: Path, chromium: Any) -> None:
    from tests.fixtures.identity.samba import REALM, running_samba

    guide = Guide(Path("docs/how-to/active-directory.md"), tmp_path / "hub")
    guide.folder.mkdir()
    init, doctor, hub_command, *changes = guide.commands()
    ports = HubPorts.reserve(guide)
    with running_samba(tmp_path) as domain:
        guide.run([*init, "--hub-url", ports.url])
        write_directory(guide, domain)
        assert "ad" in guide.run(doctor)
        with guide.running_hub(hub_command, ports) as hub:
            token = token_of(hub.login("bert", domain.passwords["bert"], provider="ad"), "bert")
            credentials = {"AIZEN_HUB_URL": ports.url, "AIZEN_HUB_TOKEN": token}
            for command in changes:
                guide.run(command, **credentials)
            confirm_rule(chromium, ports.url, "bert", domain.passwords["bert"])

            def sign_in() -> None:
                # By the principal name, in any case of letters: the account is the same.
                browser = hub.login(f"Anna@{REALM}", domain.passwords["anna"], provider="ad")
                assert browser.name == "anna"

            guide.assert_let_in("anna", "churn", sign_in, **credentials)
