"""The settings of the interpreter change while there are operations, and only then."""

from __future__ import annotations

import gc
import sys

import pytest

from aizen_hub.operations.interpreter import InterpreterSettings


def current() -> tuple[float, tuple[int, int, int]]:
    return sys.getswitchinterval(), gc.get_threshold()


def test_they_are_kept_until_the_last_operation_ends() -> None:
    before, settings = current(), InterpreterSettings()
    with settings.for_operation():
        during = current()
        assert during[0] < before[0]
        assert during[1][:2] == before[1][:2]
        assert during[1][2] > before[1][2]
        with settings.for_operation():
            pass
        assert current() == during
    assert current() == before


def test_an_error_ends_it_too() -> None:
    before, settings = current(), InterpreterSettings()
    with pytest.raises(ValueError, match="x"), settings.for_operation():
        raise ValueError("x")
    assert current() == before
