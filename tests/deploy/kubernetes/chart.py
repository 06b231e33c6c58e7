"""The Zero-to-JupyterHub chart, where `AIZEN_CHART` names its folder, and what Helm makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = os.environ.get("AIZEN_CHART")
VALUES = Path(__file__).parents[3] / "deploy" / "kubernetes" / "values.yaml"
SECONDS = 60.0


def _missing_for_helm() -> str | None:
    if CHART is None or not (Path(CHART) / "Chart.yaml").is_file():
        return "AIZEN_CHART does not name the folder of the whole chart"
    return "no helm on the search path" if shutil.which("helm") is None else None


needs_helm = pytest.mark.skipif(_missing_for_helm() is not None, reason=_missing_for_helm() or "")


def run_helm(*arguments: str | Path) -> str:
    """Return what a command of Helm prints.

    Raises
    ------
    AssertionError
        It failed; says why.
    """
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def render_chart(namespace: str, values: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the objects of the chart with files of values, the later before the earlier."""
    options = [option for file in values for option in ("--values", str(file))]
    text = run_helm("template", "hub", str(CHART), "--namespace", namespace, *options)
    return [dict(value) for value in yaml.safe_load_all(text) if value]
