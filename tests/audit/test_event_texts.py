"""Every event that the code records has a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aizen_hub
from aizen_hub.api_models.logins import LoginOutcome
from aizen_hub.audit.event_texts import EVENT_TEXTS, EVENT_VARIANTS, KIND_EVENTS, EventKind, EventVariant
from aizen_hub.audit.value_words import VALUE_WORDS
from aizen_hub.operations.operation import OperationState
from aizen_hub.rbac.role import LimitKind
from aizen_hub.service.operation_kinds import KINDS
from aizen_hub.tokens.keys import KeyState, Purpose

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


TEXTS = SOURCE.rglob("*.py")
QUERY = re.compile(r"""["']query["']: ["']([a-z-]+)["']""")
CHANGE = re.compile(r"""submit\(\s*tx, "([a-z-]+)\"""")


def test_what_is_recorded_as_a_code_has_words() -> None:
    source = "\n".join(path.read_text() for path in TEXTS if path.name != "value_words.py")
    words = {name: set(VALUE_WORDS[name]) for name in VALUE_WORDS}
    assert set(QUERY.findall(source)) == words["query"]
    assert set(CHANGE.findall(source)) <= words["change-kind"]
    assert {kind.name for kind in KINDS} == words["kind"]
    assert set(LimitKind) == words["limit"]
    assert {str(purpose) for purpose in Purpose} == words["purpose"]
    assert {state for state in OperationState if state.has_ended} <= words["state"]
    outcomes = {variant.value for name in ("login", "login.refreshed") for variant in EVENT_VARIANTS[name]}
    assert outcomes == {str(outcome) for outcome in LoginOutcome}


@pytest.mark.parametrize(
    ("event", "variant"), [(name, each) for name in EVENT_VARIANTS for each in EVENT_VARIANTS[name]]
)
def test_a_variant_is_of_a_known_event_and_has_balanced_parts(event: str, variant: EventVariant) -> None:
    assert event in EVENT_TEXTS
    template = variant.text.template
    assert template.count("[") == template.count("]")
    assert template.count("{") == template.count("}")


def test_every_event_has_one_kind() -> None:
    assert sum(len(names) for names in KIND_EVENTS.values()) == len(EVENT_TEXTS)
    assert set(KIND_EVENTS) == set(EventKind)
