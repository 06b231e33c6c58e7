"""A service that the hub starts and that is sealed: the hub goes on, says what is wrong, and needs no restart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import running_hub

pytestmark = pytest.mark.slow
UNSEAL_SECONDS = 30.0


@pytest.mark.proves("R7", "R79")
def test_a_sealed_service_does_not_end_the_hub(tmp_path: Path) -> None:
    with running_hub(tmp_path, accounts=("ada",)) as hub:
        hub.login("ada")
        hub.stop()
        key, moved = hub.settings.key_encryption_path, tmp_path / "moved"
        key.rename(moved)
        (tmp_path / "hub.log").unlink()
        hub.restart()  # fails if the hub ends

        service = hub.service_process()
        page = Browser(hub.url).get("/services/aizen/")
        assert page.status == 200
        assert "until an administrator has repaired it: the key-encryption file does not exist" in page.words
        assert "keys recover" in page.words
        with pytest.raises(LoginRejectedError, match="is sealed and decides nothing"):
            hub.login("ada")

        moved.rename(key)
        end = time.monotonic() + UNSEAL_SECONDS
        while True:
            try:
                browser = hub.login("ada")
                break
            except LoginRejectedError:
                assert time.monotonic() < end, "it stayed sealed"
                time.sleep(0.2)
        assert browser.get("/services/aizen/").status == 200
        assert hub.service_process().pid == service.pid, "neither the hub nor the service was restarted"
