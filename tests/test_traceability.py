"""The traceability table has no gap, no invented id and no outdated line, and the checks can fail."""

from __future__ import annotations

import pytest

from tests import traceability
from tests.traceability import Trace, proofs_in, read_requirements


def test_every_id_is_proven_or_listed_as_later() -> None:
    assert traceability.load().faults() == []


def test_the_table_is_current() -> None:
    assert traceability.TABLE.read_text(encoding="utf-8") == traceability.load().table(), (
        "run `python -m tests.traceability`"
    )


def test_marks_are_found_on_functions_classes_modules_and_parameters() -> None:
    source = """
import pytest
pytestmark = [pytest.mark.proves("R1")]
@pytest.mark.proves("R2", "T-02")
class TestGroup:
    @pytest.mark.proves("R3")
    async def test_inner(self): ...
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.proves("R4"))])
def test_outer(x): ...
"""
    assert sorted(proofs_in(source, "a/test_b.py")) == [
        ("R1", "a/test_b.py"),
        ("R2", "a/test_b.py::TestGroup"),
        ("R3", "a/test_b.py::TestGroup::test_inner"),
        ("R4", "a/test_b.py::test_outer"),
        ("T-02", "a/test_b.py::TestGroup"),
    ]


def test_a_computed_id_is_refused() -> None:
    with pytest.raises(ValueError, match=r"test_b\.py:1"):
        list(proofs_in("pytest.mark.proves(f'R{1}')", "test_b.py"))


@pytest.mark.parametrize(
    ("trace", "fault"),
    [
        (Trace({"R1": "x"}, {}, {}), "R1: no test proves it"),
        (Trace({}, {"R9": ("t.py::a",)}, {}), "R9: no such requirement, cited by t.py::a"),
        (Trace({}, {"F9": ("t.py::a",)}, {}, frozenset({"F1"})), "F9: no such requirement, cited by t.py::a"),
        (Trace({}, {}, {"R9": {"issue": 5, "why": "x"}}), "R9: no such requirement, listed"),
        (Trace({"R1": "x"}, {"R1": ("t.py::a",)}, {"R1": {"issue": 5, "why": "x"}}), "R1: proven by t.py::a"),
        (Trace({"R1": "x"}, {}, {"R1": {"issue": 5, "why": ""}}), "R1: an entry of later.yaml"),
    ],
    ids=["gap", "invented", "invented-fact", "invented-later", "both", "no-reason"],
)
def test_each_fault_is_found(trace: Trace, fault: str) -> None:
    assert [message for message in trace.faults() if message.startswith(fault)]


def test_a_fact_may_be_cited() -> None:
    assert Trace({}, {"F1": ("t.py::a",)}, {}, frozenset({"F1"})).faults() == []


def test_requirements_are_read_from_the_tables() -> None:
    text = "# Title\n\n| id | requirement | why |\n|---|---|---|\n| R1 | First | Because |\n| T-01 | An attack | A |\n"
    assert read_requirements(text) == {"R1": "First", "T-01": "An attack"}


def test_every_kind_of_id_is_in_the_document() -> None:
    titles = read_requirements(traceability.REQUIREMENTS.read_text(encoding="utf-8"))
    assert {"R1", "R136", "T-01", "T-56", "I1", "I10", "F1"} <= set(titles)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("| R1 | First |", "line 1"),
        ("| R01 | First | Because |", "line 1"),
        ("| R1 | First | Because |\n| R1 | Second | Because |", "line 2: R1 is defined twice"),
        ("| R1 | First | Because |\n| R3 | Third | Because |", "the ids R… do not follow"),
    ],
    ids=["no-reason", "no-id", "twice", "gap"],
)
def test_an_invalid_table_is_refused(rows: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_requirements(rows)
