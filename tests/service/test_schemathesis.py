"""What the OpenAPI document allows, and much that it does not, sent by Schemathesis: no 5xx, answers as described."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.service.conftest import Driver

CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503]
"""
# Not `ignored_auth`: it sends our good credential beside a made-up cookie; test_roads.py has the whole matrix.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method,allow_header_conformance"
)


async def schemathesis(service: Driver, folder: Path, auth: str, *more: str) -> None:
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    tool = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        *(str(tool), "--config-file", str(config), "run", f"{service.url}/api/v1/openapi.json", "--url", service.url),
        *("-H", f"Authorization: {auth}", "--checks", CHECKS, "--no-color", "--warnings", "off", "--workers", "2"),
        *more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-6000:]


SOAK = "AIZEN_SOAK" in os.environ
PHASES, EXAMPLES = ("coverage,fuzzing", "50") if SOAK else ("fuzzing", "2")
HOW = ("--phases", PHASES, "--max-examples", EXAMPLES)


@pytest.mark.slow
@pytest.mark.proves("I8", "R110", "R74")
async def test_people(service: Driver, tmp_path: Path) -> None:
    await schemathesis(service, tmp_path, f"Bearer {service.robot}", *HOW)


@pytest.mark.slow
@pytest.mark.proves("I8")
async def test_the_hub_road(service: Driver, tmp_path: Path) -> None:
    paths = ("--include-path-regex", "^/api/v1/(login|sessions)")
    await schemathesis(service, tmp_path, f"Bearer {service.hub_secret}", *HOW, *paths)
