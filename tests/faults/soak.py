"""``python -m tests.faults.soak --seed N --minutes 30``: faults of all kinds in an order that the seed decides.

Installations are created and removed one after the other, on SQLite and on PostgreSQL; each goes through a few rounds
of load with some faults and is then checked. The seed decides what is done; when it happens differs with the machine,
so the history of a round with violations is kept in a file.
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aizen_hub.store.failpoints import SERVICE_POINTS
from tests.conftest import TIERS
from tests.faults.background_load import under_load
from tests.faults.database_proxy import DatabaseProxy, run_with_proxies
from tests.faults.installation import PEOPLE, Installation, create_installation, run_installation
from tests.faults.nemesis import (
    backend_pids,
    end_backends,
    file_size_limited,
    locked_tables,
    restarting,
    sqlite_locked_by_another_process,
    stopped,
)
from tests.faults.revocation_storm import run_revocation_storm
from tests.faults.rules import Violation
from tests.faults.shifted_clock import set_clock
from tests.fixtures.databases.postgres import running_server

ROUNDS = 4
REVOCATIONS = 10_000
STORM_SECONDS = 30.0
MAX_GROWTH = 1.2
GROWTH_ALLOWANCE_MEGABYTES = 24.0
"""What a process may grow by at any rate: caches fill while it works."""

Fault = Callable[["SoakRun"], None]


@dataclass
class SoakRun:
    """An installation with what its faults need."""

    installation: Installation
    random: random.Random
    clock: Path
    restart: Callable[[int], None] | None = None
    wires: list[DatabaseProxy] = field(default_factory=list)
    fault_names: list[str] = field(default_factory=list)

    def replica(self) -> int:
        return self.random.randrange(len(self.installation.services))


def kill(run: SoakRun) -> None:
    service = run.installation.services[run.replica()]
    with run.installation.recorder.fault("kill"):
        service.kill()
        time.sleep(run.random.random())
        service.start(wait=False)
    service.wait_ready()


def kill_at_a_point(run: SoakRun) -> None:
    """Start one again so that it dies at a point between deciding and answering, and once more without that."""
    service = run.installation.services[run.replica()]
    point = run.random.choice(sorted(SERVICE_POINTS))
    with run.installation.recorder.fault("kill-at", point=point):
        service.kill()
        service.start(kill_at=f"{point}:{run.random.randint(8, 60)}", wait=False)
        if not service.wait_dead(30):
            service.kill()
        service.start(wait=False)
    service.wait_ready()


def pause(run: SoakRun) -> None:
    service = run.installation.services[run.replica()]
    with run.installation.recorder.fault("pause"), stopped(service.pid):
        time.sleep(run.random.uniform(0.3, 5))


def database_locked(run: SoakRun) -> None:
    installation = run.installation
    with installation.recorder.fault("locked"):
        lock = (
            locked_tables(installation.database)
            if installation.database
            else sqlite_locked_by_another_process(installation.settings.data_dir)
        )
        with lock:
            time.sleep(run.random.uniform(0.5, 5))


def disk_full(run: SoakRun) -> None:
    service = run.installation.service
    with run.installation.recorder.fault("full"), file_size_limited(service.pid):
        time.sleep(run.random.uniform(0.5, 5))


def clock_jumps(run: SoakRun) -> None:
    with run.installation.recorder.fault("clock"):
        set_clock(run.clock, run.random.uniform(-1, 1) * 10 ** run.random.randint(1, 8))
        time.sleep(2)
        set_clock(run.clock, 0)


def backends_stand_still(run: SoakRun) -> None:
    assert run.installation.database is not None
    with run.installation.recorder.fault("backends-stopped"), stopped(*backend_pids(run.installation.database)):
        time.sleep(run.random.uniform(0.5, 6))


def backends_end(run: SoakRun) -> None:
    assert run.installation.database is not None
    with run.installation.recorder.fault("backends-ended"):
        end_backends(run.installation.database)


def database_restarts(run: SoakRun) -> None:
    assert run.restart is not None
    with run.installation.recorder.fault("restart"):
        run.restart(run.random.choice([signal.SIGQUIT, signal.SIGKILL, signal.SIGINT]))


def wire_fails(run: SoakRun) -> None:
    """Between one replica and the database, or all of them."""
    dice = run.random
    chosen = dice.sample(run.wires, dice.randint(1, len(run.wires)))
    kind = dice.choice(sorted(WIRE))
    with run.installation.recorder.fault(kind, wires=len(chosen)), ExitStack() as stack:
        for wire in chosen:
            stack.enter_context(WIRE[kind](wire))
        time.sleep(dice.uniform(0.3, 5))


WIRE: Mapping[str, Callable[[DatabaseProxy], AbstractContextManager[None]]] = {
    "cut": DatabaseProxy.cut,
    "stalled": DatabaseProxy.stalled,
    "stalled-then-cut": lambda wire: wire.stalled(then_cut=True),
    "answers-lost": DatabaseProxy.losing_responses,
    "half-open": DatabaseProxy.half_open,
}
SQLITE: tuple[Fault, ...] = (kill, kill_at_a_point, pause, database_locked, disk_full, clock_jumps)
POSTGRES: tuple[Fault, ...] = (
    kill, kill_at_a_point, pause, database_locked, backends_stand_still, backends_end, database_restarts,
    wire_fails,
)  # fmt: skip


@contextmanager
def start_soak_run(folder: Path, dice: random.Random, postgres: bool) -> Iterator[SoakRun]:
    """Start one installation; everything of it ends with the block."""
    clock = folder / "clock"
    with ExitStack() as stack:
        set_clock(clock, 0)
        if not postgres:
            installation_secrets = create_installation(folder / "installation")
            installation = stack.enter_context(
                run_installation(
                    folder / "installation", installation_secrets, module=("tests.faults.shifted_clock", str(clock))
                )
            )
            yield SoakRun(installation, dice, clock)
            return
        server = stack.enter_context(running_server())
        restart = stack.enter_context(restarting(server))
        installation_secrets = create_installation(folder / "installation", server.url())
        installation = stack.enter_context(
            run_installation(folder / "installation", installation_secrets, server.url(), replicas=2, start=False)
        )
        yield SoakRun(
            installation, dice, clock, restart, stack.enter_context(run_with_proxies(installation, server.port))
        )


def run_round(run: SoakRun) -> list[Violation]:
    """Load with a few faults, then the checks."""
    installation, dice = run.installation, run.random
    installation.start_history()
    run.fault_names.clear()
    faults = POSTGRES if installation.database else SQLITE
    with under_load(installation, dice.randrange(1 << 30), pause=dice.choice([0.0, 0.01, 0.03]), people=PEOPLE):
        time.sleep(1)
        memory = [(one.pid, one.resident_megabytes()) for one in installation.services]
        for fault in dice.sample(faults, dice.randint(1, 3)):
            run.fault_names.append(fault.__name__)
            fault(run)
            time.sleep(dice.uniform(0.2, 2))
    violations = installation.violations()
    for one, (pid, before) in zip(installation.services, memory, strict=True):
        now = one.resident_megabytes()
        if one.pid == pid and now > max(before * MAX_GROWTH, before + GROWTH_ALLOWANCE_MEGABYTES):
            violations.append(Violation("I10", f"memory went from {before:.0f} to {now:.0f} MB"))
    return violations


def soak(seed: int, minutes: float) -> int:
    """Run until the time is over or something is wrong; returns the exit status."""
    dice, start = random.Random(seed), time.monotonic()
    until = start + minutes * 60
    with_postgres = TIERS["postgres"]() is None
    if not with_postgres:
        print(f"without PostgreSQL: {TIERS['postgres']()}")
    run_count, revocations, operations = 0, 0, 0
    seen: Counter[str] = Counter()
    while time.monotonic() < until:
        postgres = with_postgres and run_count % 2 == 1
        run_count += 1
        with (
            tempfile.TemporaryDirectory(prefix="aizen-soak-") as name,
            start_soak_run(Path(name), dice, postgres) as run,
        ):
            for _ in range(ROUNDS):
                if time.monotonic() >= until:
                    break
                violations = run_round(run)
                seen.update(run.fault_names)
                operations += (count := len(run.installation.recorder.ops()))
                if not violations and postgres and revocations < REVOCATIONS:
                    run.installation.start_history()
                    revocations += run_revocation_storm(run.installation, REVOCATIONS - revocations, STORM_SECONDS)
                    violations = run.installation.violations()
                kind = "postgresql" if postgres else "sqlite"
                progress = f"{(time.monotonic() - start) / 60:.1f} of {minutes:g} minutes"
                print(f"{progress}: run {run_count} {kind}: {', '.join(run.fault_names)}: {count} operations")
                if violations:
                    return _report(run, violations, seed)
    print(f"faults: {', '.join(f'{count} {name}' for name, count in sorted(seen.items()))}")
    print(f"{revocations} revocations on one replica, each denied on the other")
    took = (time.monotonic() - start) / 60
    print(f"verdict: sound; {operations} operations in {run_count} runs and {took:.1f} minutes, --seed {seed}")
    return 0


def _report(run: SoakRun, violations: list[Violation], seed: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="aizen-soak-wrong-"))
    lines = [op.to_json() for op in run.installation.recorder.ops()]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for one in run.installation.services:
        (folder / one.log.name).write_bytes(one.log.read_bytes())
    for violation in violations[:20]:
        print(violation, file=sys.stderr)
    print(f"verdict: {len(violations)} violations with --seed {seed}; the history is in {folder}", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="decides what is done; printed")
    parser.add_argument("--minutes", type=float, default=30)
    given = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    logging.disable(logging.WARNING)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"seed {seed}, {given.minutes:g} minutes")
    try:
        return soak(seed, given.minutes)
    except BaseException:
        print(f"verdict: none, it broke off, --seed {seed}", file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(main())
