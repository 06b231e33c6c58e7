"""A failed start and an outage are explained without an internal address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.demo.page import HtmlPage
from aizen_hub.hub.spawn.progress_handler import MAX_TEXT, hide_addresses
from tests.fixtures.hub import HubHandle, running_hub
from tests.fixtures.timing import cpu_within

# A server that starts and never responds, as behind a firewall.
CONFIG = """
c.Spawner.cmd = ["sleep", "600"]
c.Spawner.args = []
c.Spawner.http_timeout = 4
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Server at http://127.0.0.1:41235/user/erin/api didn't respond in 30 seconds",
            "Server at an internal address didn't respond in 30 seconds",
        ),
        ("<a href='https://127.0.3.7:8888/x?y=1'>it</a>", "<a href='an internal address'>it</a>"),
        ("no route to 10.0.3.7", "no route to an internal address"),
        ("no route to [fd00::7]:8888", "no route to an internal address"),
        ("jupyter-erin.jhub.svc.cluster.local:8888 refused", "an internal address refused"),
        ("unix:///run/docker.sock is missing", "an internal address is missing"),
        ("the image python:3.11 was not found at 12:30", "the image python:3.11 was not found at 12:30"),
        ("Timed out after 30 seconds: memory 1.5 GiB", "Timed out after 30 seconds: memory 1.5 GiB"),
    ],
)
def test_addresses_are_replaced_and_other_text_stays(text: str, shown: str) -> None:
    assert hide_addresses(text) == shown


@pytest.mark.proves("R92")
@pytest.mark.parametrize("seed", ["a", "a-", "a.", "a_", "[:", "1.", "a:", "http://"])
def test_a_long_text_takes_little_time(seed: str) -> None:
    with cpu_within(0.5):
        assert len(hide_addresses(seed * 500_000)) <= MAX_TEXT + 1


@pytest.mark.parametrize(
    "address", ["10.0.3.7:8888", "http://service.example.org/x", "[fd00::7]:8888", "erin.svc.local:8888"]
)
def test_a_long_text_is_cut_but_never_within_an_address(address: str) -> None:
    for length in range(MAX_TEXT - len(address), MAX_TEXT + 1):
        shown = hide_addresses("é " * (length // 2) + " " * (length % 2) + address + " and more")
        assert shown.rstrip("é …").removesuffix("an internal address").strip("é ") == ""
        assert shown.endswith("…")
    assert hide_addresses("é " * (MAX_TEXT // 2)) == "é " * (MAX_TEXT // 2)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubHandle]:
    with running_hub(tmp_path_factory.mktemp("progress"), accounts={"boss": "AIZEN_ADMIN"}, config=CONFIG) as running:
        yield running


def assert_no_internal_address(page: HtmlPage, hub: HubHandle) -> None:
    text = page.text.replace(hub.url, "")
    assert "127.0.0.1" not in text, text
    assert urlsplit(hub.service_url).netloc not in text


@pytest.mark.slow
class TestHub:
    def test_a_server_that_does_not_respond(self, hub: HubHandle) -> None:
        boss = hub.login("boss")
        boss.get("/hub/spawn/boss")
        page = boss._submit(f"/hub/spawn/boss?_xsrf={boss.xsrf('/hub/')}", {"project": ""})
        assert page.status < 400, page.text
        stream = boss.api("GET", "/hub/api/users/boss/server/progress")
        events = [json.loads(line[5:]) for line in stream.text.splitlines() if line.startswith("data:")]
        assert "In no project: AIZEN_ADMIN from " in events[0]["message"], "which role holds, and where it comes from"
        assert events[-1]["failed"] is True
        assert events[-1]["message"] == "Spawn failed: Server at an internal address didn't respond in 4 seconds"
        assert_no_internal_address(stream, hub)
        assert_no_internal_address(boss.get("/hub/spawn-pending/boss"), hub)
        assert "Server at http://127.0.0.1" in hub.log or "never showed up at http://127.0.0.1" in hub.log

    def test_pages_while_the_service_does_not_respond(self, hub: HubHandle) -> None:
        boss, service = hub.login("boss"), hub.service_process()
        service.suspend()
        try:
            form = boss.get("/hub/spawn/boss")
            with pytest.raises(LoginRejectedError) as rejected:
                Browser(hub.url, deadline=60).login("boss", hub.passwords["boss"])
        finally:
            service.resume()
        assert "cannot be listed at the moment" in form.words
        assert 'id="spawn_form"' not in form.text, "there is nothing to start"
        assert_no_internal_address(form, hub)
        assert "127.0.0.1" not in str(rejected.value)
        assert hub.service_url in hub.log
