"""What clients did and what they saw: one JSON line for each operation.

Times are ``time.monotonic_ns()``, which is one clock for all processes of a machine. An operation without an answer is
*indeterminate*: it may have happened at any time after its call, or never.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

SECOND = 1_000_000_000
OPEN = 1 << 62
"""Stands for the end of an operation that has none."""
NEMESIS = "nemesis"
AFTERMATH = "aftermath"
"""A fault from before the history: it may still be felt, and whether it was recovered from was looked at elsewhere."""


@dataclass(frozen=True)
class Op:
    """One operation of one client, or one fault (client `NEMESIS`).

    Attributes
    ----------
    op : str
        ``check``, ``grant``, ``revoke``, ``import``, ``lock``, ``unlock``, ``open``, ``end``; of the nemesis the fault.
    args : mapping
        What was asked for: ``user``, ``project``, ``role``, ``session``, ``tag`` …
    result : str or None
        ``allowed``, ``denied``, ``done`` (changed something), ``same`` (was so already), ``missing`` (there was nothing
        to take), ``refused`` (another 4xx), ``unavailable`` (503), ``broken`` (any other status), ``hung``, ``lost``
        (the connection ended), ``down`` (not listening, so nothing was sent), ``unsure`` (sent several times, and
        what came last does not tell what became of the first).
    observed : mapping
        More of the answer: ``id``, ``reason``, ``status``; in ``unavailable`` the interval of each wait for a
        503 with its detail, and in ``not_listening`` the times at which the service was not listening, over all
        attempts.
    """

    client: str
    op: str
    args: Mapping[str, Any]
    call_ns: int
    ret_ns: int | None
    result: str | None
    revision: int | None = None
    observed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.args["user"], self.args["project"], self.args["role"])

    @property
    def end(self) -> int:
        """When it was over; `OPEN` if unknown."""
        return OPEN if self.indeterminate or self.ret_ns is None else self.ret_ns

    @property
    def indeterminate(self) -> bool:
        """A write that may have happened, now or later: a 503 says only that the service stopped waiting for it."""
        return self.op != "check" and self.result in (None, "unavailable", "broken", "hung", "lost", "unsure")

    @property
    def took_effect(self) -> bool:
        return self.result == "done"

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


class Recorder:
    """Collects operations of many threads; with a path they also go to a file, line by line."""

    def __init__(self, path: Path | None = None) -> None:
        self._ops: list[Op] = []
        self._lock = threading.Lock()
        self._file: IO[str] | None = path.open("w", encoding="utf-8") if path else None

    def add(self, op: Op) -> Op:
        with self._lock:
            self._ops.append(op)
            if self._file is not None:
                self._file.write(op.to_json() + "\n")
        return op

    @contextmanager
    def fault(self, name: str, **args: Any) -> Iterator[None]:
        """Record a fault that lasts as long as the block."""
        start = time.monotonic_ns()
        try:
            yield
        finally:
            self.add(Op(NEMESIS, name, args, start, time.monotonic_ns(), "done"))

    def ops(self) -> list[Op]:
        with self._lock:
            return sorted(self._ops, key=lambda op: op.call_ns)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def load(lines: Iterable[str]) -> list[Op]:
    """Read what a `Recorder` wrote."""
    return [Op(**json.loads(line)) for line in lines if line.strip()]
