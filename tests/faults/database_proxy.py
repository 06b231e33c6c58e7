"""The wire between a service and its database, which a test may cut, stall, or let lose the answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.faults.installation import Installation
from tests.fixtures.network.ports import free_port


class DatabaseProxy:
    """A small TCP proxy on loopback.

    Parameters
    ----------
    target : int
        The port where the database listens.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = self._unresponsive = self._losing_responses = self._closed = False
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """End all connections and take no new one."""
        self._refusing = True
        self._end_all()
        try:
            yield
        finally:
            self._refusing = False

    @contextmanager
    def stalled(self, *, then_cut: bool = False) -> Iterator[None]:
        """Let no byte through, in connections that stay open, as behind a router that lost its way.

        Parameters
        ----------
        then_cut : bool
            What waited is lost in the end, instead of going on.
        """
        self._flowing.clear()
        try:
            yield
        finally:
            if then_cut:
                self._end_all()
            self._flowing.set()

    @contextmanager
    def half_open(self) -> Iterator[None]:
        """End all connections; accept new ones and send nothing on them."""
        self._unresponsive = True
        self._end_all()
        try:
            yield
        finally:
            self._unresponsive = False
            self._end_all()

    @contextmanager
    def losing_responses(self) -> Iterator[None]:
        """Let what the service says arrive, and lose what the database answers; then end all connections.

        A commit that was sent so happened, and its sender cannot know (R105).
        """
        self._losing_responses = True
        try:
            yield
        finally:
            self._end_all()
            self._losing_responses = False

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()
        self._flowing.set()
        for thread in list(self._threads):
            thread.join(10)

    def _end_all(self) -> None:
        with self._lock:
            ended, self._sockets = self._sockets, set()
        for one in ended:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                near.close()
                continue
            with self._lock:
                self._sockets.add(near)
            if self._unresponsive:
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._sockets.add(far)
            for source, sink, answers in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._forward, args=(source, sink, answers), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, sink: socket.socket, from_database: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                self._flowing.wait()
                if not (from_database and self._losing_responses):
                    sink.sendall(data)
        except OSError:
            pass  # cut
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            with self._lock:
                self._sockets.discard(one)


@contextmanager
def run_with_proxies(installation: Installation, target: int) -> Iterator[list[DatabaseProxy]]:
    """Start an installation, each replica with its own proxy to the port of the database."""
    wires = [DatabaseProxy(target) for _ in installation.services]
    try:
        for service, wire in zip(installation.services, wires, strict=True):
            text = service.config.read_text(encoding="utf-8")
            assert f":{target}/" in text
            service.config.write_text(text.replace(f":{target}/", f":{wire.port}/"), encoding="utf-8")
            service.start(wait=False)
        for service in installation.services:
            service.wait_ready()
        installation.start_history()
        yield wires
    finally:
        for service in installation.services:
            service.stop()
        for one in wires:
            one.close()
