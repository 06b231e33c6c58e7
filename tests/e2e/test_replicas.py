"""Two replicas of the service behind a proxy that alternates between them: sign-ins to the panel, and an outage."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser, BrowserError
from tests.fixtures.hub import BIN, HubHandle, running_hub, start_process
from tests.fixtures.network.ports import free_ports
from tests.fixtures.network.round_robin import RoundRobin, round_robin

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.slow]

PANEL = "/services/aizen/"
SIGN_INS = 12
DEEP_PAGE = f"{PANEL}people?q=bo&sort=-name"


@contextmanager
def replica(hub: HubHandle, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run one replica beside a hub, with the documented variables."""
    config = (hub.folder / "jupyterhub_config.py").read_text(encoding="utf-8")
    hub_port = re.search(r"hub_port = (\d+)", config)
    assert hub_port is not None
    variables = {
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port[1]}/hub/api",
        "JUPYTERHUB_API_TOKEN": (hub.folder / "data" / "service-api-token").read_text(encoding="utf-8").strip(),
        "JUPYTERHUB_CLIENT_ID": "service-aizen",
        "AIZEN_SERVICE__PORT": str(port),
    }
    process = start_process([str(BIN / "aizen-hub"), "serve"], hub.folder, {**hub.environ, **variables})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(hub: HubHandle, process: subprocess.Popen[bytes], port: int) -> None:
    answer = None
    end = time.monotonic() + 60
    while answer is None or answer.status != 200:
        assert process.poll() is None, hub.log[-4000:]
        assert time.monotonic() < end, (hub.log[-2000:], answer and answer.text)
        time.sleep(0.2)
        with suppress(BrowserError):
            answer = Browser(f"http://127.0.0.1:{port}").get("/readyz")


def test_sign_ins_and_an_outage(tmp_path: Path, migrated_url: str) -> None:
    front, *ports = free_ports(3)
    settings = {
        "database": migrated_url,
        "service": {"managed": False, "port": front, "url": f"http://127.0.0.1:{front}"},
    }
    with ExitStack() as stack:
        hub = stack.enter_context(running_hub(tmp_path, settings, accounts={"boss": "AIZEN_ADMIN", "bob": ""}))
        balancer = stack.enter_context(round_robin(front, ports))
        with ExitStack() as replicas:
            initialize = [str(BIN / "aizen-hub"), "keys", "init"]
            subprocess.run(initialize, cwd=hub.folder, env=hub.environ, check=True, capture_output=True, timeout=60)
            for port in ports:
                wait_until_ready(hub, replicas.enter_context(replica(hub, port)), port)
            check_sign_ins(hub, balancer)
            browser = hub.login("boss")
            assert 'id="aizen-panel"' in browser.get("/hub/home").text, "the panel is linked by its name"
        check_outage(hub, browser)


def check_sign_ins(hub: HubHandle, balancer: RoundRobin) -> None:
    """Twelve new browsers open a deep page; each sign-in passes over both replicas."""
    opened = []
    for _ in range(SIGN_INS):
        browser = hub.login("boss")
        page = browser.get(DEEP_PAGE)
        opened.append((page.status, page.url.removeprefix(hub.url), "bob" in page.words))
    assert opened == [(200, DEEP_PAGE, True)] * SIGN_INS
    assert all(count >= SIGN_INS for count in balancer.served.values()), balancer.served


def check_outage(hub: HubHandle, browser: Browser) -> None:
    """Without any replica the hub explains, and says nothing of a server of the user."""
    page = browser.get(PANEL + "home")
    assert page.status == 503
    assert "Access management is not answering" in page.words
    assert "Running servers and jobs go on" in page.words
    assert f'href="{PANEL}home"' in page.text
    assert 'http-equiv="refresh"' in page.text
    assert "Your server" not in page.words
    main = page.text[page.text.index('id="aizen-outage"') :]
    assert "127.0.0.1" not in main.partition("</main>")[0].partition("<script")[0]
