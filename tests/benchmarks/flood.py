"""One kernel that sends decisions and renewals as fast as it can, and the effect on ten other users (R125, T-36)."""

from __future__ import annotations

import hashlib
import json
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from aizen_hub.settings import Settings
from tests.benchmarks import install, servers, service
from tests.benchmarks.figure import Figure
from tests.benchmarks.install import SMALL
from tests.benchmarks.load import Load, run, run_in_background
from tests.benchmarks.servers import Running

PEOPLE = 10
CONNECTIONS = 8
"""Of the flooder, for each of its two floods."""
PAUSE = 0.05
START_SECONDS = 1.5
"""Until the processes of the flooder run; their start is not measured."""
ROUNDS = 3
TOKEN = "urn:ietf:params:oauth:token-type:access_token"
FLOODED = (429, 503)


def measure(folder: Path, *, seconds: float) -> Iterator[Figure]:
    """Yield how long the slowest hundredth of the decisions of other users takes, without and with the flooder."""
    folder.mkdir()
    settings = Settings(data_dir=folder / "data", admin_user="local:root")
    install.build(settings.data_dir, SMALL)
    with service.service(folder, settings, limited=True) as (running, secret):
        tokens = [_open(running, secret, user)[0] for user in range(1, PEOPLE + 1)]
        role_token, hub_token = _open(running, secret, PEOPLE + 1)
        calm, flooded = [], []
        for _ in range(ROUNDS):
            calm.append(run(_people(running, tokens, seconds)).p99)
            with ExitStack() as floods:
                for flood in _floods(running, role_token, hub_token, seconds):
                    floods.enter_context(run_in_background(flood))
                time.sleep(START_SECONDS)
                flooded.append(run(_people(running, tokens, seconds)).p99)
    name = f"the slowest hundredth of decisions of {PEOPLE} people"
    yield Figure(name, statistics.median(calm), "ms")
    yield Figure(f"{name}, beside a flooder", statistics.median(flooded), "ms")
    ratio = statistics.median(one / other for one, other in zip(flooded, calm, strict=True))
    yield Figure("beside one flooder, to calm (R125)", ratio, "x", "at most 2", name)


def _open(running: Running, secret: str, user: int) -> tuple[str, str]:
    hub_token = secrets.token_hex(16)
    body = {
        "user": f"u{user}",
        "requester": f"u{user}",
        "server": "",
        "project": next(iter(SMALL.held(user)))[0],
        "credential": hashlib.sha256(hub_token.encode()).hexdigest(),
    }
    opened = servers.post_json(f"{running.url}/api/v1/sessions", {"Authorization": f"Bearer {secret}"}, body)
    return opened["token"], hub_token


def _people(running: Running, tokens: list[str], seconds: float) -> Load:
    return Load(
        running.host,
        running.port,
        "POST",
        "/api/v1/decisions",
        [[f"Authorization: Bearer {token}"] for token in tokens],
        json.dumps({"command": "list trainings"}),
        '"decision"',
        seconds,
        pause=PAUSE,
    )


def _floods(running: Running, role_token: str, hub_token: str, seconds: float) -> Iterator[Load]:
    grant = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": hub_token,
        "subject_token_type": TOKEN,
    }
    for path, head, body, form in (
        (
            "/api/v1/decisions",
            [f"Authorization: Bearer {role_token}"],
            json.dumps({"command": "list trainings"}),
            False,
        ),
        ("/oauth/token", [], urlencode(grant), True),
    ):
        yield Load(
            running.host,
            running.port,
            "POST",
            path,
            [head] * CONNECTIONS,
            body,
            "",
            seconds + 60,
            also_accepted=FLOODED,
            form=form,
        )
