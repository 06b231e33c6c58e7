"""Audit records: bounded, one printable line, the same bytes for the same content."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.rbac.decision import Decision, Reason
from aizen_hub.rbac.identity import Identity
from aizen_hub.store.audit_log.record import (
    MAX_BYTES,
    MAX_COMMAND,
    AuditRecord,
    canonical_json,
    new_record_id,
    truncate,
)
from aizen_hub.store.timestamps import to_microseconds
from aizen_hub.store.transaction import make_audit_record
from tests.store.store_rows import TESTER

NOW = datetime(2026, 5, 4, 3, 2, 1, 654321, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def make_record(**fields: Any) -> AuditRecord:
    return AuditRecord(**{"id": new_record_id(NOW), "at": NOW, "event": "decision", **fields})


@pytest.mark.proves("R99")
@given(text=st.text(st.characters(codec=None)), details=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_text_becomes_one_bounded_line(text: str, details: dict[str, Any]) -> None:
    encoded = make_record(identity=text, project=text, command=text, sentence=text, details=details).encode()
    assert encoded.body.decode("ascii").isprintable()
    body = json.loads(encoded.body)
    for column in (encoded.identity, encoded.project, body["command"], body["sentence"]):
        assert column.isprintable()
        column.encode()  # also a lone surrogate can be stored
    assert (encoded.identity, encoded.project) == (body["identity"], body["project"])


NAMES = (
    "identity", "project", "acting", "channel", "session", "source", "token_id", "command", "reason", "sentence",
    "assignment", "role",
)  # fmt: skip
TEXTS = st.none() | st.text(max_size=40)
PLAIN = st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=3)


@given(
    texts=st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, TEXTS)),
    allowed=st.none() | st.booleans(),
    revision=st.none() | st.integers(0, 1 << 62),
    via=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    details=PLAIN | st.dictionaries(st.text(), JSON, max_size=4),
)
def test_a_record_has_one_encoding(
    texts: dict[str, str | None],
    allowed: bool | None,
    revision: int | None,
    via: tuple[str, ...],
    details: dict[str, Any],
) -> None:
    """The body is written member by member, and equals the canonical JSON of its content."""
    record = make_record(**texts, allowed=allowed, revision=revision, via=via, details=details)
    body = record.encode().body
    content = json.loads(body)
    assert canonical_json(content).encode() == body
    given = {name for name, value in texts.items() if value is not None}
    given |= {name for name, value in (("allowed", allowed), ("revision", revision)) if value is not None}
    given |= {name for name, value in (("via", via), ("details", details)) if value}
    assert content.keys() == given | {"id", "at", "event", "identity", "project"}
    if revision is not None:
        assert content["revision"] == revision


@pytest.mark.proves("R99", "R83")
@pytest.mark.parametrize(
    "text", ["a\nb", "a\rb", "\x1b[31m", "a\u2028b", "\u202etxt.exe", "\u200b", "\x00", "\ud800", "\x85"]
)
def test_invisible_characters_are_escaped(text: str) -> None:
    assert "\\" in truncate(text, 100)
    assert truncate(text, 100).isprintable()


@pytest.mark.proves("R99", "T-37")
def test_a_record_is_bounded() -> None:
    huge = {str(number): ["x" * 5_000] * 500 for number in range(500)}
    encoded = make_record(
        command="c" * 100_000, sentence="s" * 100_000, details=huge, via=("group:" + "g" * 500,) * 500
    ).encode()
    assert len(encoded.body) <= 2 * MAX_BYTES
    body = json.loads(encoded.body)
    assert len(body["command"]) == MAX_COMMAND
    assert body["command"].endswith("c…(100000 characters)")
    assert body["details"] == {"omitted-bytes": body["details"]["omitted-bytes"]}


@pytest.mark.proves("R99")
@given(text=st.text(st.characters(codec=None)), limit=st.integers(40, 300), times=st.integers(1, 50))
def test_a_column_always_fits(text: str, limit: int, times: int) -> None:
    assert len(truncate(text * times, limit)) <= limit


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=5))
def test_the_same_content_gives_the_same_bytes(details: dict[str, Any]) -> None:
    record_id = new_record_id(NOW)
    reordered = dict(reversed(details.items()))
    assert (
        make_record(id=record_id, details=details).encode().body
        == make_record(id=record_id, details=reordered).encode().body
    )


@pytest.mark.parametrize("event", ["", "Decision", "two words", "x\n", "1", "x" * 41])
def test_an_event_is_a_plain_word(event: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        make_record(event=event).encode()


def test_details_that_are_not_json_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold a object"):
        make_record(details={"x": object()}).encode()
    with pytest.raises(ValueError, match="cannot hold a bytes"):
        make_record(details={"x": b"secret"}).encode()


@pytest.mark.proves("R57")
def test_ids_are_random_and_in_the_order_of_time() -> None:
    ids = [new_record_id(NOW) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(record_id) for record_id in ids} == {46}
    assert new_record_id(NOW) < new_record_id(NOW + timedelta(microseconds=1))


@pytest.mark.proves("R57")
def test_a_forked_process_makes_other_ids() -> None:
    program = """
import os, sys
from datetime import UTC, datetime
from aizen_hub.store.audit_log.record import new_record_id
now = datetime.now(UTC)
new_record_id(now)
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, new_record_id(now).encode())
    os._exit(0)
os.wait()
print(os.read(reader, 100).decode() == new_record_id(now))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


@pytest.mark.proves("R94")
def test_a_decision_is_recorded_completely() -> None:
    decision = Decision(True, Reason.GRANTED, "role R in `p`", "17", "R", (Identity.group("ops"),))
    record = make_audit_record(
        TESTER, "decision", NOW, decision=decision, command="start training x", more=Identity.user("x"), at_last=NOW
    )
    body = json.loads(record.encode().body)
    assert body == {
        "id": record.id, "at": to_microseconds(NOW), "event": "decision", "identity": "user:tester", "project": None,
        "channel": "operator", "command": "start training x", "allowed": True, "reason": "granted",
        "sentence": "role R in `p`", "assignment": "17", "role": "R", "via": ["group:ops"],
        "details": {"more": "user:x", "at_last": to_microseconds(NOW)},
    }  # fmt: skip
