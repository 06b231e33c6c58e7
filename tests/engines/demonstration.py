"""What a server looks like on an engine: who runs what, where each token lies, and who could read it."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from aizen_hub.demo.browser import Browser
from aizen_hub.demo.kernel import Kernel
from aizen_hub.demo.step_counter import StepCounter, StepFailedError, expect
from tests.engines import journey
from tests.fixtures.hub import HubHandle


@dataclass(frozen=True)
class RunningEngine:
    """An engine with a hub.

    Attributes
    ----------
    uids : set of int
        The accounts under which servers run.
    describe : callable
        Returns everything that the engine shows of its servers; empty where none runs.
    folder : Path
        Where hub, service and engine store what they store.
    shown_by : str
        The command that shows it, and who may run it.
    stores : tuple of Path
        Where the engine stores secrets by design, readable for root only.
    secrets : callable
        Returns the secrets of servers that the engine has; empty where none runs.
    """

    hub: HubHandle
    person: str
    owner: str
    uids: set[int]
    describe: Callable[[], str]
    folder: Path
    shown_by: str
    stores: tuple[Path, ...] = ()
    secrets: Callable[[], list[Any]] = list


@contextmanager
def slurm_engine() -> Iterator[RunningEngine]:
    from tests.engines.slurm_hub import create_accounts, open_folder, slurm_hub

    with open_folder() as folder:
        person, owner = create_accounts(folder, "erin", "maker")
        with slurm_hub(folder, person, owner) as (hub, cluster):

            def describe() -> str:
                jobs = cluster.run("squeue", "--noheader", "--format=%i").split()
                return "\n".join(
                    cluster.run("scontrol", "show", "job", job)
                    + cluster.run("scontrol", "write", "batch_script", job, "-")
                    for job in jobs
                )

            shown_by = "`scontrol show job` (every account), `scontrol write batch_script` (owner, administrators)"
            yield RunningEngine(hub, person.name, owner.name, {person.uid, owner.uid}, describe, folder, shown_by)


@contextmanager
def docker_engine() -> Iterator[RunningEngine]:
    from tests.engines.docker_hub import SERVER_UID, docker_hub

    with (
        tempfile.TemporaryDirectory(prefix="az-", dir="/tmp") as name,
        docker_hub(Path(name), "erin", "maker") as (hub, daemon),
    ):
        shown_by = "`docker inspect` (everyone who may use the daemon's socket)"
        yield RunningEngine(
            hub,
            "erin",
            "maker",
            {SERVER_UID},
            lambda: "\n".join(json.dumps(container) for container in daemon.containers()),
            Path(name),
            shown_by,
        )


@contextmanager
def kubernetes_engine() -> Iterator[RunningEngine]:
    from tests.engines.kubernetes_hub import PROJECT_NAMESPACE, kubelet_hub, kubernetes_hub
    from tests.engines.slurm_hub import open_folder
    from tests.fixtures.accounts import free_uids
    from tests.fixtures.engines.kubelet import missing_requirements
    from tests.fixtures.engines.kubernetes import NAMESPACE

    missing = missing_requirements()
    start, namespace = (kubelet_hub, PROJECT_NAMESPACE) if missing is None else (kubernetes_hub, NAMESPACE)
    click.echo(
        "              pods are containers" if missing is None else f"              pods are processes: {missing}"
    )
    with open_folder() as folder:
        (uid,) = free_uids(1)
        with start(folder, uid, "erin", "maker") as (hub, cluster):
            shown_by = "`kubectl get pod -o yaml` (everyone who may read pods; Secrets are a right of their own)"

            def describe() -> str:
                return "\n".join(json.dumps(pod) for pod in cluster.list_objects("pods", namespace))

            yield RunningEngine(
                hub,
                "erin",
                "maker",
                {uid},
                describe,
                folder,
                shown_by,
                stores=tuple(cluster.folder / name for name in ("etcd", "containerd", "containers")),
                secrets=lambda: cluster.list_objects("secrets", namespace),
            )


def demonstrate(engine: RunningEngine, steps: StepCounter) -> None:
    """Sign two people in, run commands, show the tokens, and stop the servers."""
    for name, refused in ((engine.person, True), (engine.owner, False)):
        with _step(steps, f"{name} signs in, and a server starts for `{journey.PROJECT}`"):
            browser = engine.hub.login(name)
            home = browser.spawn(journey.PROJECT, seconds=journey.START_SECONDS)
        with Kernel(browser, home) as kernel:
            with _step(steps, f"{name}: `{journey.ALLOWED}` is allowed"):
                journey.check_allowed(kernel)
            if refused:
                with _step(steps, f"{name}: `{journey.REFUSED}` is refused, with the role that would allow it"):
                    journey.check_refused(kernel)
            environ = journey.environment_in(kernel)
        _show_tokens(engine, steps, environ)
        _stop(engine, steps, browser, name, environ["JUPYTERHUB_API_TOKEN"])


def _stop(engine: RunningEngine, steps: StepCounter, browser: Browser, name: str, token: str) -> None:
    with _step(steps, f"the server of {name} stops, and nothing of it is left"):
        browser.stop(seconds=journey.WAIT_SECONDS)
        journey.wait_until(lambda: not engine.describe(), "the engine shows no server")
        journey.wait_until(lambda: not engine.secrets(), "the engine has no secret of a server")
        journey.wait_until(lambda: not journey.find_in_processes(token, set()), "no process has the token")
        journey.wait_until(lambda: not _files(engine, token).keys() - _stored(engine, token), "no file has the token")
    with _step(steps, f"the hub refuses the token of {name} that has ended"):
        expect(_answer_to(engine.hub, token) == HTTPStatus.FORBIDDEN, "the hub accepts it")
    if _stored(engine, token):
        click.echo("              which the files of the engine's store hold until they are compacted")


def _show_tokens(engine: RunningEngine, steps: StepCounter, environ: dict[str, str]) -> None:
    token = environ["JUPYTERHUB_API_TOKEN"]
    with _step(steps, "the hub accepts the hub token, whose holder acts in the session of the server"):
        expect(_answer_to(engine.hub, token) == HTTPStatus.OK, "the hub refuses it")
    with _step(steps, "the role token: not in the environment, since the kernel obtains it with the hub token"):
        expect("AIZEN_TOKEN" not in environ, "it is in the environment of the kernel")
    with _step(steps, f"the hub token: not in what the engine shows: {engine.shown_by}"):
        expect(engine.describe(), "the engine shows no server")
        expect(token not in engine.describe(), "it is shown")
    with _step(steps, "the hub token: in the environment of processes of the server's own account only"):
        found = journey.find_in_processes(token, engine.uids)
        expect(not found, f"it is in {found}")
    stored = _stored(engine, token)
    for path, status in _files(engine, token).items():
        owner = "root" if status.st_uid == 0 else f"uid {status.st_uid}"
        where = ", the engine's store of secrets: readable for root of its machine" if path in stored else ""
        with _step(steps, f"the hub token: in a file of {owner}, mode {status.st_mode & 0o777:04o}{where}: {path}"):
            expected = {0} if path in stored else engine.uids
            expect(status.st_uid in expected, "it is not of the account of the server")
            expect(not journey.may_others_read(path), "others can read it")


def _files(engine: RunningEngine, token: str) -> dict[Path, os.stat_result]:
    """Return the files with a token of hub, service, engine and servers, each once."""
    found = {}
    for name in journey.find_secret([engine.folder, *journey.runtime_folders(token)], token):
        with suppress(FileNotFoundError):  # removed in between
            status = Path(name).stat()
            found.setdefault((status.st_dev, status.st_ino), (Path(name), status))
    return dict(found.values())


def _stored(engine: RunningEngine, token: str) -> set[Path]:
    """Return the files of the engine's store of secrets that hold a token."""
    return {Path(name) for name in journey.find_secret(engine.stores, token)}


def _answer_to(hub: HubHandle, token: str) -> int:
    """Return the status of the hub's answer to a hub token."""
    request = urllib.request.Request(f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@contextmanager
def _step(steps: StepCounter, description: str) -> Iterator[None]:
    with steps.step(description):
        try:
            yield
        except StepFailedError:
            raise
        except AssertionError as error:
            raise StepFailedError(str(error)) from None
