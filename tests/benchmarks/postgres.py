"""The same on PostgreSQL: decisions beside the bare handler, and revocations on one replica seen by another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from aizen_hub.client.secret_file import read_or_make_secret
from aizen_hub.settings import Settings
from aizen_hub.store import schema
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.benchmarks import servers, serving, town
from tests.benchmarks.figure import Figure
from tests.benchmarks.load import Load, beside
from tests.benchmarks.town import MIDDLE
from tests.faults.storm import storm
from tests.faults.town import ADMINS, COMMAND, DUEL, Town, found
from tests.faults.town import town as founded
from tests.fixtures.postgres import Server, fresh_database, running_server

REVOCATIONS = 10_000


def measure(folder: Path, *, seconds: float, storm_seconds: float) -> Iterator[Figure]:
    """Yield the figures of a PostgreSQL server of our own, on the same machine and with all its safety."""
    folder.mkdir()
    with running_server() as server:
        yield from _decisions(folder, server, seconds)
        yield from _revocations(folder / "replicas", server, storm_seconds)


def _decisions(folder: Path, server: Server, seconds: float) -> Iterator[Figure]:
    with fresh_database(server) as url:
        schema.upgrade(url)
        settings = Settings(data_dir=folder / "data", admin_user="local:root", database=url)
        settings.data_dir.mkdir(mode=0o700)
        KeyEncryption.make(settings.key_encryption_path)
        read_or_make_secret(settings.hub_secret_path)
        town.fill(url, MIDDLE)
        with servers.bare(folder / "bare.log") as bare, serving.service(folder, settings) as (running, secret):
            yield from serving.together(running, bare, secret, MIDDLE, seconds, "PostgreSQL", "at least 0.3")


def _revocations(folder: Path, server: Server, seconds: float) -> Iterator[Figure]:
    with fresh_database(server) as url:
        with founded(folder, found(folder, url), url, replicas=2) as here, _beside(here, seconds):
            count = storm(here, REVOCATIONS, seconds)
        name = f"revoked on A, then asked on B: denied, of {REVOCATIONS:,}"
        yield Figure(name, count, "", f"at least {REVOCATIONS}")


def _beside(here: Town, seconds: float) -> AbstractContextManager[None]:
    """Let four connections ask the second replica all the time."""
    replica = here.services[-1]
    asker = ADMINS[1]
    body = {"user": asker, "requester": asker, "server": "", "project": DUEL, "credential": "b" * 64}
    url, road = f"http://127.0.0.1:{replica.port}", {"Authorization": f"Bearer {here.hub_secret}"}
    token = servers.ask(f"{url}/api/v1/sessions", road, body)["token"]
    headers = [[f"Authorization: Bearer {token}"]] * 4
    asked = json.dumps({"command": COMMAND})
    load = Load("127.0.0.1", replica.port, "POST", "/api/v1/decisions", headers, asked, '"allowed":true', seconds)
    return beside(replace(load, patient=True))
