from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.figure import Figure, format_table, write


@pytest.mark.parametrize(
    ("figure", "target", "met"),
    [
        (15.0, "at most 15", True),
        (15.1, "at most 15", False),
        (0.6, "at least 0.6", True),
        (0.59, "at least 0.6", False),
        (1.0, None, None),
    ],
)
def test_a_target_is_met_or_missed(figure: float, target: str | None, met: bool | None) -> None:
    assert Figure("x", figure, "ms", target).met is met


def test_a_target_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not a target"):
        _ = Figure("x", 1.0, "ms", "about 3").met


def test_the_file_and_the_table_hold_the_same(tmp_path: Path) -> None:
    figures = [Figure("slow", 20.0, "ms", "at most 15"), Figure("ratio", 0.75, "x", "at least 0.6", "slow")]
    unmeasured = {"cpu_microseconds": None, "peak_megabytes": None}
    write(tmp_path / "bench.json", figures)
    assert json.loads((tmp_path / "bench.json").read_text()) == [
        {
            "name": "slow",
            "figure": 20.0,
            "unit": "ms",
            "target": "at most 15",
            "ratio_of": None,
            **unmeasured,
            "met": False,
        },
        {
            "name": "ratio",
            "figure": 0.75,
            "unit": "x",
            "target": "at least 0.6",
            "ratio_of": "slow",
            **unmeasured,
            "met": True,
        },
    ]
    lines = format_table(figures).splitlines()
    assert len(lines) == 3
    assert lines[1].endswith("NO")
    assert lines[2].endswith("yes")


def test_cpu_time_and_memory_have_columns_where_they_were_measured() -> None:
    lines = format_table([Figure("rate", 5000.0, "1/s", cpu_microseconds=180.0, peak_megabytes=120.0)]).splitlines()
    assert lines[0].split("  ")[-2:] == ["CPU µs each", "peak MB"]
    assert lines[1].split()[-2:] == ["180", "120"]
