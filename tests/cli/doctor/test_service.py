"""``aizen-hub doctor``: checks of the running service and their remedies."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.audit.checkpoints import health
from aizen_hub.cli.doctor import service as service_checks
from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.settings import Settings
from tests.fixtures.network.ports import free_ports
from tests.fixtures.timing import until
from tests.service.conftest import Driver


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "checkpoints-disk").mkdir()
    return {"checkpoint_file": tmp_path / "checkpoints-disk" / "checkpoints"}


@pytest.fixture
def metrics_port(options: dict[str, Any], tmp_path: Path) -> int:
    """The port of a service whose metrics have a token and an address of their own."""
    file, (port,) = tmp_path / "metrics-token", free_ports(1)
    file.write_text(secrets.token_hex(32))
    file.chmod(0o600)
    options["metrics"] = {"token_file": file, "port": port}
    return port


def installation_of(settings: Settings) -> Installation:
    return Installation(Path("aizen.yaml"), settings, Path("jupyterhub_config.py"))


async def run_all_checks(service: Driver) -> list[CheckResult]:
    settings = service.context.settings
    there = settings.service.model_copy(update={"port": service.server.port})
    return await asyncio.to_thread(
        lambda: list(service_checks.check_service(installation_of(settings.model_copy(update={"service": there}))))
    )


async def run_checks(service: Driver) -> list[CheckResult]:
    """Return what is found apart from the address: this service got a free port instead of its own."""
    return [result for result in await run_all_checks(service) if result.check != "issuer"]


@pytest.mark.proves("R7", "R96")
async def test_a_sealed_service_is_reported_with_reason_and_remedy(
    service: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = service.context
    await until(lambda: not context.checkpoint_health.failing)
    assert {result.level for result in await run_checks(service)} == {"ok"}
    (tmp_path / "checkpoints-disk").rename(tmp_path / "unmounted")
    await service.open("eve")  # something that has to be signed
    now = health._now
    monkeypatch.setattr(health, "_now", lambda: now() + 100)
    await until(lambda: context.checkpoint_health.failing, 15)
    late = [result for result in await run_checks(service) if result.level == "fail"]
    assert ["was last signed 1" in result.message for result in late] == [True]
    monkeypatch.setattr(health, "_now", lambda: now() + 10_000)
    await until(lambda: context.state.sealed is not None)
    (sealed,) = await run_checks(service)
    assert sealed.level == "fail"
    assert "no such file" in sealed.message
    assert "`checkpoint_file`" in sealed.remedy


async def test_a_wrong_clock_is_a_warning_with_its_remedy(service: Driver) -> None:
    service.context.clock._base -= 3600
    (result,) = await run_checks(service)
    assert (result.level, "jumped by 3600 s" in result.message) == ("warn", True)
    assert "NTP" in result.remedy


async def test_metrics_with_a_token_and_an_address_are_checked(metrics_port: int, service: Driver) -> None:
    await until(lambda: not service.context.checkpoint_health.failing)
    results = await run_checks(service)
    assert {result.level for result in results} == {"ok"}
    assert any(result.message.startswith("audit signed") for result in results)


async def test_a_failed_check_skips_no_other(metrics_port: int, service: Driver) -> None:
    token_file = service.context.settings.metrics.token_file
    assert token_file is not None
    for spoil in (lambda: token_file.write_text(secrets.token_hex(32)), token_file.unlink):
        spoil()
        metrics, sessions = (await run_checks(service))[2:]
        assert (metrics.level, metrics.message.startswith("not checked: metrics")) == ("warn", True)
        assert metrics.remedy
        assert "servers without a session" in sessions.message


@pytest.mark.proves("R2")
async def test_another_hub_secret_is_reported(service: Driver) -> None:
    """As with a replica that was given another file: it is ready, and refuses the hub."""
    await until(lambda: not service.context.checkpoint_health.failing)
    assert {result.level for result in await run_checks(service)} == {"ok"}
    service.context.settings.hub_secret_path.write_text(secrets.token_hex(32))
    (failed,) = [result for result in await run_checks(service) if result.level != "ok"]
    assert (failed.check, failed.level) == ("hub-secret-differs", "fail")
    assert "all replicas the same file" in failed.remedy


async def test_another_address_than_that_of_the_start_is_reported(service: Driver) -> None:
    started, now = service.context.settings.service_url, service.url
    assert started != now
    (result,) = [result for result in await run_all_checks(service) if result.check == "issuer"]
    assert (result.level, started in result.message, now in result.message) == ("fail", True, True)
    assert "restart" in result.remedy
