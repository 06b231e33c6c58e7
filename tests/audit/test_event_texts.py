"""Every event that the code records has a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aizen_hub
from aizen_hub.audit.event_texts import EVENT_TEXTS, KIND_EVENTS, EventKind
from aizen_hub.tokens.keys import KeyState

SOURCE = Path(aizen_hub.__file__).parent
RECORDED = re.compile(
    r"""(?:\baudit|make_audit_record)\(\s*(?:[a-z_.]+,\s*)?"([a-z][a-z.-]+)"|event(?:: str)? ?= ?"([a-z.-]+)\""""
)


def recorded_events() -> set[str]:
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for match in RECORDED.finditer(path.read_text()):
            names.add(match[1] or match[2])
    return names


def test_every_recorded_event_has_a_text() -> None:
    names = recorded_events()
    names |= {f"key.{state}" for state in KeyState}
    assert {"role.granted", "lock.set", "access.read", "review.started"} <= names
    assert names - EVENT_TEXTS.keys() == {"decision"}


@pytest.mark.parametrize("name", sorted(EVENT_TEXTS))
def test_a_text_has_balanced_parts(name: str) -> None:
    template = EVENT_TEXTS[name].template
    assert template.count("[") == template.count("]")
    assert template.count("{") == template.count("}")
    assert not template.endswith(".")


def test_every_event_has_one_kind() -> None:
    assert sum(len(names) for names in KIND_EVENTS.values()) == len(EVENT_TEXTS)
    assert set(KIND_EVENTS) == set(EventKind)
