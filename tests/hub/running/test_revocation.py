"""The endpoint by which the service revokes a user's access."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.page import HtmlPage
from tests.fixtures.hub import HubHandle
from tests.hub.credentials import create_hub_token, project_of_session, request_with_token

pytestmark = [pytest.mark.needs("slapd"), pytest.mark.slow]


class TestRevocation:
    PATH = "/hub/api/aizen/revoke"

    def _post(self, hub: HubHandle, secret: str | None, body: bytes) -> HtmlPage:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
        return Browser(hub.url).request("POST", self.PATH, body, headers)

    @pytest.fixture
    def secret(self, hub: HubHandle) -> str:
        from aizen_hub.secret_files import read_secret

        return read_secret(hub.settings.hub_secret_path)

    def test_it_ends_browser_sessions_tokens_and_servers(
        self, hub: HubHandle, browser: Callable[..., Browser], secret: str
    ) -> None:
        maker = browser("maker")
        maker.spawn("")
        token = create_hub_token(maker)
        assert request_with_token(hub, token, "GET", "/hub/api/user").status == 200
        page = self._post(hub, secret, b'{"user": "maker"}')
        assert page.status == 200, page.text
        assert page.json()["servers"] == 1
        assert page.json()["tokens"] >= 2
        assert request_with_token(hub, token, "GET", "/hub/api/user").status == 403
        assert "/hub/login" in maker.get("/hub/home").url
        assert project_of_session(hub, "maker") is None
        again = hub.login("maker")
        assert again.server() is None

    @pytest.mark.proves("R31", "R144")
    def test_it_deletes_the_record_of_a_user(
        self, hub: HubHandle, browser: Callable[..., Browser], secret: str
    ) -> None:
        """The administrator of the service, who has no right at the hub, releases a name this way."""
        maker = browser("maker")
        maker.spawn("")
        token = create_hub_token(maker)
        page = self._post(hub, secret, b'{"user": "maker", "delete": true}')
        assert page.status == 200, page.text
        assert page.json()["servers"] == 1
        assert self._post(hub, secret, b'{"user": "maker", "delete": true}').status == 404
        assert request_with_token(hub, token, "GET", "/hub/api/user").status == 403
        assert project_of_session(hub, "maker") is None

    def test_only_the_hub_secret_is_accepted(
        self, hub: HubHandle, browser: Callable[..., Browser], secret: str
    ) -> None:
        boss = browser("boss")
        for wrong in (None, "", secret[:-1], secret + "x", create_hub_token(boss)):
            page = self._post(hub, wrong, b'{"user": "boss"}')
            assert page.status == 401, page.text
        assert boss.api("POST", self.PATH, {"user": "boss"}).status == 401
        assert boss.api("GET", "/hub/api/user").status == 200

    @pytest.mark.proves("R98")
    def test_tokens_are_listed_without_their_value_and_one_is_ended(
        self, hub: HubHandle, browser: Callable[..., Browser], secret: str
    ) -> None:
        browser("boss")
        maker = browser("maker")
        tokens = [create_hub_token(maker), create_hub_token(maker)]

        def listed(name: str, by: str | None = secret) -> HtmlPage:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {by}"}
            body = json.dumps({"user": name}).encode()
            return Browser(hub.url).request("POST", "/hub/api/aizen/tokens", body, headers)

        page = listed("maker")
        assert page.status == 200, page.text
        own = [token for token in page.json()["tokens"] if token["note"].startswith("test")]
        assert len(own) >= 2
        assert all(token["created"].endswith("+00:00") and token["expires"] for token in own)
        assert not any(token in page.text for token in tokens)
        # The newest first; another user's request does not reach it.
        assert self._post(hub, secret, json.dumps({"user": "boss", "token_id": own[0]["id"]}).encode()).status == 200
        assert request_with_token(hub, tokens[1], "GET", "/hub/api/user").status == 200
        ended = self._post(hub, secret, json.dumps({"user": "maker", "token_id": own[0]["id"]}).encode())
        assert ended.json()["tokens"] == 1
        assert request_with_token(hub, tokens[1], "GET", "/hub/api/user").status == 403
        assert request_with_token(hub, tokens[0], "GET", "/hub/api/user").status == 200
        assert own[0]["id"] not in [token["id"] for token in listed("maker").json()["tokens"]]
        assert listed("not-there").status == 404
        assert listed("maker", tokens[0]).status == listed("maker", None).status == 401

    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"user": 1}', 400), (b'{"user": "a", "x": 1}', 400),
         (b'{"user": "a", "user": "b"}', 400), (b'{"user": "not-there"}', 404), (b" " * 5000, 413)],
    )  # fmt: skip
    def test_bad_input_names_the_fault(self, hub: HubHandle, secret: str, body: bytes, status: int) -> None:
        page = self._post(hub, secret, body)
        assert page.status == status
        assert page.json()["detail"]
