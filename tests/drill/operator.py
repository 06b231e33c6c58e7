"""The operator of a drill: the command line on the service's machine, and what the service says of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from aizen_hub.demo.step_counter import expect
from tests.conftest import SEARCH_PATH
from tests.drill.next_version import VARIABLE
from tests.faults.service_process import ROOT, Service
from tests.fixtures.databases.next_schema import write_next_migrations

_COMMAND_SECONDS = 120.0
_PROGRAM = Path(sys.executable).with_name("aizen-hub")
_MODULE = "tests.drill.next_version"


@dataclass(frozen=True)
class Operator:
    """Runs commands with one configuration.

    Attributes
    ----------
    config : Path
        The ``aizen.yaml``.
    migrations : Path
        Those of the next version.
    """

    config: Path
    migrations: Path

    @classmethod
    def of(cls, service: Service, folder: Path) -> Operator:
        migrations = folder / "next-migrations"
        write_next_migrations(migrations)
        os.environ[VARIABLE] = str(migrations)  # for the services of the next version
        return cls(service.config, migrations)

    def run(self, *arguments: str, status: int = 0, next_version: bool = False) -> str:
        """Run ``aizen-hub`` and return what it wrote; StepFailedError if it ends with another status."""
        program = [sys.executable, "-m", _MODULE] if next_version else [str(_PROGRAM)]
        done = subprocess.run(
            [*program, *arguments, "-c", str(self.config)],
            cwd=ROOT,
            env={**os.environ, "PATH": SEARCH_PATH},
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        text = done.stdout + done.stderr
        command = " ".join(arguments[:2])
        expect(done.returncode == status, f"`{command}` ended with {done.returncode} instead of {status}:\n{text}")
        return text

    def verify_audit(self, *, next_version: bool = False) -> str:
        """Verify the whole audit; returns what was checked."""
        text = self.run("audit", "verify", next_version=next_version)
        expect("no modification found" in text, text)
        return text.strip().splitlines()[-1].partition(":")[0]


def wait_sealed(service: Service, reason: str, seconds: float = 30.0) -> None:
    """Wait until a service says that it is sealed for a reason."""
    end = time.monotonic() + seconds
    while True:
        status, detail = _readiness(service)
        if status == 503 and reason in detail:
            return
        expect(time.monotonic() < end, f"/readyz answered {status}: {detail}")
        time.sleep(0.05)


def wait_ready(service: Service, seconds: float = 30.0) -> float:
    """Wait until a service decides; returns the seconds that it took."""
    start = time.monotonic()
    service.wait_ready(seconds)
    return time.monotonic() - start


def start_sealed(service: Service, reason: str) -> None:
    """Start a service that must be sealed."""
    service.start(wait=False)
    wait_sealed(service, reason)


def _readiness(service: Service) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/readyz", timeout=5) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        document = json.loads(error.read())
        return error.code, f"{document['detail']}; {document.get('remedy', '')}"
    except (OSError, ValueError) as error:
        return 0, str(error)
