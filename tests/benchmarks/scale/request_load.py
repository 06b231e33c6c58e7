"""A load generator for prepared requests, each with a credential of its own, in a process of its own.

``python -m tests.benchmarks.scale.request_load`` reads one JSON document from its input and writes one to its output.
Without a rate each connection asks again as soon as it has its answer. With one, requests are due at fixed times,
whatever the server does, and their latency counts from then: a server that stands still is not asked less.
"""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MARGIN_SECONDS = 60.0
"""Within which a generator that is over must have ended."""
_TIMEOUT_SECONDS = 30.0
BACKLOG_SECONDS = 20.0
"""In which requests that are due are still sent after the time is over; the others count as refused."""


@dataclass(frozen=True)
class RequestLoad:
    """What to send.

    Attributes
    ----------
    ports : sequence of int
        Of the replicas on this machine; request after request goes to the next one.
    requests : str
        A file with one JSON object a line: ``method``, ``path``, ``head`` (header lines) and ``body``.
    expect : str
        Stands in the body of every good answer, whose status is 200 or 201.
    seconds : float
        After which no request is begun.
    once : bool
        Each prepared request is sent once at most; else they are repeated in their order.
    rate : float or None
        Requests a second.
    collect : str or None
        A key of the JSON answers, whose values are written to ``collected``: one a line, in the order of the requests.
    """

    ports: Sequence[int]
    requests: str
    connections: int
    expect: str
    seconds: float
    once: bool = False
    rate: float | None = None
    collect: str | None = None
    collected: str = ""


@dataclass(frozen=True)
class LoadOutcome:
    """What came back; ``median``, ``p99`` and ``slowest`` in milliseconds, of good answers only.

    Attributes
    ----------
    refused : dict
        Numbers of other answers, by their status; of broken connections, as ``closed``; and of requests that were due
        and not sent, as ``late``.
    """

    answers: int
    seconds: float
    median: float
    p99: float
    slowest: float
    refused: dict[str, int]

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def start(load: RequestLoad) -> subprocess.Popen[bytes]:
    """Start a load in a new process; `finish` waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.scale.request_load"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(load)).encode())
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[bytes], load: RequestLoad) -> LoadOutcome:
    """Wait for the outcome of a started load, whose process ends in any case.

    Raises
    ------
    RuntimeError
        There was no good answer at all.
    """
    try:
        out, error = process.communicate(timeout=load.seconds + MARGIN_SECONDS)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise RuntimeError(error.decode(errors="replace").strip()[-2000:])
    return LoadOutcome(**json.loads(out))


def run(load: RequestLoad) -> LoadOutcome:
    return finish(start(load), load)


class _Generator:
    def __init__(self, load: RequestLoad) -> None:
        self._load = load
        lines = Path(load.requests).read_text(encoding="utf-8").splitlines()
        self._prepared = [_encode(json.loads(line)) for line in lines]
        self._next = 0
        self._started = self._last_answer = 0.0
        self._taken: list[float] = []
        self._collected: dict[int, str] = {}
        self._refused: Counter[str] = Counter()
        self._example = ""

    async def run(self) -> LoadOutcome:
        self._started = self._last_answer = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.connections):
                group.create_task(self._connection())
        if not self._taken:
            raise RuntimeError(f"no good answer: {self._example or 'no request was sent'}")
        taken = sorted(self._taken)
        return LoadOutcome(
            len(taken),
            self._last_answer - self._started,
            taken[len(taken) // 2] * 1000,
            taken[int(len(taken) * 0.99)] * 1000,
            taken[-1] * 1000,
            dict(self._refused),
        )

    def write_collected(self) -> None:
        values = [self._collected.get(index, "") for index in range(len(self._prepared))]
        Path(self._load.collected).write_text("\n".join(values), encoding="utf-8")

    def _take(self) -> tuple[int, float] | None:
        """Return the number of the next request and when it is due; None at the end."""
        number = self._next
        if self._load.once and number >= len(self._prepared):
            return None
        now = time.perf_counter()
        due = self._started + number / self._load.rate if self._load.rate else now
        if due - self._started >= self._load.seconds:
            return None
        self._next += 1
        if self._load.rate and now - self._started >= self._load.seconds + BACKLOG_SECONDS:
            self._refused["late"] += math.ceil(self._load.seconds * self._load.rate) - number
            self._next = sys.maxsize
            return None
        return number, due

    async def _connection(self) -> None:
        streams: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        try:
            while (taken := self._take()) is not None:
                number, due = taken
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                index = number % len(self._prepared)
                # Shifted in each round, so that a session meets all replicas.
                port = self._load.ports[(number + number // len(self._prepared)) % len(self._load.ports)]
                try:
                    async with asyncio.timeout(_TIMEOUT_SECONDS):
                        if port not in streams:
                            streams[port] = await asyncio.open_connection("127.0.0.1", port)
                        status, body = await _exchange(*streams[port], self._prepared[index])
                except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # TimeoutError is an OSError
                    if port in streams:
                        streams.pop(port)[1].close()
                    self._refuse("closed", repr(error))
                    continue
                self._count(index, due, status, body)
        finally:
            for _, writer in streams.values():
                writer.close()

    def _count(self, index: int, due: float, status: str, body: bytes) -> None:
        if status not in ("200", "201") or self._load.expect.encode() not in body:
            self._refuse(status, body[:600].decode(errors="replace"))
            return
        self._last_answer = time.perf_counter()
        self._taken.append(self._last_answer - due)
        if self._load.collect is not None:
            self._collected[index] = json.loads(body)[self._load.collect]

    def _refuse(self, status: str, example: str) -> None:
        self._refused[status] += 1
        self._example = self._example or f"{status} {example}"


def _encode(request: dict[str, object]) -> bytes:
    body = str(request["body"]).encode()
    head = [f"{request['method']} {request['path']} HTTP/1.1", "Host: 127.0.0.1", *request["head"]]  # type: ignore[misc]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[str, bytes]:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    if not length.strip():
        raise EOFError(f"an answer without a length: {head[:200]}")
    return head.split(" ", 2)[1], await reader.readexactly(int(length))


def main() -> int:
    load = RequestLoad(**json.load(sys.stdin))
    generator = _Generator(load)
    try:
        outcome = asyncio.run(generator.run())
        if load.collect is not None:
            generator.write_collected()
        print(json.dumps(asdict(outcome)))
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
