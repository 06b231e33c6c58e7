"""What the OpenAPI document allows, and much that it does not, sent by Schemathesis: no 5xx, answers as described."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from aizen_hub.service.auth.browser_login import XSRF_HEADER
from aizen_hub.service.http.route import Credential
from aizen_hub.service.routes import routes
from tests.service.conftest import Driver
from tests.service.panel.conftest import hub, whole, window  # noqa: F401 - fixtures
from tests.service.panel.window import P, Window

CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503]
"""
# Not `ignored_auth`: it sends our good credential beside a made-up cookie; test_roads.py has the whole matrix.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method,allow_header_conformance"
)
SOAK = "AIZEN_SOAK" in os.environ
PHASES, EXAMPLES = ("coverage,fuzzing", "50") if SOAK else ("fuzzing", "2")
HOW = ("--phases", PHASES, "--max-examples", EXAMPLES)


async def schemathesis(
    service: Driver, folder: Path, headers: dict[str, str], *more: str, base: str = "", fewest: int = 10
) -> None:
    """Run it; so many routes have to have done something, or it was turned away at every door."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    tool = Path(sys.executable).with_name("schemathesis")
    given = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        *(str(tool), "--config-file", str(config), "run", f"{service.url}/api/v1/openapi.json"),
        *("--url", service.url + base, *given, "--checks", CHECKS),
        *("--no-color", "--warnings", "off", "--workers", "2"),
        *(*HOW, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")[-6000:]
    # What nobody foresaw is answered with 503, which the document allows everywhere; it is counted apart.
    page = service.house.metrics.page().decode()
    assert not re.findall(r"^aizen_failures_total.*", page, re.MULTILINE), output.decode(errors="replace")[-6000:]
    answered = set(re.findall(r'^aizen_requests_total\{route="([^"]*)",status="2..".*', page, re.MULTILINE))
    assert len(answered) >= fewest, f"only {len(answered)} routes did anything: {sorted(answered)}"


def taking(credential: Credential) -> tuple[str, str]:
    """Ask only where that credential is taken: what refuses it everywhere shows nothing."""
    paths = sorted({route.path for route in routes() if credential in route.takes and not route.page})
    return "--include-path-regex", "^(" + "|".join(re.escape(path) for path in paths) + ")$"


@pytest.mark.slow
@pytest.mark.proves("I8", "R110", "R74")
async def test_people(service: Driver, tmp_path: Path) -> None:
    await schemathesis(service, tmp_path, {"Authorization": f"Bearer {service.robot}"})


@pytest.mark.slow
@pytest.mark.proves("I8", "R110", "R74")
async def test_the_kernel_road(service: Driver, tmp_path: Path) -> None:
    """With the role token of an administrator, in a session that ends with no project."""
    session = await service.open("boss", None)
    await schemathesis(service, tmp_path, {"Authorization": session.auth}, *taking(Credential.ROLE_TOKEN))


@pytest.mark.slow
@pytest.mark.proves("I8", "R110", "R74")
async def test_the_browser_road(whole: Driver, window: Window, tmp_path: Path) -> None:  # noqa: F811 - fixtures
    """Through the proxy, as somebody who is signed in and sends the pages' own token with each request."""
    token = await window.sign_in("boss")
    cookie = "; ".join(f"{name}={value}" for name, value in window.cookies.items() if value)
    headers = {"Cookie": cookie, XSRF_HEADER: token}
    await schemathesis(whole, tmp_path, headers, *taking(Credential.BROWSER), base=P.rstrip("/"))


@pytest.mark.slow
@pytest.mark.proves("I8")
async def test_the_hub_road(service: Driver, tmp_path: Path) -> None:
    paths = ("--include-path-regex", "^/api/v1/(login|sessions)")
    await schemathesis(service, tmp_path, {"Authorization": f"Bearer {service.hub_secret}"}, *paths, fewest=2)
