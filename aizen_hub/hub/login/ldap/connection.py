"""One conversation with a directory server: verified TLS, a deadline for all of it, no referrals."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.core.results import (
    RESULT_NO_SUCH_OBJECT,
    RESULT_PROTOCOL_ERROR,
    RESULT_REFERRAL,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
)
from prometheus_client import Counter
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]

from aizen_hub.hub.login.ldap.entry import Entry
from aizen_hub.hub.login.ldap.server_pool import Place

log = logging.getLogger("aizen_hub.login")

REFERRALS = Counter("aizen_login_referrals", "Referrals that a directory answered and nobody followed")

# What a wrong name or password looks like: inappropriateAuthentication, invalidCredentials, noSuchObject,
# invalidDNSyntax, constraintViolation (too many failures), unwillingToPerform (account policies).
_NOT_PROVEN = frozenset({48, 49, RESULT_NO_SUCH_OBJECT, 34, 19, 53})
# ldap3 reads hostile bytes with these; a directory that sends nonsense is as good as none.
_NONSENSE = (LDAPException, OSError, PyAsn1Error, ValueError, TypeError, LookupError, AttributeError)


class DirectoryFailed(Exception):
    """The directory does not answer, not in time, not securely, or not sensibly; the message is for the log."""


class Deadline:
    """The time that is left for one login, and the means to cut it off from another thread.

    Parameters
    ----------
    seconds : float
        For everything: connecting, TLS, binds and searches.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._cut = False

    def left(self) -> float:
        """Return the seconds left; DirectoryFailed if there are none."""
        left = self._end - time.monotonic()
        if left <= 0 or self._cut:
            raise DirectoryFailed("no answer within the deadline")
        return left

    def watch(self, sock: socket.socket) -> None:
        # A duplicate: TLS takes the descriptor over, and shutting one of them down ends the connection for both.
        with self._lock:
            self._sockets.append(sock.dup())
        if self._cut:
            self.cut()

    def cut(self) -> None:
        """End every conversation now: a server that drips one byte a second never runs into a receive timeout."""
        with self._lock:
            self._cut = True
            while self._sockets:
                with self._sockets.pop() as sock, suppress(OSError):  # closed by the server already
                    sock.shutdown(socket.SHUT_RDWR)


class _WatchedTls(ldap3.Tls):
    """Hands the socket to the deadline before the handshake, which no timeout of ldap3 bounds as a whole."""

    def __init__(self, deadline: Deadline, seconds: float, **options: object) -> None:
        super().__init__(**options)
        self._deadline = deadline
        self._seconds = seconds

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        self._deadline.watch(connection.socket)
        connection.socket.settimeout(self._seconds)
        super().wrap_socket(connection, do_handshake)


class Directory:
    """One connection; use as a context manager so that it is always closed."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        self._deadline = deadline
        self._place = place
        self._address = ""
        self._connection = self._open(place)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.strategy.close()

    def bind(self, dn: str, password: str) -> bool:
        """Prove ``dn`` by its password; False if the directory says that it is not so.

        Raises
        ------
        DirectoryFailed
            No answer, or one that says nothing about the password (busy, referral, stronger authentication needed).
        """
        if not dn or not password:
            # Either would be an unauthenticated bind, which servers answer with success (RFC 4513, 5.1.2).
            return False
        connection = self._connection
        with self._operation("bind"):
            connection.authentication = ldap3.SIMPLE
            connection.user = dn
            # Bytes go out as they are; text would be prepared by ldap3 and could become another password, or none.
            connection.password = password.encode("utf-8")
            try:
                if connection.bind(read_server_info=False):
                    return True
            finally:
                connection.password = None
        code = self._code()
        if code in _NOT_PROVEN:
            return False
        raise DirectoryFailed(f"it refused to say whether a password is right (result {code})")

    def bind_anonymously(self) -> None:
        """Become nobody, for lookups in a directory that lets anybody read."""
        connection = self._connection
        with self._operation("anonymous bind"):
            connection.authentication, connection.user, connection.password = ldap3.ANONYMOUS, None, None
            bound = connection.bind(read_server_info=False)
        if not bound:
            raise DirectoryFailed(f"it refuses lookups without an account (result {self._code()})")

    def whoami(self) -> str | None:
        """Return the authorisation identity of this connection (RFC 4532); None if the server does not tell."""
        with self._operation("whoami"):
            answer = self._connection.extend.standard.who_am_i()
        if self._code() == RESULT_SUCCESS:
            return answer or ""
        if self._code() in (RESULT_PROTOCOL_ERROR, 12, 53):
            return None
        raise DirectoryFailed(f"it does not say who is signed in (result {self._code()})")

    def read(self, dn: str, attributes: Sequence[str], condition: str = "(objectClass=*)") -> Entry | None:
        """Read one entry by its name; None if it does not exist, cannot be seen, or does not meet ``condition``."""
        found = self.search(dn, condition, attributes, limit=1, scope=ldap3.BASE)
        return found[0] if found else None

    def search(
        self, base: str, condition: str, attributes: Sequence[str], *, limit: int, scope: str = ldap3.SUBTREE
    ) -> tuple[Entry, ...]:
        """Return at most ``limit`` + 1 entries, so that the caller sees that there are too many.

        Raises
        ------
        DirectoryFailed
            No answer, a referral instead of one, or an error.
        """
        entries: list[Entry] = []
        cookie = None
        paged = scope != ldap3.BASE and limit >= self._place.page_size
        while True:
            answers = self._search(
                base, condition, attributes, limit, scope, self._place.page_size if paged else 0, cookie
            )
            code = self._code()
            REFERRALS.inc(sum(one.get("type") == "searchResRef" for one in answers))
            if code == RESULT_NO_SUCH_OBJECT:
                return ()
            if code not in (RESULT_SUCCESS, RESULT_SIZE_LIMIT_EXCEEDED):
                raise DirectoryFailed(f"it answered a search with result {code}")
            entries += [_entry(one) for one in answers if one.get("type") == "searchResEntry"]
            if code == RESULT_SIZE_LIMIT_EXCEEDED and len(entries) <= limit and scope != ldap3.BASE:
                raise DirectoryFailed("its own size limit cut a search short")
            cookie = self._cookie() if paged else None
            if not cookie or len(entries) > limit or not answers:
                return tuple(entries[: limit + 1])

    def _search(
        self, base: str, condition: str, attributes: Sequence[str], limit: int, scope: str, page: int, cookie: Any
    ) -> list[dict[str, Any]]:
        left = self._deadline.left()
        with self._operation("search"):
            self._connection.search(
                base,
                condition,
                search_scope=scope,
                # A link inside the directory could lead an entry's name elsewhere.
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                # A server counts a limit over all pages, so with pages it is counted here.
                size_limit=0 if page else limit + 1 if scope != ldap3.BASE else 1,
                time_limit=max(1, math.ceil(left)),
                paged_size=page or None,
                paged_cookie=cookie,
            )
            return list(self._connection.response or ())

    def _cookie(self) -> bytes | None:
        """Return where the next page begins; None after the last, or from a server without pages."""
        try:
            value = self._connection.result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]
        except (KeyError, TypeError):
            return None
        return value if isinstance(value, bytes) else None

    def _open(self, place: Place) -> ldap3.Connection:
        failures = []
        order = place.in_order()
        for number, address in enumerate(order):
            # One that does not answer costs its share, and leaves the others theirs.
            share = self._deadline.left() / (len(order) - number)
            try:
                self._address = address
                return self._connect(place, address, share)
            except _NONSENSE as error:
                place.rest(address)
                # The text of ldap3 names addresses and certificates, no secret.
                failures.append(f"{address}:{place.port}: {str(error)[:300] or type(error).__name__}")
                self._deadline.left()
        raise DirectoryFailed("; ".join(failures))

    def _connect(self, place: Place, address: str, seconds: float) -> ldap3.Connection:
        server = ldap3.Server(
            address,
            port=place.port,
            use_ssl=place.mode == "on_connect",
            tls=_WatchedTls(self._deadline, seconds, **{"sni": address, **place.tls}),
            # Schema and server information would be fetched at every connection and are not needed.
            get_info=ldap3.NONE,
            allowed_referral_hosts=[],
            connect_timeout=min(place.connect_seconds, seconds),
        )
        connection = ldap3.Connection(
            server,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            raise_exceptions=False,
            check_names=False,
            return_empty_attributes=False,
            receive_timeout=max(1, math.ceil(self._deadline.left())),
        )
        try:
            connection.open(read_server_info=False)
            if place.mode != "on_connect":
                # Over LDAPS it is watched since before the handshake.
                self._deadline.watch(connection.socket)
            connection.socket.settimeout(seconds)
            if place.mode == "before_bind":
                connection.start_tls(read_server_info=False)
        except _NONSENSE:
            connection.strategy.close()
            raise
        return connection

    @contextmanager
    def _operation(self, what: str) -> Iterator[None]:
        left = self._deadline.left()
        try:
            self._connection.socket.settimeout(left)
            yield
        except _NONSENSE as error:
            self._place.rest(self._address)
            self._deadline.left()
            raise DirectoryFailed(f"{what}: {type(error).__name__}: {str(error)[:200]}") from None

    def _code(self) -> int:
        result = self._connection.result
        if not isinstance(result, dict):
            raise DirectoryFailed("it gave no result")
        if result["result"] == RESULT_REFERRAL:
            REFERRALS.inc()
        return int(result["result"])


def _entry(answer: dict[str, Any]) -> Entry:
    raw = answer["raw_attributes"]
    # With its options: a value of `uid;lang-de` is none of `uid`.
    return Entry(str(answer["dn"]), {name.lower(): tuple(values) for name, values in raw.items()})
