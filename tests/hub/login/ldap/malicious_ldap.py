"""A malicious directory: accepts every bind, and misbehaves in one chosen way.

Only for behaviour that no real server shows; everything else is tested against OpenLDAP.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DN = b"uid=alice,ou=people,dc=lab,dc=test"
SUBJECT = b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"
OK = b"\x0a\x01\x00\x04\x00\x04\x00"
BIND, SEARCH, EXTENDED = 0x60, 0x63, 0x77


def tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes([size]) if size < 128 else b"\x84" + size.to_bytes(4, "big")
    return bytes([tag]) + length + body


def message(message_id: bytes, tag: int, body: bytes) -> bytes:
    return tlv(0x30, tlv(0x02, message_id) + tlv(tag, body))


def entry(message_id: bytes, dn: bytes = DN, subject: bytes = SUBJECT, uid: bytes = b"alice") -> bytes:
    values = {b"uid": uid, b"entryUUID": subject}
    attributes = b"".join(tlv(0x30, tlv(4, name) + tlv(0x31, tlv(4, value))) for name, value in values.items())
    return message(message_id, 0x64, tlv(4, dn) + tlv(0x30, attributes))


class MaliciousDirectory:
    """Its responses can be replaced; the defaults are those of a correct server.

    Attributes
    ----------
    whoami : bytes
        The authorization identity after a bind.
    entries : list of callables
        For the n-th search (the last one for all later ones): message id to the bytes before the end of results.
    binds : list of bytes
        Every bind request in full.
    """

    def __init__(self) -> None:
        self.whoami = b"dn:" + DN
        self.entries: list[Callable[[bytes], bytes]] = [entry]
        self.binds: list[bytes] = []
        self.byte_delay = 0.0
        self.endless = False
        self.garbage = b""
        self.cut_after = 0
        self.searches = 0

    def answer(self, request: bytes) -> Iterator[bytes]:
        size = request[1]
        message_id, tag = request[2 : 2 + size], request[2 + size]
        if self.garbage:
            yield self.garbage
        elif tag == BIND:
            self.binds.append(request)
            yield message(message_id, 0x61, OK)
        elif tag == SEARCH:
            make = self.entries[min(self.searches, len(self.entries) - 1)]
            self.searches += 1
            while self.endless:
                yield entry(message_id)
            yield make(message_id) + message(message_id, 0x65, OK)
        elif tag == EXTENDED:
            yield message(message_id, 0x78, OK + (tlv(0x8B, self.whoami)))


@contextmanager
def malicious_directory() -> Iterator[tuple[MaliciousDirectory, int]]:
    """Serve on a free loopback port; yield the directory and the port."""
    directory = MaliciousDirectory()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while (request := _read(self.request)) is not None:
                    for data in directory.answer(request):
                        self._send(data)
            except OSError:
                return

        def _send(self, data: bytes) -> None:
            if directory.cut_after:
                self.request.sendall(data[: directory.cut_after])
                raise OSError
            if not directory.byte_delay:
                self.request.sendall(data)
                return
            for byte in data:
                self.request.sendall(bytes([byte]))
                time.sleep(directory.byte_delay)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield directory, server.server_address[1]
        server.shutdown()
        thread.join()


def _read(sock: socket.socket) -> bytes | None:
    """Read one request without its frame: the message id, then the operation."""
    head = _exactly(sock, 2)
    if head is None:
        return None
    size = head[1]
    if size & 0x80:
        more = _exactly(sock, size & 0x7F)
        size = int.from_bytes(more or b"", "big")
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            return None
        data += part
    return data
