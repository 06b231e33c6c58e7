"""A user server that installs a service worker for the origin of the panel, in a real browser (T-57)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aizen_hub.client.sync_client import SyncClient
from tests.fixtures.hub import HubHandle, running_hub

if TYPE_CHECKING:
    from tests.fixtures.browser.pages import BrowserUser

pytestmark = [pytest.mark.needs("browser"), pytest.mark.slow]

PANEL = "/services/aizen/"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "security"
READ_NOTHING = "read 403 without a token"


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("erin"))
    assignments.grant_roles(tx, ["PROJECT_READER"], "churn", Identity.user("rita"), reason="test")


@contextmanager
def hostile_hub(folder: Path, *, protected: bool) -> Iterator[HubHandle]:
    """Start a hub at which the server of rita attacks; the file ``attack`` in the folder has the arguments."""
    lines = [
        f"FAKE_COMMAND = [{sys.executable!r}, {str(FIXTURES / 'hostile_server.py')!r}]",
        "def _attack(spawner):",
        "    _prepare_server(spawner)",
        f"    spawner.args = open({str(folder / 'attack')!r}).read().split()",
        "c.Spawner.pre_spawn_hook = _attack",
        "c.JupyterHub.services = []",
    ]
    unprotected = f"[{sys.executable!r}, {str(FIXTURES / 'unprotected_service.py')!r}]"
    after = "" if protected else f"c.JupyterHub.services[0]['command'][:2] = {unprotected}"
    with running_hub(
        folder,
        accounts=("erin", "rita"),
        seed=seed,
        fake_servers=("rita",),
        config="\n".join(lines),
        config_after=after,
    ) as hub:
        yield hub


class Attacker:
    """Rita, who requests to become an admin of the project, and whose server makes its admin approve that."""

    def __init__(self, hub: HubHandle) -> None:
        self._hub, browser = hub, hub.login("rita")
        token = browser.api("POST", "/hub/api/users/rita/tokens", {"note": "test", "expires_in": 600}).json()["token"]
        self._client = SyncClient(f"{hub.url}{PANEL.rstrip('/')}", f"token {token}")
        request = {"role": "PROJECT_ADMIN", "scope": "churn", "reason": "mine"}
        made = self._client.post("/api/v1/requests", request)["data"]["request"]
        self.page = f"requests/{made}"
        (hub.folder / "attack").write_text(f"{self.page} {PANEL}{self.page}/approve", encoding="utf-8")
        hub.spawn(browser, "churn")

    def is_admin(self) -> bool:
        return "PROJECT_ADMIN" in {held["role"] for held in self._client.get("/api/v1/me")["roles"]}

    def observations(self, count: int = 1) -> list[str]:
        """What the worker saw; waits for this many observations."""
        file = self._hub.folder / "homes" / "rita" / "reports"
        seen: list[str] = []
        for _ in range(600):
            seen = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            if len(seen) >= count:
                break
            time.sleep(0.1)
        return seen


def walk_into_the_trap(chromium: Any, hub: HubHandle, attack: str) -> BrowserUser:
    """Let the project's admin open the page of rita's server."""
    from tests.fixtures.browser.pages import BrowserUser

    erin = BrowserUser(chromium, hub.url)
    erin.page.goto(f"/user/rita/trap?{attack}")
    erin.page.wait_for_function("document.title === 'installed'")
    return erin


@pytest.mark.proves("T-57")
def test_a_worker_acts_in_an_unprotected_panel(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> None:
    """The attack is real: without the refusal, opening the page is enough."""
    with hostile_hub(tmp_path_factory.mktemp("w"), protected=False) as hub:
        rita = Attacker(hub)
        erin = walk_into_the_trap(chromium, hub, "empty-preload")
        erin.page.goto(PANEL + "me")
        erin.login("erin", hub.passwords["erin"])
        erin.page.wait_for_url("**" + PANEL + "me")
        erin.page.goto(PANEL + rita.page)
        assert rita.observations() == ["sent opaqueredirect"]
        assert rita.is_admin(), "erin approved what she did not see"
        erin.context.close()


@pytest.mark.proves("R137", "T-57")
def test_a_worker_reads_nothing_in_the_panel(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> None:
    with hostile_hub(tmp_path_factory.mktemp("w"), protected=True) as hub:
        rita = Attacker(hub)
        for number, attack in enumerate(("preload", "empty-preload"), 1):
            erin = walk_into_the_trap(chromium, hub, attack)
            erin.page.goto(PANEL + rita.page)
            assert "service worker" in erin.visible_text()
            assert rita.observations(2 * number - 1) == [READ_NOTHING] * (2 * number - 1)
            # The browser removed the worker, as the page told it to.
            erin.page.goto(PANEL + rita.page)
            erin.login("erin", hub.passwords["erin"])
            erin.page.wait_for_url("**" + PANEL + rita.page)
            assert "PROJECT_ADMIN" in erin.page.inner_text("h1")
            # Again, now signed in.
            erin.page.goto(f"/user/rita/trap?{attack}")
            erin.page.wait_for_function("document.title === 'installed'")
            erin.page.goto(PANEL + rita.page)
            assert "service worker" in erin.visible_text()
            erin.context.close()
        assert set(rita.observations()) == {READ_NOTHING}
        assert not rita.is_admin()
