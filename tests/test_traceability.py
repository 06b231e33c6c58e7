"""The table of proofs has no gap, no invention and no stale line, and the code that says so can fail."""

from __future__ import annotations

import pytest

from tests import traceability
from tests.traceability import Trace, proofs_in


def test_every_id_is_proven_or_named_as_later() -> None:
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
        (Trace({}, {}, {"R9": {"issue": 5, "why": "x"}}), "R9: no such requirement, listed"),
        (Trace({"R1": "x"}, {"R1": ("t.py::a",)}, {"R1": {"issue": 5, "why": "x"}}), "R1: proven by t.py::a"),
        (Trace({"R1": "x"}, {}, {"R1": {"issue": 5, "why": ""}}), "R1: an entry of later.yaml"),
    ],
    ids=["gap", "invented", "invented-later", "both", "no-reason"],
)
def test_each_fault_is_found(trace: Trace, fault: str) -> None:
    assert [one for one in trace.faults() if one.startswith(fault)]
