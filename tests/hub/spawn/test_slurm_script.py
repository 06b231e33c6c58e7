"""What a job requests: the strictest of settings, project, options of the user and limits of roles."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.spawn.slurm_script import OPTIONS, RequestError, bounded_requests

GIB = 2**30


@pytest.mark.parametrize(
    ("memory", "limit", "requested"),
    [
        ("", None, ""),
        ("", GIB, "1024M"),
        ("4G", GIB, "1024M"),
        ("4GB", 8 * GIB, "4GB"),
        ("600", GIB, "600"),
        ("600", 500 * 2**20, "500M"),
        ("1024K", GIB, "1024K"),
        ("0", GIB, "1024M"),
        ("", 10, "1M"),
    ],
)
@pytest.mark.proves("R138")
def test_the_memory_of_a_job(memory: str, limit: int | None, requested: str) -> None:
    assert bounded_requests({"memory": memory}, limit, None)["memory"] == requested


@pytest.mark.parametrize(
    ("cores", "limit", "requested"),
    [("", None, ""), ("", 1.5, "1"), ("4", 1.5, "1"), ("2", 3.9, "2"), ("0", 2, "2"), ("", 0.5, "1"), ("8", None, "8")],
)
@pytest.mark.proves("R138")
def test_the_cores_of_a_job(cores: str, limit: float | None, requested: str) -> None:
    assert bounded_requests({"nprocs": cores}, None, limit)["nprocs"] == requested


@pytest.mark.parametrize("name", sorted(OPTIONS))
@pytest.mark.parametrize(
    "value",
    ["1G\n#SBATCH --account=other", "$(id)", "`id`", "a b", "1;id", "x" * 201, "'", "ü", "-1", "1e9", "{project}"],
)
@pytest.mark.proves("R138", "T-58")
def test_a_value_is_one_plain_word(name: str, value: Any) -> None:
    if name not in ("memory", "nprocs") and value in ("-1", "1e9"):
        return
    with pytest.raises(RequestError):
        bounded_requests({name: value}, None, None)
