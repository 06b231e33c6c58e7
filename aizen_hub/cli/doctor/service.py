"""Checks of the running service: readiness, replication lag, audit signatures, servers without a session."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from aizen_hub.cli.connection import TOKEN_VARIABLE, URL_VARIABLE, api_path, create_client
from aizen_hub.client.errors import Unreachable
from aizen_hub.client.sync_client import SyncClient, parse_json
from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.secret_files import SecretFileError, read_secret
from aizen_hub.settings import Settings

_METRIC = re.compile(r"aizen_([a-z_]+) ([0-9.e+-]+)")
_MAX_CHECKPOINT_SECONDS = 90.0
"""Every 20 s, and at latest every minute (R96)."""
_MAX_LAG = 1_000.0
_MAX_SHOWN = 10
_SECONDS = 3.0


def check_service(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    where = in_settings("service.url" if settings.service.url else "service.port")
    try:
        service = SyncClient(settings.service_url, deadline=_SECONDS)
    except ValueError:
        return  # reported with the addresses
    try:
        # Sent once, without the client's repetitions: the report says what holds now.
        answer = parse_json(service.request_with_headers("GET", "/readyz")[2])
    except Unreachable as error:
        message = f"the service at {settings.service_url} does not run: {error.detail}"
        yield CheckResult.warning("service-stopped", where, message, _start_remedy(settings))
        return
    except Problem as error:
        yield _report_answer(error, settings, where)
        return
    if not isinstance(answer, dict) or answer.get("status") != "ready":
        yield _report_foreign_program(settings, where)
        return
    yield CheckResult.passed("service", f"the service at {settings.service_url} is ready")
    yield from _run_check("the address of the service", lambda: _check_issuer(service, settings))
    yield from _run_check("the hub secret of the service", lambda: _check_hub_secret(settings))
    yield from _run_check("metrics", lambda: _check_metrics(settings))
    yield from _run_check("servers without a session", _check_sessions)


def _report_answer(error: Problem, settings: Settings, where: str) -> CheckResult:
    if error.extensions.get("sealed"):
        message = f"the service at {settings.service_url} is not ready: {error.detail}"
        return CheckResult.error("service-sealed", where, message, error.remedy or "see its log")
    if not error.extensions.get("instance"):
        return _report_foreign_program(settings, where)
    message = f"the service at {settings.service_url} is not ready: {error.detail}"
    return CheckResult.warning("service", where, message, error.remedy or "wait until it has started or stopped")


def _report_foreign_program(settings: Settings, where: str) -> CheckResult:
    return CheckResult.error(
        "port-in-use",
        where,
        f"what answers at {settings.service_url} is not the service: another program uses that port",
        "stop that program, or give service.port another number, for hub and service alike",
    )


def _run_check(subject: str, check: Callable[[], Iterator[CheckResult]]) -> Iterator[CheckResult]:
    """Run one check; a failure is a warning, and the other checks run."""
    try:
        yield from check()
    except Problem as error:
        message = f"not checked: {subject}: {error.detail}"
        yield CheckResult.warning("service", subject, message, error.remedy or "see the log of the service")


def _start_remedy(settings: Settings) -> str:
    if settings.is_further_hub:
        return f"start the service that this hub shares with the main hub, where it runs: {settings.service_url}"
    if settings.service.managed:
        return "start the hub, which starts the service: jupyterhub"
    return "start the service, which the hub does not (`managed: false`): aizen-hub serve, see docs/separate-service.md"


def _check_issuer(service: SyncClient, settings: Settings) -> Iterator[CheckResult]:
    """Check that the running service was started with this `service.url`: tokens of another issuer are refused."""
    issuer = service.get("/.well-known/oauth-authorization-server").get("issuer")
    if issuer != settings.service_url:
        yield CheckResult.error(
            "issuer",
            in_settings("service.url"),
            f"the service was started with the address {issuer}, and aizen.yaml says {settings.service_url}",
            "restart the hub and all replicas with the same service.url",
        )


def _check_hub_secret(settings: Settings) -> Iterator[CheckResult]:
    """Check that the running service, or the replica that answers, has the hub secret of this file."""
    try:
        secret = read_secret(settings.hub_secret_path)
    except SecretFileError:
        return  # reported with the secret files
    client = SyncClient(settings.service_url, f"Bearer {secret}", deadline=_SECONDS)
    try:
        client.get(api_path("sessions", "choices", user="doctor"))
    except NotAuthenticated:
        yield CheckResult.error(
            "hub-secret-differs",
            in_settings("hub_secret_file"),
            f"the service at {settings.service_url} was started with another hub secret: it refuses all calls of a hub "
            "that has this one",
            "give the hub and all replicas the same file, and restart them",
        )
        return
    except Problem as error:
        if error.status != HTTPStatus.NOT_FOUND and error.status != HTTPStatus.FORBIDDEN:
            raise
    yield CheckResult.passed("hub-secret-differs", "the service has the hub secret of this file")


def _create_metrics_client(settings: Settings) -> SyncClient:
    metrics, url = settings.metrics, settings.service_url
    if metrics.port is not None:
        host = f"[{metrics.host}]" if ":" in metrics.host else metrics.host
        url = f"http://{host}:{metrics.port}"
    token = None if metrics.token_file is None else f"Bearer {read_secret(metrics.token_file)}"
    return SyncClient(url, token, deadline=_SECONDS)


def _check_metrics(settings: Settings) -> Iterator[CheckResult]:
    try:
        client = _create_metrics_client(settings)
    except SecretFileError as error:
        message = f"not checked: metrics: `{settings.metrics.token_file}` {error.reason}"
        remedy = error.remedy or "run `aizen-hub doctor` as the service's account"
        yield CheckResult.warning("metrics", in_settings("metrics.token_file"), message, remedy)
        return
    _, _, page = client.request_with_headers("GET", "/metrics", headers={"Accept": "text/plain"})
    metrics = {name: float(value) for name, value in _METRIC.findall(page.decode("utf-8", "replace"))}
    age, lag = metrics.get("checkpoint_age_seconds", 0.0), metrics.get("revision_lag", 0.0)
    if age > _MAX_CHECKPOINT_SECONDS:
        yield CheckResult.error(
            "checkpoint-age",
            in_settings("checkpoint_file" if settings.checkpoint_database is None else "checkpoint_database"),
            f"the audit was last signed {age:.0f} s ago: a truncation since then would not be detected",
            "see the task `checkpoint` in the service's log: is its disk full or read-only, or its server down?",
        )
    if lag > _MAX_LAG:
        yield CheckResult.warning(
            "revision-lag",
            in_settings("database"),
            f"the service is {lag:.0f} revisions behind the store",
            "check the load of its machine and of the database",
        )
    if age <= _MAX_CHECKPOINT_SECONDS and lag <= _MAX_LAG:
        yield CheckResult.passed("checkpoint-age", f"audit signed {age:.0f} s ago; replica up to date")


def _check_sessions() -> Iterator[CheckResult]:
    if not (os.environ.get(URL_VARIABLE) and os.environ.get(TOKEN_VARIABLE)):
        yield CheckResult(
            "sessions",
            "ok",
            "",
            "not checked: servers without a session",
            f"set {URL_VARIABLE} and {TOKEN_VARIABLE}, or: aizen-hub session list",
        )
        return
    rows: list[Any] = create_client(os.environ[URL_VARIABLE], None).get(api_path("sessions")).get("rows") or []
    without_session = [f"{row[1]}/{row[2]}" for row in rows if row[0] is None]
    if without_session:
        more = "" if len(without_session) <= _MAX_SHOWN else f" and {len(without_session) - _MAX_SHOWN} more"
        yield CheckResult.warning(
            "sessions",
            "the hub",
            f"{len(without_session)} servers run without a session and have no rights: "
            f"{', '.join(without_session[:_MAX_SHOWN])}{more}",
            "their users have to restart them",
        )
    else:
        yield CheckResult.passed("sessions", f"each of {len(rows)} servers has its session")
