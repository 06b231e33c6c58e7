"""docs/how-to/sqlite-to-postgresql.md as written: a service decides before, on PostgreSQL, and on SQLite again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from tests.drill.load import Load, let_execute
from tests.drill.operator import start_sealed
from tests.faults.installation import Installation, create_installation, run_installation
from tests.fixtures.databases.postgres import Server, running_server
from tests.fixtures.guide import Guide

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.slow]
HOST = "@db.example.org/"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own, since the roles and the database of the page have fixed names."""
    with running_server("fsync=off") as server:
        yield server


def decide(installation: Installation) -> None:
    with Load(installation, 2) as load:
        load.wait("allowed", 20)


def use(config: Path, changes: dict[str, str]) -> None:
    """Change the settings of the service and of the commands."""
    for file in (config, config.with_name("aizen.yaml")):
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
        file.write_text(json.dumps(settings | changes), encoding="utf-8")


@pytest.mark.proves("R5", "R95", "T-40")
def test_the_documented_way_and_back(tmp_path: Path, server: Server) -> None:
    guide = Guide(Path("docs/how-to/sqlite-to-postgresql.md"), tmp_path)

    def localized(text: str) -> str:
        return text.replace(HOST, f"@127.0.0.1:{server.port}/")

    with psycopg.connect(server.url(), autocommit=True) as conn:
        for statement in guide.blocks("text")[0].strip().splitlines():
            conn.execute(statement)
    back_up, copy, *rest = [[localized(word) for word in command] for command in guide.commands()]
    with run_installation(tmp_path, create_installation(tmp_path)) as installation:
        service = installation.service
        let_execute(installation)
        decide(installation)
        use(service.config, {})
        with pytest.raises(AssertionError, match="another aizen-hub service"):
            guide.run(copy)
        service.stop()
        guide.run(back_up)
        guide.run(copy)
        with pytest.raises(AssertionError, match="not empty"):
            guide.run(copy)

        moved = yaml.safe_load(localized(guide.blocks("yaml")[0]))
        use(service.config, moved)
        for command in rest:
            guide.run(command)
        service.start()
        decide(installation)
        service.stop()  # signs a last checkpoint

        use(service.config, {"database": f"sqlite:///{tmp_path}/data/aizen.sqlite"})
        start_sealed(service, "older than the last checkpoint")  # as the page says of the former file
        service.stop()

        use(service.config, moved)
        file = f"sqlite:///{tmp_path / 'back.sqlite'}"
        guide.run([*copy[:3], "--to", file, "-c", "aizen.yaml"])
        use(service.config, {"database": file})
        service.start()
        decide(installation)
        service.stop()
        guide.run(rest[-1])
    assert [words[1:3] for words in rest] == [["db", "upgrade"], ["db", "check"], ["audit", "verify"]]
