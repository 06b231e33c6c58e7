"""A service that the hub does not start (`managed: false`), as docs/separate-service.md describes it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import BIN, HubHandle, is_up, running_hub, start_process

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "separate-service.md"


@contextmanager
def serving(hub: HubHandle, variables: dict[str, str]) -> Iterator[None]:
    """Run `aizen-hub serve` beside a hub."""
    process = start_process([str(BIN / "aizen-hub"), "serve"], hub.folder, {**hub.environ, **variables})
    try:
        end = time.monotonic() + 60
        while not is_up(hub.service_url + "/readyz"):
            assert process.poll() is None, hub.log[-2000:]
            assert time.monotonic() < end, hub.log[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_it_serves_the_panel_with_the_documented_variables(tmp_path: Path) -> None:
    with running_hub(tmp_path, {"service": {"managed": False}}, accounts=("ann",)) as hub:
        with pytest.raises(LoginRejectedError):
            hub.login("ann")
        checked = subprocess.run(
            [str(BIN / "aizen-hub"), "doctor"],
            cwd=hub.folder,
            env=hub.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "aizen-hub serve" in re.sub(r"\s+", " ", checked.stdout), checked.stdout

        with serving(hub, {}):
            page = hub.login("ann").get("/services/aizen/")
            assert page.status == 503
            assert "JUPYTERHUB_API_URL" in page.words
            assert "have no sign-in" in hub.log

        config = (hub.folder / "jupyterhub_config.py").read_text(encoding="utf-8")
        port = re.search(r"hub_port = (\d+)", config)
        assert port is not None
        variables = {
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{port[1]}/hub/api",
            "JUPYTERHUB_API_TOKEN": (hub.folder / "data" / "service-api-token").read_text(encoding="utf-8").strip(),
            "JUPYTERHUB_CLIENT_ID": "service-aizen",
        }
        document = DOCUMENT.read_text(encoding="utf-8")
        assert all(name in document for name in variables)
        with serving(hub, variables):
            page = hub.login("ann").get("/services/aizen/")
            assert page.status == 200
            assert "no role yet" in page.words
            assert Browser(hub.url).get("/services/aizen/nothing").status == 404
