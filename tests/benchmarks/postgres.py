"""The same on PostgreSQL: decisions beside the bare handler, and revocations on one replica seen by another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aizen_hub.secret_files import read_or_create_secret
from aizen_hub.settings import Settings
from aizen_hub.store import migrate
from aizen_hub.tokens.key_encryption import KeyEncryption
from tests.benchmarks import install, policy, revocation, servers, service
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import MIDDLE
from tests.fixtures.databases.postgres import fresh_database, running_server


def measure(folder: Path, *, seconds: float, longest: float) -> Iterator[Figure]:
    """Yield the figures of a PostgreSQL server of our own, on the same machine and with all its safety."""
    folder.mkdir()
    with running_server() as server:
        with fresh_database(server) as url:
            yield from _decisions(folder, url, seconds)
        with fresh_database(server) as url:
            yield from revocation.measure(folder / "replicas", url, longest)


def _decisions(folder: Path, url: str, seconds: float) -> Iterator[Figure]:
    migrate.upgrade(url)
    settings = Settings(data_dir=folder / "data", admin_user="local:root", database=url)
    settings.data_dir.mkdir(mode=0o700)
    KeyEncryption.create(settings.key_encryption_path)
    read_or_create_secret(settings.hub_secret_path)
    install.fill(url, MIDDLE)
    with servers.bare(folder / "bare.log") as bare, service.service(folder, settings) as (running, secret):
        yield from service.together(running, bare, secret, MIDDLE, seconds, "PostgreSQL", "at least 0.3")
    yield from policy.measure(folder, settings, MIDDLE, "PostgreSQL")
