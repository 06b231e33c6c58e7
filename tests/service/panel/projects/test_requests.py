"""The requests of one project."""

from __future__ import annotations

from aizen_hub.accounts.roles import access_requests
from tests.fixtures.browser.panel import PanelService
from tests.service.panel.projects.objects import seed, words

__all__ = ["seed"]


def test_what_waits_and_what_was_decided(panel: PanelService) -> None:
    page = "projects/churn/requests"
    assert "No request waits for you" in panel.get("paul", page)
    request = panel.write(
        "rita",
        lambda tx: access_requests.request_access(
            tx, "PROJECT_EXECUTOR", "churn", reason="<b>campaign</b>", until=None
        ),
    )
    text = panel.get("paul", page)
    assert "rita" in words(text)
    assert "&lt;b&gt;campaign&lt;/b&gt;" in text
    number = request.data["request"] if "request" in request.data else request.data["pending"]
    assert f"requests/{number}" in text
    panel.write("paul", lambda tx: access_requests.deny_request(tx, number, comment="not now"))
    content = words(panel.get("paul", page))
    assert "Denied not now" in content
    assert "by paul" in content
