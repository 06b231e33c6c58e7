"""LDAP connection with verified TLS, one deadline for all operations, and no referrals."""

from __future__ import annotations

import logging
import math
import re
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

from aizen_hub.hub.login.ldap.entry import DirectoryEntry
from aizen_hub.hub.login.ldap.server_pool import ServerPool

log = logging.getLogger("aizen_hub.login")

REFERRALS = Counter("aizen_login_referrals", "Referrals returned by a directory, which are never followed")

# Result codes for a wrong name or password: inappropriateAuthentication, invalidCredentials, noSuchObject,
# invalidDNSyntax, constraintViolation (too many failures), unwillingToPerform (account policies).
_INVALID_CREDENTIALS = frozenset({48, 49, RESULT_NO_SUCH_OBJECT, 34, 19, 53})
# Of one connection: hundreds of times what a login needs, which reads a few entries and the names of groups.
MAX_RECEIVED_BYTES = 16 << 20
# ldap3 raises any of these while it parses malformed responses; they count as a failed connection.
_CONNECTION_ERRORS = (LDAPException, OSError, PyAsn1Error, ValueError, TypeError, LookupError, AttributeError)


_UNTRUSTED_AUTHORITY = re.compile(
    r"self[- ]signed certificate|unable to get (?:local )?issuer certificate|unknown ca", re.I
)
_WRONG_NAME = re.compile(r"hostname mismatch|IP address mismatch|doesn't match any name", re.I)


class DirectoryError(Exception):
    """No valid response of the directory in time over a secure connection; the message is for the log."""


class LoginDeadline:
    """The remaining time of one login; another thread can cancel its connections.

    Parameters
    ----------
    seconds : float
        For everything: connecting, TLS, binds and searches.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._cancelled = False

    @property
    def is_over(self) -> bool:
        return self._cancelled or time.monotonic() >= self._end

    def remaining(self) -> float:
        """Return the seconds left; raise DirectoryError if there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0 or self._cancelled:
            raise DirectoryError("no response within the deadline")
        return seconds

    def register(self, sock: socket.socket) -> None:
        # A duplicate: TLS takes over the descriptor, and a shutdown of either one ends the connection.
        with self._lock:
            self._sockets.append(sock.dup())
        if self._cancelled:
            self.cancel()

    def cancel(self) -> None:
        """Shut down every connection: a server that sends one byte a second never causes a receive timeout."""
        with self._lock:
            self._cancelled = True
            while self._sockets:
                with self._sockets.pop() as sock, suppress(OSError):  # already closed by the server
                    sock.shutdown(socket.SHUT_RDWR)


class _BoundedSocket:
    """Raises an error at the deadline, and after `MAX_RECEIVED_BYTES`.

    ldap3 decodes responses only when no more data is waiting. From a directory that never stops sending it would
    collect everything until the deadline, and then decode all of it, while the thread is lost to other logins.
    """

    def __init__(self, sock: socket.socket, deadline: LoginDeadline) -> None:
        self._socket = sock
        self._deadline = deadline
        self._received = 0

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self._received += len(data)
        if self._received > MAX_RECEIVED_BYTES:
            raise OSError(f"more than {MAX_RECEIVED_BYTES} bytes received")
        if self._deadline.is_over:
            raise TimeoutError
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _DeadlineTls(ldap3.Tls):
    """Registers the socket with the deadline before the handshake, for which ldap3 has no total timeout."""

    def __init__(self, deadline: LoginDeadline, seconds: float, **options: object) -> None:
        super().__init__(**options)
        self._deadline = deadline
        self._seconds = seconds

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        self._deadline.register(connection.socket)
        connection.socket.settimeout(self._seconds)
        super().wrap_socket(connection, do_handshake)


class LdapConnection:
    """One connection to a directory; use as a context manager so that it is always closed."""

    def __init__(self, servers: ServerPool, deadline: LoginDeadline) -> None:
        self._deadline = deadline
        self._servers = servers
        self._address = ""
        self._connection = self._open(servers)

    def __enter__(self) -> LdapConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.strategy.close()

    def bind(self, dn: str, password: str) -> bool:
        """Authenticate ``dn`` by its password; False if the directory rejects it.

        Raises
        ------
        DirectoryError
            No response, or one that does not concern the password (busy, referral, stronger authentication needed).
        """
        if not dn or not password:
            # Either would be an unauthenticated bind, which servers accept with success (RFC 4513, 5.1.2).
            return False
        connection = self._connection
        with self._operation("bind"):
            connection.authentication = ldap3.SIMPLE
            connection.user = dn
            # Bytes are sent unchanged; ldap3 would normalize text, which could yield another password, or an empty one.
            connection.password = password.encode("utf-8")
            try:
                if connection.bind(read_server_info=False):
                    return True
            finally:
                connection.password = None
        code = self._result_code()
        if code in _INVALID_CREDENTIALS:
            return False
        raise DirectoryError(f"it did not check the password (result {code})")

    def bind_anonymously(self) -> None:
        """Bind anonymously, for lookups in a directory that permits them."""
        connection = self._connection
        with self._operation("anonymous bind"):
            connection.authentication, connection.user, connection.password = ldap3.ANONYMOUS, None, None
            bound = connection.bind(read_server_info=False)
        if not bound:
            raise DirectoryError(f"it denies lookups without an account (result {self._result_code()})")

    def whoami(self) -> str | None:
        """Return the authorization identity of this connection (RFC 4532); None if the server does not support it."""
        with self._operation("whoami"):
            identity = self._connection.extend.standard.who_am_i()
        if self._result_code() == RESULT_SUCCESS:
            return identity or ""
        if self._result_code() in (RESULT_PROTOCOL_ERROR, 12, 53):
            return None
        raise DirectoryError(f"it does not return the authorization identity (result {self._result_code()})")

    def read(self, dn: str, attributes: Sequence[str], condition: str = "(objectClass=*)") -> DirectoryEntry | None:
        """Read one entry by its DN; None if it does not exist, is not visible, or does not match ``condition``."""
        entries = self.search(dn, condition, attributes, limit=1, scope=ldap3.BASE)
        return entries[0] if entries else None

    def search(
        self, base: str, condition: str, attributes: Sequence[str], *, limit: int, scope: str = ldap3.SUBTREE
    ) -> tuple[DirectoryEntry, ...]:
        """Return at most ``limit`` + 1 entries, so that the caller can detect an excess.

        Raises
        ------
        DirectoryError
            No response, a referral, or an error.
        """
        entries: list[DirectoryEntry] = []
        cookie = None
        paged = scope != ldap3.BASE and limit >= self._servers.page_size
        while True:
            messages = self._search(
                base, condition, attributes, limit, scope, self._servers.page_size if paged else 0, cookie
            )
            code = self._result_code()
            REFERRALS.inc(sum(message.get("type") == "searchResRef" for message in messages))
            if code == RESULT_NO_SUCH_OBJECT:
                return ()
            if code not in (RESULT_SUCCESS, RESULT_SIZE_LIMIT_EXCEEDED):
                raise DirectoryError(f"a search failed with result {code}")
            entries += [_to_entry(message) for message in messages if message.get("type") == "searchResEntry"]
            if code == RESULT_SIZE_LIMIT_EXCEEDED and len(entries) <= limit and scope != ldap3.BASE:
                raise DirectoryError("its size limit truncated a search")
            cookie = self._next_page_cookie() if paged else None
            if not cookie or len(entries) > limit or not messages:
                return tuple(entries[: limit + 1])

    def _search(
        self, base: str, condition: str, attributes: Sequence[str], limit: int, scope: str, page_size: int, cookie: Any
    ) -> list[dict[str, Any]]:
        remaining = self._deadline.remaining()
        with self._operation("search"):
            self._connection.search(
                base,
                condition,
                search_scope=scope,
                # An alias inside the directory could point to another entry.
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                # A server applies the limit to all pages together, so with pages it is enforced by the caller.
                size_limit=0 if page_size else limit + 1 if scope != ldap3.BASE else 1,
                time_limit=max(1, math.ceil(remaining)),
                paged_size=page_size or None,
                paged_cookie=cookie,
            )
            return list(self._connection.response or ())

    def _next_page_cookie(self) -> bytes | None:
        """Return the cookie of the next page; None after the last one, or from a server without paging."""
        try:
            value = self._connection.result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]
        except (KeyError, TypeError):
            return None
        return value if isinstance(value, bytes) else None

    def _open(self, servers: ServerPool) -> ldap3.Connection:
        failures = []
        addresses = servers.ordered_addresses()
        for index, address in enumerate(addresses):
            # A server that does not respond uses up its share of the time only.
            share = self._deadline.remaining() / (len(addresses) - index)
            try:
                self._address = address
                return self._connect(servers, address, share)
            except _CONNECTION_ERRORS as error:
                servers.mark_down(address)
                # The messages of ldap3 contain addresses and certificates, no secrets.
                failures.append(f"{address}:{servers.port}: {_describe(error)}")
                self._deadline.remaining()
        raise DirectoryError("; ".join(failures))

    def _connect(self, servers: ServerPool, address: str, seconds: float) -> ldap3.Connection:
        server = ldap3.Server(
            address,
            port=servers.port,
            use_ssl=servers.tls_mode == "on_connect",
            tls=_DeadlineTls(self._deadline, seconds, **{"sni": address, **servers.tls_options}),
            # Schema and server information would be fetched at every connection and are not needed.
            get_info=ldap3.NONE,
            allowed_referral_hosts=[],
            connect_timeout=min(servers.connect_seconds, seconds),
        )
        connection = ldap3.Connection(
            server,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            raise_exceptions=False,
            check_names=False,
            return_empty_attributes=False,
            receive_timeout=max(1, math.ceil(self._deadline.remaining())),
        )
        try:
            connection.open(read_server_info=False)
            if servers.tls_mode != "on_connect":
                # With LDAPS it is registered before the handshake.
                self._deadline.register(connection.socket)
            connection.socket.settimeout(seconds)
            if servers.tls_mode == "before_bind":
                connection.start_tls(read_server_info=False)
            # Last, since TLS needs the socket itself.
            connection.socket = _BoundedSocket(connection.socket, self._deadline)
        except _CONNECTION_ERRORS:
            connection.strategy.close()
            raise
        return connection

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        remaining = self._deadline.remaining()
        try:
            self._connection.socket.settimeout(remaining)
            yield
        except _CONNECTION_ERRORS as error:
            self._servers.mark_down(self._address)
            self._deadline.remaining()
            raise DirectoryError(f"{name}: {type(error).__name__}: {str(error)[:200]}") from None

    def _result_code(self) -> int:
        result = self._connection.result
        if not isinstance(result, dict):
            raise DirectoryError("it returned no result")
        if result["result"] == RESULT_REFERRAL:
            REFERRALS.inc()
        return int(result["result"])


def _describe(error: BaseException) -> str:
    """Return the text of a failed connection, with the key that corrects it where the certificate is not trusted."""
    text = str(error)[:300] or type(error).__name__
    if _UNTRUSTED_AUTHORITY.search(text):
        return (
            f"{text}: its certificate is signed by an authority that this machine does not know; set "
            "`config.tls_kwargs.ca_certs_file` of this provider to the file with the certificate of that authority"
        )
    if _WRONG_NAME.search(text):
        return (
            f"{text}: its certificate names another host; write that name as `config.server_address`, or list it in "
            "`config.tls_kwargs.valid_names`"
        )
    return text


def _to_entry(message: dict[str, Any]) -> DirectoryEntry:
    raw = message["raw_attributes"]
    # Options stay part of the name: a value of `uid;lang-de` is not one of `uid`.
    return DirectoryEntry(str(message["dn"]), {name.lower(): tuple(values) for name, values in raw.items()})
