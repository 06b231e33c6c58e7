"""A load generator in a process of its own: a few connections, each asking again as soon as it has its answer.

``python -m tests.benchmarks.load`` reads one JSON document from its input and writes one to its output, so that the
measured server never shares its interpreter with it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Load:
    """What to ask.

    Attributes
    ----------
    headers : sequence of sequence of str
        Header lines for each connection; its length is the number of connections.
    expect : str
        Stands in every good answer's body.
    also_accepted : sequence of int
        Statuses that are good answers too, whatever stands in their bodies.
    form : bool
        The body is a form, not JSON.
    pause : float
        Seconds between an answer and the next question.
    """

    host: str
    port: int
    method: str
    path: str
    headers: Sequence[Sequence[str]]
    body: str
    expect: str
    seconds: float
    warm_up: float = 0.5
    also_accepted: Sequence[int] = ()
    form: bool = False
    pause: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """``rate`` in answers per second; ``median`` and ``p99`` in milliseconds; ``total`` counts the warm-up too."""

    answers: int
    total: int
    rate: float
    median: float
    p99: float


def run(load: Load) -> Outcome:
    """Run a load in a new process.

    Raises
    ------
    RuntimeError
        An answer was not the expected one.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.load"],
        input=json.dumps(asdict(load)).encode(),
        capture_output=True,
        timeout=load.seconds + load.warm_up + 30,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip()[-2000:])
    return Outcome(**json.loads(done.stdout))


@contextmanager
def run_in_background(load: Load) -> Iterator[None]:
    """Let a load run beside the block; its figures are not looked at, and it ends with the block."""
    command = [sys.executable, "-m", "tests.benchmarks.load"]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert running.stdin is not None
    try:
        with running.stdin as given:
            given.write(json.dumps(asdict(load)).encode())
        yield
        if running.poll():
            raise RuntimeError("the load beside it broke off")
    finally:
        running.kill()
        running.wait()


class _Connection(asyncio.Protocol):
    def __init__(
        self, load: Load, request: bytes, times: list[tuple[float, float]], failed: asyncio.Future[None]
    ) -> None:
        self._request, self._expect, self._times, self._failed = request, load.expect.encode(), times, failed
        self._also = tuple(f"HTTP/1.1 {status}".encode() for status in load.also_accepted)
        self._pause = load.pause
        self._data = b""
        self._needed = -1
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._ask()

    def _ask(self) -> None:
        self._data, self._needed = b"", -1
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._needed < 0:
            head, end, _ = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._needed = len(head) + 4 + int(length or b"0")
        if len(self._data) < self._needed:
            return
        good = self._data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")) and self._expect in self._data
        if not good and not self._data.startswith(self._also):
            self._fail(f"unexpected answer: {self._data[:600]!r}")
            return
        self._times.append((self._asked, time.perf_counter()))
        if self._pause:
            asyncio.get_running_loop().call_later(self._pause, self._ask)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def _fail(self, why: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(why))


async def _generate(load: Load) -> Outcome:
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    times: list[tuple[float, float]] = []
    body = load.body.encode()
    for lines in load.headers:
        head = [f"{load.method} {load.path} HTTP/1.1", f"Host: {load.host}:{load.port}", *lines]
        if body:
            kind = "application/x-www-form-urlencoded" if load.form else "application/json"
            head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        request = "\r\n".join([*head, "", ""]).encode() + body
        await loop.create_connection(
            lambda request=request: _Connection(load, request, times, failed),
            load.host,
            load.port,  # type: ignore[misc]
        )
    started = time.perf_counter() + load.warm_up
    await asyncio.wait([failed], timeout=load.warm_up + load.seconds)
    if failed.done():
        failed.result()
    ended = started + load.seconds
    taken = sorted((end - asked) * 1000 for asked, end in times if started <= end <= ended)
    if not taken:
        raise RuntimeError("no answer came")
    return Outcome(
        len(taken), len(times), len(taken) / load.seconds, taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    )


def main() -> int:
    load = Load(**json.load(sys.stdin))
    try:
        print(json.dumps(asdict(asyncio.run(_generate(load)))))
    except (RuntimeError, OSError) as error:
        print(f"{load.method} {load.path}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
