"""What a running server can do, and how it ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import psutil
import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from aizen_hub.demo.kernel import Kernel
from tests.fixtures.hub import HubHandle, environment_of
from tests.hub.credentials import create_hub_token, has_running_server, project_of_session, request_with_token

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


class TestServer:
    def test_a_directory_user_works_in_a_notebook(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        alice = browser("alice", "alice-has-a-secret", provider="lab")
        with Kernel(alice, alice.spawn("churn")) as kernel:
            output = kernel.execute("import os; print(os.environ['AIZEN_PROJECT'], os.environ['AIZEN_URL'])")
            assert output.text.split() == ["churn", hub.service_url]
            assert "churn" in kernel.execute("show project churn").text
            assert "no core is configured" in kernel.execute("start training x").text
            refused = kernel.execute("grant role PROJECT_READER to erin").text
            assert "you cannot grant PROJECT_READER to `erin`" in refused

    @pytest.mark.proves("T-03")
    def test_a_notebook_can_neither_start_servers_nor_create_tokens(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        erin = browser("erin")
        token = environment_of(erin, erin.spawn("churn"))["JUPYTERHUB_API_TOKEN"]
        for method, path, body in (
            ("POST", "/hub/api/users/erin/servers/other", {"user_options": {"project": "churn"}}),
            ("POST", "/hub/api/users/erin/tokens", {"note": "x"}),
            ("DELETE", "/hub/api/users/erin/server", None),
            ("GET", "/hub/api/users", None),
        ):
            assert request_with_token(hub, token, method, path, body).status in (403, 404), path
        scopes = request_with_token(hub, token, "GET", "/hub/api/user").json()["scopes"]
        assert not [scope for scope in scopes if scope.startswith(("access:services", "tokens", "servers"))]
        assert request_with_token(hub, token, "GET", "/services/aizen/api/v1/me").status in (401, 403)

    @pytest.mark.proves("R35")
    def test_the_role_token_is_in_no_log_no_argument_and_no_hub_database(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        erin = browser("erin")
        token = environment_of(erin, erin.spawn("churn"))["AIZEN_TOKEN"]
        assert token.count(".") == 2
        arguments = [process.cmdline() for process in psutil.Process(hub.process.pid).children(recursive=True)]
        signature = token.rpartition(".")[2].encode()
        assert not [line for line in arguments if signature.decode() in " ".join(line)]
        for path in hub.folder.rglob("*"):
            if path.is_file() and "homes" not in path.parts:
                assert signature not in path.read_bytes(), path

    def test_lines_of_the_log_have_time_and_level(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        browser("erin").spawn("churn")
        lines = [line for line in hub.log.splitlines() if re.search(r"session \S+: `erin`, server", line)]
        assert lines
        for line in lines:
            assert re.match(r"\[I \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", line), line

    def test_stopping_ends_the_session(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        erin = browser("erin")
        erin.spawn("churn")
        assert project_of_session(hub, "erin") == "churn"
        erin.stop()
        assert project_of_session(hub, "erin") is None

    @pytest.mark.proves("R78")
    def test_a_lock_stops_the_server_within_seconds(self, hub: HubHandle, browser: Callable[..., Browser]) -> None:
        leyla, boss = browser("leyla"), browser("boss")
        leyla.spawn("churn")
        body = {"target": "identity", "name": "user:leyla", "reason": "test"}
        page = request_with_token(hub, create_hub_token(boss), "POST", "/services/aizen/api/v1/locks", body)
        assert page.status == 201, page.text
        end = time.monotonic() + 15
        while has_running_server(hub, "leyla"):
            assert time.monotonic() < end, "the server still runs"
            time.sleep(0.2)
        assert project_of_session(hub, "leyla") is None
        with pytest.raises(LoginRejectedError, match="locked"):
            hub.login("leyla")
