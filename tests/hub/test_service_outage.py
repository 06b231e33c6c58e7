"""What users are told while the service decides nothing."""

from __future__ import annotations

import pytest

from aizen_hub.client.errors import Unreachable
from aizen_hub.hub.service_outage import describe_outage
from aizen_hub.problems import Unavailable


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Unreachable("no"), "does not respond; try again in a minute"),
        (Unavailable("busy"), "does not respond"),
        (Unavailable("wait", extensions={"starting": True}), "is starting; try again in a moment"),
        (Unavailable("no key at /srv/x", extensions={"sealed": True}), "is sealed and decides nothing until"),
    ],
)
def test_an_outage_is_told_from_a_sealed_service(error: Unavailable, text: str) -> None:
    assert text in describe_outage(error)
    assert "/srv/x" not in describe_outage(error)
