"""Checks of the running service: readiness, replication lag, audit signatures, servers without a session."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from aizen_hub.cli.connection import TOKEN_VARIABLE, URL_VARIABLE, api_path, create_client
from aizen_hub.cli.doctor.check_result import CheckResult
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Problem
from aizen_hub.secret_files import SecretFileError, read_secret
from aizen_hub.settings import Settings

_METRIC = re.compile(r"aizen_([a-z_]+) ([0-9.e+-]+)")
_MAX_CHECKPOINT_SECONDS = 90.0
"""Every 20 s, and at latest every minute (R96)."""
_MAX_LAG = 1_000.0
_MAX_SHOWN = 10


def check_service(settings: Settings) -> Iterator[CheckResult]:
    service = SyncClient(settings.service_url, deadline=3)
    try:
        service.get("/readyz")
    except Problem as error:
        sealed = bool(error.extensions.get("sealed"))
        message = f"the service at {settings.service_url} is not ready: {error.detail}"
        yield CheckResult("fail" if sealed else "warn", message, error.remedy or _start_remedy(settings))
        return
    yield CheckResult("ok", f"the service at {settings.service_url} is ready")
    yield from _run_check("metrics", lambda: _check_metrics(settings))
    yield from _run_check("servers without a session", _check_sessions)


def _run_check(subject: str, check: Callable[[], Iterator[CheckResult]]) -> Iterator[CheckResult]:
    """Run one check; a failure is a warning, and the other checks run."""
    try:
        yield from check()
    except Problem as error:
        yield CheckResult("warn", f"not checked: {subject}: {error.detail}", error.remedy or "")


def _start_remedy(settings: Settings) -> str:
    if settings.service.managed:
        return "start the hub, which starts the service: jupyterhub"
    return "start the service, which the hub does not (`managed: false`): aizen-hub serve, see docs/separate-service.md"


def _create_metrics_client(settings: Settings) -> SyncClient:
    metrics, url = settings.metrics, settings.service_url
    if metrics.port is not None:
        host = f"[{metrics.host}]" if ":" in metrics.host else metrics.host
        url = f"http://{host}:{metrics.port}"
    token = None if metrics.token_file is None else f"Bearer {read_secret(metrics.token_file)}"
    return SyncClient(url, token, deadline=3)


def _check_metrics(settings: Settings) -> Iterator[CheckResult]:
    try:
        client = _create_metrics_client(settings)
    except SecretFileError as error:
        message = f"not checked: metrics: `{settings.metrics.token_file}` {error.reason}"
        yield CheckResult("warn", message, error.remedy or "run `aizen-hub doctor` as the service's account")
        return
    _, _, page = client.request_with_headers("GET", "/metrics", headers={"Accept": "text/plain"})
    metrics = {name: float(value) for name, value in _METRIC.findall(page.decode("utf-8", "replace"))}
    age, lag = metrics.get("checkpoint_age_seconds", 0.0), metrics.get("revision_lag", 0.0)
    if age > _MAX_CHECKPOINT_SECONDS:
        yield CheckResult(
            "fail",
            f"the audit was last signed {age:.0f} s ago: a truncation since then would not be detected",
            "see the task `checkpoint` in the service's log: is the disk of the file full or read-only?",
        )
    if lag > _MAX_LAG:
        yield CheckResult(
            "warn",
            f"the service is {lag:.0f} revisions behind the store",
            "check the load of its machine and of the database",
        )
    if age <= _MAX_CHECKPOINT_SECONDS and lag <= _MAX_LAG:
        yield CheckResult("ok", f"audit signed {age:.0f} s ago; replica up to date")


def _check_sessions() -> Iterator[CheckResult]:
    if not (os.environ.get(URL_VARIABLE) and os.environ.get(TOKEN_VARIABLE)):
        yield CheckResult(
            "ok",
            "not checked: servers without a session",
            f"set {URL_VARIABLE} and {TOKEN_VARIABLE}, or: aizen-hub session list",
        )
        return
    rows: list[Any] = create_client(os.environ[URL_VARIABLE], None).get(api_path("sessions")).get("rows") or []
    without_session = [f"{row[1]}/{row[2]}" for row in rows if row[0] is None]
    if without_session:
        more = "" if len(without_session) <= _MAX_SHOWN else f" and {len(without_session) - _MAX_SHOWN} more"
        yield CheckResult(
            "warn",
            f"{len(without_session)} servers run without a session and have no rights: "
            f"{', '.join(without_session[:_MAX_SHOWN])}{more}",
            "their users have to restart them",
        )
    else:
        yield CheckResult("ok", f"each of {len(rows)} servers has its session")
