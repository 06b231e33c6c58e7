"""The wire between a service and its database, which a test may cut, stall, or let lose the answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.faults.install import Town
from tests.fixtures.ports import free_port


class Wire:
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
        self._refusing = self._silent = self._losing = self._closed = False
        self._guard = threading.Lock()
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
        """End all connections; who connects finds somebody who never says a word."""
        self._silent = True
        self._end_all()
        try:
            yield
        finally:
            self._silent = False
            self._end_all()

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Let what the service says arrive, and lose what the database answers; then end all connections.

        A commit that was sent so happened, and its sender cannot know (R105).
        """
        self._losing = True
        try:
            yield
        finally:
            self._end_all()
            self._losing = False

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
        with self._guard:
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
            with self._guard:
                self._sockets.add(near)
            if self._silent:
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._guard:
                self._sockets.add(far)
            for source, sink, answers in ((near, far, False), (far, near, True)):
                thread = threading.Thread(target=self._carry, args=(source, sink, answers), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                self._flowing.wait()
                if not (answers and self._losing):
                    sink.sendall(data)
        except OSError:
            pass  # cut
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            with self._guard:
                self._sockets.discard(one)


@contextmanager
def wired(here: Town, target: int) -> Iterator[list[Wire]]:
    """Start a town that was not started yet, each replica with a wire of its own to the database's port."""
    laid = [Wire(target) for _ in here.services]
    try:
        for service, wire in zip(here.services, laid, strict=True):
            text = service.config.read_text(encoding="utf-8")
            assert f":{target}/" in text
            service.config.write_text(text.replace(f":{target}/", f":{wire.port}/"), encoding="utf-8")
            service.start(wait=False)
        for service in here.services:
            service.wait_ready()
        here.begin()
        yield laid
    finally:
        for service in here.services:
            service.stop()
        for one in laid:
            one.close()
