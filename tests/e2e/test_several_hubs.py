"""Two real hubs on one `aizen-hub serve`, as deploy/SCALING.md says: one person runs the default server at both."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.cli.doctor.further_hubs import check_further_hubs
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.demo.browser import Browser, BrowserError
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.secret_files import read_or_create_secret
from tests.fixtures.hub import BIN, HubHandle, running_hub, start_process
from tests.fixtures.network.ports import free_ports

pytestmark = pytest.mark.slow

PANEL = "/services/aizen/"
DEADLINE_SECONDS = 60


def seed(tx: Any) -> None:
    from aizen_hub.accounts.projects import lifecycle
    from aizen_hub.accounts.roles import assignments
    from aizen_hub.rbac.identity import Identity

    lifecycle.create_project(tx, "churn", owner=Identity.user("boss"))
    assignments.grant_roles(tx, ["PROJECT_EXECUTOR"], "churn", Identity.user("alice"), reason="test")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@contextmanager
def serving(hub: HubHandle) -> Iterator[None]:
    """Run the service beside its main hub, with the documented variables."""
    config = (hub.folder / "jupyterhub_config.py").read_text(encoding="utf-8")
    hub_port = re.search(r"hub_port = (\d+)", config)
    assert hub_port is not None
    variables = {
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port[1]}/hub/api",
        "JUPYTERHUB_API_TOKEN": (hub.folder / "data" / "service-api-token").read_text(encoding="utf-8").strip(),
        "JUPYTERHUB_CLIENT_ID": "service-aizen",
    }
    process = start_process([str(BIN / "aizen-hub"), "serve"], hub.folder, {**hub.environ, **variables})
    try:
        wait_until(lambda: is_ready(hub, process), hub.log[-4000:])
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def is_ready(hub: HubHandle, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, hub.log[-4000:]
    with suppress(BrowserError):
        return Browser(hub.service_url).get("/readyz").status == 200
    return False


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubHandle, HubHandle]]:
    """The main hub and a further one, `gpu`; ``alice`` is an executor of `churn`, ``boss`` AIZEN_ADMIN."""
    main_folder, gpu_folder = tmp_path_factory.mktemp("main"), tmp_path_factory.mktemp("gpu")
    (service_port, gpu_port) = free_ports(2)
    (gpu_folder / "data").mkdir(mode=0o700)
    secret = gpu_folder / "data" / "hub-secret"
    read_or_create_secret(secret)
    further = {
        "id": "gpu",
        "secret_file": str(secret),
        "api_url": f"http://127.0.0.1:{gpu_port}/hub/api",
        "providers": ["local"],
    }
    service = {"managed": False, "port": service_port, "drain_seconds": 0}
    of_main = {"service": service, "further_hubs": [further]}
    accounts = {"alice": "", "boss": "AIZEN_ADMIN"}
    with ExitStack() as running:
        main = running.enter_context(running_hub(main_folder, of_main, accounts=accounts, seed=seed))
        main.service_url = f"http://127.0.0.1:{service_port}"
        running.enter_context(serving(main))
        of_gpu = {"service": service, "panel_url": main.url + PANEL}
        port = f"c.JupyterHub.hub_port = {gpu_port}"
        gpu = running.enter_context(running_hub(gpu_folder, of_gpu, config_after=port))
        gpu.passwords = main.passwords
        yield main, gpu


def sessions_of(main: HubHandle, name: str) -> dict[tuple[str, str], int]:
    """Return hub and server of each active session of a user, and when its hub reported the server last."""
    query = 'SELECT hub, server, last_seen FROM sessions WHERE ended IS NULL AND "user" = ?'
    with closing(sqlite3.connect(f"file:{main.folder / 'data' / 'aizen.sqlite'}?mode=ro", uri=True)) as db:
        return {(hub, server): seen for hub, server, seen in db.execute(query, (name,))}


def has_heartbeats(main: HubHandle, before: dict[tuple[str, str], int]) -> bool:
    """Return whether each of these sessions is active and was reported since."""
    now = sessions_of(main, "alice")
    return all(now[session] > seen for session, seen in before.items())


@pytest.mark.proves("R46", "R146", "T-60")
def test_one_person_at_both_hubs(hubs: tuple[HubHandle, HubHandle]) -> None:
    main, gpu = hubs
    at_main, at_gpu = main.login("alice"), gpu.login("alice")
    homes = main.spawn(at_main, "churn"), gpu.spawn(at_gpu, "churn")
    assert homes[0] == homes[1], "equal names of servers"
    with main.kernel(at_main, homes[0]) as one, gpu.kernel(at_gpu, homes[1]) as other:
        for kernel in (one, other):
            assert "churn" in kernel.execute("show project").text
        for _ in range(2):
            before = sessions_of(main, "alice")
            assert before.keys() == {("gpu", ""), ("main", "")}
            wait_until(lambda before=before: has_heartbeats(main, before), "both hubs report their servers")
        at_gpu.stop()
        wait_until(lambda: sessions_of(main, "alice").keys() == {("main", "")}, "the session ends with its server")
        before = sessions_of(main, "alice")
        wait_until(lambda: has_heartbeats(main, before), "the other server is still reported")
        assert "churn" in one.execute("show project").text
    assert at_main.server() is not None, "the stop at one hub leaves the server of the other"


def test_the_panel_is_that_of_the_main_hub(hubs: tuple[HubHandle, HubHandle]) -> None:
    main, gpu = hubs
    browser = gpu.login("alice")
    assert f'id="aizen-panel" href="{main.url}{PANEL}"' in browser.get("/hub/home").text
    page = f"{PANEL}why?do=enter:project&in=churn"
    with pytest.raises(BrowserError, match=re.escape(f"another site: {main.url}{page}")):
        browser.get(page)
    for path in (
        "/hub/aizen/confirm?page=account",
        "/hub/aizen/link?provider=local",
        f"{PANEL}../../hub/logout%0d%0ax",
    ):
        assert browser.get(path).status == 404, path


def test_the_doctor_finds_a_hub_with_another_secret(hubs: tuple[HubHandle, HubHandle], tmp_path: Path) -> None:
    main, _ = hubs
    settings = main.settings
    (right,) = settings.further_hubs
    read_or_create_secret(tmp_path / "other")
    wrong = right.model_copy(update={"secret_file": tmp_path / "other"})
    foreign = right.model_copy(update={"api_url": f"{main.service_url}/hub/api"})
    found = {}
    for name, hub in {"right": right, "wrong": wrong, "foreign": foreign}.items():
        changed = settings.model_copy(update={"further_hubs": (hub,)})
        installation = Installation(main.folder / "aizen.yaml", changed, main.folder / "jupyterhub_config.py")
        (result,) = check_further_hubs(installation)
        found[name] = (result.check, result.level)
    assert found == {
        "right": ("further-hub", "ok"),
        "wrong": ("hub-secret-differs", "fail"),
        "foreign": ("further-hub", "warn"),
    }


@pytest.mark.proves("R78", "R142", "R146")
def test_a_stop_reaches_both_hubs(hubs: tuple[HubHandle, HubHandle]) -> None:
    main, gpu = hubs
    browsers = main.login("alice"), gpu.login("alice")
    for hub, browser in zip(hubs, browsers, strict=True):
        if browser.server() is None:
            hub.spawn(browser, "churn")
    boss = main.login("boss")
    token = boss.api("POST", "/hub/api/users/boss/tokens", {"note": "test", "expires_in": 600}).json()["token"]
    client = SyncClient(main.url + PANEL.rstrip("/"), f"token {token}", deadline=DEADLINE_SECONDS)
    sentence = client.post("/api/v1/users/alice/stop", {"reason": "lost laptop"})["message"]
    assert "; 2 sessions ended, 2 servers stopped, " in sentence
    assert sentence.endswith("signed out everywhere")
    for browser in browsers:
        assert "/hub/login" in browser.get("/hub/home").url
    assert sessions_of(main, "alice") == {}
