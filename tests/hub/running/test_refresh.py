"""Refresh of signed-in users: changes take effect, and a missing response is not a permission."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aizen_hub.demo.browser import Browser, LoginRejectedError
from tests.fixtures.hub import HubHandle, environment_of
from tests.fixtures.timing import within
from tests.hub.credentials import create_hub_token, project_of_session, request_with_token
from tests.hub.running.conftest import GROUPS, SUFFIX
from tests.hub.running.spawn_variants import by_api, by_form, by_link

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


class TestRefresh:
    """A directory user is refreshed before each start, and whenever the last refresh is too old."""

    GUSTAV = f"uid=gustav,ou=people,{SUFFIX}"

    @pytest.fixture
    def gustav(self, directory: Any, browser: Callable[..., Browser]) -> Iterator[Browser]:
        directory.modify(f"cn=outside,{GROUPS}", "add: member", f"member: {self.GUSTAV}")
        yield browser("gustav", "gustav-has-a-secret", provider="lab")
        directory.modify(f"cn=outside,{GROUPS}", "delete: member", f"member: {self.GUSTAV}")

    @pytest.mark.proves("R18", "R129")
    def test_a_disabled_account_cannot_start_a_server(self, hub: HubHandle, directory: Any, gustav: Browser) -> None:
        token = create_hub_token(gustav)
        directory.modify(self.GUSTAV, "replace: userAccountControl", "userAccountControl: 514")
        try:
            for spawn in (by_form, by_link):
                page = spawn(gustav, hub, "churn")
                assert page.status == 403 or "/hub/login" in page.url, page.text
            body = {"user_options": {"project": "churn"}}
            page = request_with_token(hub, token, "POST", "/hub/api/users/gustav/server", body)
            assert page.status in (400, 403), page.text
            assert project_of_session(hub, "gustav") is None
        finally:
            directory.modify(self.GUSTAV, "replace: userAccountControl", "userAccountControl: 512")
        gustav.spawn("churn")
        assert project_of_session(hub, "gustav") == "churn"

    def test_a_hook_gets_the_attributes_that_are_configured_for_it(self, hub: HubHandle, gustav: Browser) -> None:
        # Every start refreshes the user, so this is what a refresh read, not the login.
        attributes = environment_of(gustav, gustav.spawn("churn"))["ATTRIBUTES"]
        assert attributes == repr({"mail": ["gustav@example.org"], "telephoneNumber": []})

    @pytest.mark.proves("R6", "R63")
    def test_leaving_the_allowed_group_has_the_same_effect(
        self, hub: HubHandle, directory: Any, gustav: Browser
    ) -> None:
        group = f"cn=outside,{GROUPS}"
        directory.modify(group, "delete: member", f"member: {self.GUSTAV}")
        try:
            page = by_form(gustav, hub, "churn")
            assert page.status >= 400, page.text
            assert project_of_session(hub, "gustav") is None
        finally:
            directory.modify(group, "add: member", f"member: {self.GUSTAV}")

    @pytest.mark.proves("T-22")
    def test_a_hung_directory_signs_no_user_out_at_once(self, hub: HubHandle, directory: Any, gustav: Browser) -> None:
        with directory.hung():
            gustav.spawn("churn")
        assert project_of_session(hub, "gustav") == "churn"


class TestStalledService:
    @pytest.mark.proves("R59", "R79")
    def test_logins_and_starts_are_denied_with_the_reason(
        self, hub: HubHandle, browser: Callable[..., Browser]
    ) -> None:
        erin, service = browser("erin"), hub.service_process()
        service.suspend()
        try:
            # The service's deadline is six seconds; without it a request would take as long as the service stalls. A
            # second wait within the start would be longer than the ten seconds after which JupyterHub itself answers.
            with within(40), ThreadPoolExecutor(2) as pool:
                starting = pool.submit(by_api, erin, hub, "churn")
                with pytest.raises(LoginRejectedError, match="Signing in is not possible at the moment"):
                    hub.login("maker")
                page = starting.result()
        finally:
            service.resume()
        assert page.status == 503, page.text
        assert "The access service does not respond" in page.json()["message"]
        assert project_of_session(hub, "erin") is None
        erin.spawn("churn")
