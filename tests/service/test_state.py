"""What a sealed or stopping service refuses, and the frozen context around that state."""

from __future__ import annotations

import dataclasses

import pytest

from aizen_hub.problems import Unavailable
from aizen_hub.service.state import ServiceState
from tests.service.conftest import Driver


def test_an_open_service_refuses_nothing() -> None:
    ServiceState().require_open()


@pytest.mark.proves("R7")
def test_a_sealed_service_names_reason_and_remedy() -> None:
    with pytest.raises(Unavailable) as raised:
        ServiceState(sealed="a key is missing", seal_remedy="bring it back").require_open()
    assert (raised.value.detail, raised.value.remedy) == ("a key is missing", "bring it back")
    assert raised.value.extensions["sealed"] is True


def test_a_stopping_service_refuses() -> None:
    with pytest.raises(Unavailable, match="stopping"):
        ServiceState(stopping=True).require_open()


async def test_the_context_cannot_be_changed(service: Driver) -> None:
    context = service.server.context
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.metrics = None  # type: ignore[misc,assignment]
