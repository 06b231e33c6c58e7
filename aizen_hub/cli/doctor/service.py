"""The running service: whether it is ready, keeps up, signs the audit, and which servers run without a session."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from aizen_hub.cli.connection import TOKEN, URL, client, path
from aizen_hub.cli.doctor.finding import Finding
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Problem
from aizen_hub.settings import Settings

_FIGURE = re.compile(r"aizen_([a-z_]+) ([0-9.e+-]+)")
_CHECKPOINT_SECONDS = 90.0
"""Every 20 s, and at latest every minute (R96)."""
_LAG = 1_000.0
_SHOWN = 10


def look(settings: Settings) -> Iterator[Finding]:
    service = SyncClient(settings.service_url, deadline=3)
    try:
        service.get("/readyz")
    except Problem as error:
        sealed = bool(error.more.get("sealed"))
        what = f"the service at {settings.service_url} is not ready: {error.detail}"
        yield Finding("fail" if sealed else "warn", what, error.remedy or "")
        return
    yield Finding("ok", f"the service at {settings.service_url} is ready")
    try:
        yield from _figures(service)
        yield from _lone()
    except Problem as error:
        yield Finding("warn", f"the service did not tell more: {error.detail}", error.remedy or "")


def _figures(service: SyncClient) -> Iterator[Finding]:
    _, _, page = service.exchange("GET", "/metrics", headers={"Accept": "text/plain"})
    found = {name: float(value) for name, value in _FIGURE.findall(page.decode("utf-8", "replace"))}
    age, lag = found.get("checkpoint_age_seconds", 0.0), found.get("revision_lag", 0.0)
    if age > _CHECKPOINT_SECONDS:
        yield Finding(
            "fail",
            f"the audit was last signed {age:.0f} s ago: its end could be cut off unseen",
            "see the service's log for the task `checkpoint`: is the file's disk full or read-only?",
        )
    if lag > _LAG:
        yield Finding(
            "warn", f"the service is {lag:.0f} revisions behind the store", "is its machine or database busy?"
        )
    if age <= _CHECKPOINT_SECONDS and lag <= _LAG:
        yield Finding("ok", f"it keeps up with the store, and signed the audit {age:.0f} s ago")


def _lone() -> Iterator[Finding]:
    if not (os.environ.get(URL) and os.environ.get(TOKEN)):
        yield Finding(
            "ok", "servers without a session were not asked for", f"set {URL} and {TOKEN}, or: aizen-hub session list"
        )
        return
    rows: list[Any] = client(os.environ[URL], None).get(path("sessions")).get("rows") or []
    lone = [f"{row[1]}/{row[2]}" for row in rows if row[0] is None]
    if lone:
        more = "" if len(lone) <= _SHOWN else f" and {len(lone) - _SHOWN} more"
        yield Finding(
            "warn",
            f"{len(lone)} servers run without a session, so without rights: {', '.join(lone[:_SHOWN])}{more}",
            "their people stop and start them again",
        )
    else:
        yield Finding("ok", f"every one of {len(rows)} servers has its session")
