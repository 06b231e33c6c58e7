"""Secrets in the files and the log of a hub."""

from __future__ import annotations

import stat

import pytest

from tests.fixtures.hub import HubHandle
from tests.hub.running.hub_log import unexpected

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


class TestFiles:
    def test_every_secret_is_readable_by_its_owner_only(self, hub: HubHandle) -> None:
        names = {"hub-secret", "hub-cookie-secret", "hub-crypt-key", "service-api-token", "key-encryption-key"}
        data = hub.folder / "data"
        assert names <= {path.name for path in data.iterdir()}
        for path in (*data.iterdir(), hub.folder / "jupyterhub.sqlite"):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
        assert not stat.S_IMODE(data.stat().st_mode) & 0o077

    def test_no_secret_and_no_password_is_in_the_log(self, hub: HubHandle) -> None:
        log = hub.log
        for name in ("hub-secret", "hub-cookie-secret", "hub-crypt-key", "service-api-token"):
            assert (hub.folder / "data" / name).read_text().strip() not in log
        for password in (*hub.passwords.values(), "alice-has-a-secret", "only-looks-things-up"):
            assert password not in log

    def test_there_was_no_unexpected_error(self, hub: HubHandle) -> None:
        assert unexpected(hub.log) == []
