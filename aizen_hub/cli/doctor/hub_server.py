"""Checks of the running hub, as the service reaches it: its clock, and what the service's own token may do there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from aizen_hub.client.errors import Unreachable
from aizen_hub.client.sync_client import SyncClient, parse_json
from aizen_hub.diagnosis.check_result import CheckResult, in_hub_config, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.problems import Problem
from aizen_hub.secret_files import SecretFileError, read_secret

API_URL_VARIABLE = "JUPYTERHUB_API_URL"
"""Where the hub that starts the service puts its address; `hub.api_url` for a service of its own."""
MAX_SKEW = timedelta(seconds=30)
"""As for the clock of the database (R135)."""
_SECONDS = 5.0
_WHERE = in_settings("hub.api_url")


def check_hub_server(installation: Installation) -> Iterator[CheckResult]:
    settings = installation.settings
    url = settings.hub.api_url if settings.hub else os.environ.get(API_URL_VARIABLE)
    if not url:
        return  # a hub that starts the service is on this machine, and its configuration is checked
    try:
        token = read_secret(settings.api_token_path)
    except SecretFileError:
        return  # reported with the secret files
    try:
        client = SyncClient(url, f"token {token}", deadline=_SECONDS)
    except ValueError:
        return  # reported with the addresses
    try:
        _, headers, body = client.request_with_headers("GET", "/user")
        model = parse_json(body)
    except Problem as error:
        yield _report_failure(error, url)
        return
    yield from check_hub_clock(headers, datetime.now(UTC))
    yield from check_token_scopes(model)


def _report_failure(error: Problem, url: str) -> CheckResult:
    if isinstance(error, Unreachable):
        return CheckResult.warning(
            "unreachable",
            _WHERE,
            f"the hub's API at {url} does not respond: {error.detail}",
            "start the hub, or correct the address; without the hub no one can sign in to the panel",
        )
    if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return CheckResult.error(
            "hub-token",
            in_settings("hub.api_token_file"),
            f"the hub at {url} does not know the token of the service, so no one can sign in to the panel",
            "give hub and service the same file `service-api-token`, and restart the hub",
        )
    return CheckResult.error(
        "hub-token",
        _WHERE,
        f"what answers at {url} is not the hub's API",
        "write the address of the hub's API, with `/hub/api` at its end",
    )


def check_hub_clock(headers: Mapping[str, str], now: datetime) -> Iterator[CheckResult]:
    """Compare this machine's clock with the time in the hub's answer."""
    try:
        skew = abs(now - parsedate_to_datetime(headers.get("date", "")))
    except (TypeError, ValueError):
        return  # a proxy may remove it
    if skew > MAX_SKEW:
        yield CheckResult.error(
            "hub-clock",
            "the clock of this machine",
            f"this machine's clock is {skew.total_seconds():.0f} s off the hub's: sign-ins and tokens are refused",
            "run NTP on both machines",
        )
    else:
        yield CheckResult.passed("hub-clock", "this machine's clock agrees with the hub's")


def check_token_scopes(model: Any) -> Iterator[CheckResult]:
    """Check that the service's token may do nothing at the hub: it identifies each user by that user's own token."""
    is_service = isinstance(model, dict) and model.get("kind") == "service"
    if not is_service:
        yield CheckResult.error(
            "hub-scopes",
            in_settings("hub.api_token_file"),
            "the token of the service belongs to a user of the hub: the service could act as that user",
            "write the token of the service `aizen` into that file, as `configure` gives it to the hub",
        )
        return
    scopes = sorted(map(str, model.get("scopes") or ()))
    if scopes:
        yield CheckResult.warning(
            "hub-scopes",
            in_hub_config("c.JupyterHub.load_roles"),
            f"the service needs no rights at the hub, and its token has {', '.join(scopes)}",
            f"remove the service `{model.get('name')}` from all roles of `load_roles`, and restart the hub",
            production=True,
        )
    else:
        yield CheckResult.passed("hub-scopes", "the service's token gives it no rights at the hub")
