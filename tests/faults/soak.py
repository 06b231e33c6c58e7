"""``python -m tests.faults.soak --seed N --minutes 30``: faults of all kinds in an order that the seed decides.

Houses are built and torn down one after the other, on SQLite and on PostgreSQL; each goes through a few rounds of load
with some faults and is then checked. The seed decides what is done; when it happens differs with the machine, so the
history of a round that was found wrong is kept in a file.
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

from aizen_hub.store.failpoints import POINTS
from tests.conftest import TIERS
from tests.faults.install import PEOPLE, Town, found, town
from tests.faults.load import under_load
from tests.faults.nemesis import backends, end_backends, held_by_another, locked_tables, no_room, restarting, stopped
from tests.faults.revocation_storm import storm
from tests.faults.rules import Violation
from tests.faults.shifted_clock import set_clock
from tests.faults.wire import Wire, wired
from tests.fixtures.postgres import running_server

ROUNDS = 4
REVOCATIONS = 10_000
STORM_SECONDS = 30.0
MOST_GROWTH = 1.2
ROOM_MEGABYTES = 24.0
"""What a process may grow by at any rate: caches fill while it works."""

Fault = Callable[["House"], None]


@dataclass
class House:
    """A town with what its faults need."""

    town: Town
    dice: random.Random
    clock: Path
    restart: Callable[[int], None] | None = None
    wires: list[Wire] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def replica(self) -> int:
        return self.dice.randrange(len(self.town.services))


def kill(house: House) -> None:
    one = house.town.services[house.replica()]
    with house.town.recorder.fault("kill"):
        one.kill()
        time.sleep(house.dice.random())
        one.start(wait=False)
    one.wait_ready()


def kill_at_a_point(house: House) -> None:
    """Start one again so that it dies at a point between deciding and answering, and once more without that."""
    one = house.town.services[house.replica()]
    point = house.dice.choice(sorted(POINTS))
    with house.town.recorder.fault("kill-at", point=point):
        one.kill()
        one.start(kill_at=f"{point}:{house.dice.randint(8, 60)}", wait=False)
        if not one.wait_dead(30):
            one.kill()
        one.start(wait=False)
    one.wait_ready()


def pause(house: House) -> None:
    one = house.town.services[house.replica()]
    with house.town.recorder.fault("pause"), stopped(one.pid):
        time.sleep(house.dice.uniform(0.3, 5))


def database_locked(house: House) -> None:
    here = house.town
    with here.recorder.fault("locked"):
        holder = locked_tables(here.database) if here.database else held_by_another(here.settings.data_dir)
        with holder:
            time.sleep(house.dice.uniform(0.5, 5))


def disk_full(house: House) -> None:
    one = house.town.service
    with house.town.recorder.fault("full"), no_room(one.pid):
        time.sleep(house.dice.uniform(0.5, 5))


def clock_jumps(house: House) -> None:
    with house.town.recorder.fault("clock"):
        set_clock(house.clock, house.dice.uniform(-1, 1) * 10 ** house.dice.randint(1, 8))
        time.sleep(2)
        set_clock(house.clock, 0)


def backends_stand_still(house: House) -> None:
    assert house.town.database is not None
    with house.town.recorder.fault("backends-stopped"), stopped(*backends(house.town.database)):
        time.sleep(house.dice.uniform(0.5, 6))


def backends_end(house: House) -> None:
    assert house.town.database is not None
    with house.town.recorder.fault("backends-ended"):
        end_backends(house.town.database)


def database_restarts(house: House) -> None:
    assert house.restart is not None
    with house.town.recorder.fault("restart"):
        house.restart(house.dice.choice([signal.SIGQUIT, signal.SIGKILL, signal.SIGINT]))


def wire_fails(house: House) -> None:
    """Between one replica and the database, or all of them."""
    dice = house.dice
    chosen = dice.sample(house.wires, dice.randint(1, len(house.wires)))
    how = dice.choice(sorted(WIRE))
    with house.town.recorder.fault(how, wires=len(chosen)), ExitStack() as stack:
        for wire in chosen:
            stack.enter_context(WIRE[how](wire))
        time.sleep(dice.uniform(0.3, 5))


WIRE: Mapping[str, Callable[[Wire], AbstractContextManager[None]]] = {
    "cut": Wire.cut,
    "stalled": Wire.stalled,
    "stalled-then-cut": lambda wire: wire.stalled(then_cut=True),
    "answers-lost": Wire.losing_answers,
    "half-open": Wire.half_open,
}
SQLITE: tuple[Fault, ...] = (kill, kill_at_a_point, pause, database_locked, disk_full, clock_jumps)
POSTGRES: tuple[Fault, ...] = (
    kill, kill_at_a_point, pause, database_locked, backends_stand_still, backends_end, database_restarts,
    wire_fails,
)  # fmt: skip


@contextmanager
def houses(folder: Path, dice: random.Random, postgres: bool) -> Iterator[House]:
    """Build one house; everything of it ends with the block."""
    clock = folder / "clock"
    with ExitStack() as stack:
        set_clock(clock, 0)
        if not postgres:
            founded = found(folder / "town")
            here = stack.enter_context(
                town(folder / "town", founded, module=("tests.faults.shifted_clock", str(clock)))
            )
            yield House(here, dice, clock)
            return
        server = stack.enter_context(running_server())
        restart = stack.enter_context(restarting(server))
        founded = found(folder / "town", server.url())
        here = stack.enter_context(town(folder / "town", founded, server.url(), replicas=2, start=False))
        yield House(here, dice, clock, restart, stack.enter_context(wired(here, server.port)))


def one_round(house: House) -> list[Violation]:
    """Load with a few faults, then the checks."""
    here, dice = house.town, house.dice
    here.begin()
    house.done.clear()
    faults = POSTGRES if here.database else SQLITE
    with under_load(here, dice.randrange(1 << 30), pause=dice.choice([0.0, 0.01, 0.03]), people=PEOPLE):
        time.sleep(1)
        memory = [(one.pid, one.resident_megabytes()) for one in here.services]
        for fault in dice.sample(faults, dice.randint(1, 3)):
            house.done.append(fault.__name__)
            fault(house)
            time.sleep(dice.uniform(0.2, 2))
    found_wrong = here.violations()
    for one, (pid, before) in zip(here.services, memory, strict=True):
        now = one.resident_megabytes()
        if one.pid == pid and now > max(before * MOST_GROWTH, before + ROOM_MEGABYTES):
            found_wrong.append(Violation("I10", f"memory went from {before:.0f} to {now:.0f} MB"))
    return found_wrong


def soak(seed: int, minutes: float) -> int:
    """Run until the time is over or something is wrong; returns the exit status."""
    dice, start = random.Random(seed), time.monotonic()
    until = start + minutes * 60
    with_postgres = TIERS["postgres"]() is None
    if not with_postgres:
        print(f"without PostgreSQL: {TIERS['postgres']()}")
    number, revocations, operations = 0, 0, 0
    seen: Counter[str] = Counter()
    while time.monotonic() < until:
        postgres = with_postgres and number % 2 == 1
        number += 1
        with tempfile.TemporaryDirectory(prefix="aizen-soak-") as name, houses(Path(name), dice, postgres) as house:
            for _ in range(ROUNDS):
                if time.monotonic() >= until:
                    break
                wrong = one_round(house)
                seen.update(house.done)
                operations += (count := len(house.town.recorder.ops()))
                if not wrong and postgres and revocations < REVOCATIONS:
                    house.town.begin()
                    revocations += storm(house.town, REVOCATIONS - revocations, STORM_SECONDS)
                    wrong = house.town.violations()
                kind = "postgresql" if postgres else "sqlite"
                at = f"{(time.monotonic() - start) / 60:.1f} of {minutes:g} minutes"
                print(f"{at}: house {number} {kind}: {', '.join(house.done)}: {count} operations")
                if wrong:
                    return _report(house, wrong, seed)
    print(f"faults: {', '.join(f'{count} {name}' for name, count in sorted(seen.items()))}")
    print(f"{revocations} revocations on one replica, each denied on the other")
    took = (time.monotonic() - start) / 60
    print(f"verdict: sound; {operations} operations in {number} houses and {took:.1f} minutes, --seed {seed}")
    return 0


def _report(house: House, wrong: list[Violation], seed: int) -> int:
    kept = Path(tempfile.mkdtemp(prefix="aizen-soak-wrong-"))
    lines = [op.to_json() for op in house.town.recorder.ops()]
    (kept / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for one in house.town.services:
        (kept / one.log.name).write_bytes(one.log.read_bytes())
    for violation in wrong[:20]:
        print(violation, file=sys.stderr)
    print(f"verdict: {len(wrong)} violations with --seed {seed}; the history is in {kept}", file=sys.stderr)
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
