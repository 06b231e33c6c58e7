"""Login provider for LDAP and Active Directory."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import Gauge

from aizen_hub.hub.login.ldap.config import build_server_pool, read_ldap_config, read_lookup_password
from aizen_hub.hub.login.ldap.connection import DirectoryError, LdapConnection, LoginDeadline
from aizen_hub.hub.login.ldap.entry import (
    STATE_ATTRIBUTES,
    SUBJECT_ATTRIBUTES,
    DirectoryEntry,
    EntryError,
    subject_filter,
)
from aizen_hub.hub.login.ldap.groups import GroupReader
from aizen_hub.hub.login.provider import (
    MAX_NAME,
    MAX_PASSWORD,
    WRONG_CREDENTIALS,
    AccessDeniedError,
    AuthenticatedIdentity,
    ProviderUnreachableError,
    WrongCredentialsError,
    printable,
)
from aizen_hub.settings import ProviderSettings
from aizen_hub.validation.distinguished_name import Dn, DnError, escape_filter, escape_value
from aizen_hub.validation.email_address import short_name

log = logging.getLogger("aizen_hub.login")

INSECURE_TLS = Gauge(
    "aizen_insecure_tls", "Connections whose TLS is not verified, by `insecure_tls` in aizen.yaml", ["link"]
)
BUSY_MESSAGE = "too many users are signing in at the moment; try again in a few seconds"
T = TypeVar("T")
Identity = TypeVar("Identity", AuthenticatedIdentity, AuthenticatedIdentity | None)


class LdapProvider:
    """One directory.

    The password is checked by a bind with the DN that a search by the lookup account returned (or with a configured
    template); then the authorization identity is read, which must be the entry that was found. All of it runs in a
    small thread pool of its own under one deadline, so a hung directory delays its own logins only.

    Raises
    ------
    ConfigurationError
        See `read_ldap_config`.
    """

    def __init__(self, settings: ProviderSettings, base_dir: Path = Path()) -> None:
        self.name = settings.name
        self.label = settings.label or settings.name
        self._traits = read_ldap_config(settings, base_dir)
        self._servers = build_server_pool(self._traits)
        self._seconds = settings.deadline_seconds
        self._groups = GroupReader(self._traits)
        self._pool = ThreadPoolExecutor(settings.pool_size, thread_name_prefix=f"ldap-{settings.name}")
        # Counts queued and running operations; released when the thread is done, not when its caller gives up.
        self._capacity = threading.BoundedSemaphore(settings.pool_size + settings.queue_size)
        INSECURE_TLS.labels(f"ldap:{self.name}").set(int(settings.insecure_tls))
        if settings.insecure_tls:
            log.warning(
                "provider `%s`: TLS is not verified (`insecure_tls`); passwords can be read on the network", self.name
            )

    async def authenticate(
        self, name: str, password: str, *, totp: str | None, source: str | None
    ) -> AuthenticatedIdentity:
        """Check a password; see `PasswordProvider.authenticate`."""
        # Before any network call: a bind with an empty password is anonymous, and servers accept it (R9, R10).
        if not _is_usable_password(password) or not self._is_possible_name(name):
            raise WrongCredentialsError(WRONG_CREDENTIALS)
        return await self._run(lambda deadline: _measure(lambda: self._authenticate(name, password, deadline)))

    async def refresh(
        self, subject: str, name: str, provider_state: Mapping[str, Any] | None = None
    ) -> AuthenticatedIdentity | None:
        """Read an identity again by its subject; see `Provider.refresh`."""
        if not self._traits.lookup_dn:
            # A template needs the user's own password, so the groups cannot be read now.
            return AuthenticatedIdentity(self.name, subject, name)
        return await self._run(lambda deadline: _measure(lambda: self._refresh(subject, name, deadline)))

    async def find_group_fault(self) -> str | None:
        """Return why no group of a mapping rule can be found in this directory, or None, also where that is unknown.

        Raises
        ------
        ProviderUnreachableError
        """
        if self._traits.group_search_base or not self._traits.lookup_dn:
            return None
        return await self._run(self._find_group_fault)

    async def report_group_fault(self) -> None:
        """Log what `find_group_fault` returns, for the start of the hub, which must not wait for a directory."""
        try:
            fault = await self.find_group_fault()
        except ProviderUnreachableError:
            return  # already logged, and `aizen-hub doctor` repeats the check
        if fault:
            log.warning("provider `%s`: %s", self.name, fault)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, operation: Callable[[LoginDeadline], T]) -> T:
        if not self._capacity.acquire(blocking=False):
            raise ProviderUnreachableError(BUSY_MESSAGE)
        deadline = LoginDeadline(self._seconds)
        try:
            future = self._pool.submit(operation, deadline)
        except RuntimeError:
            self._capacity.release()
            raise ProviderUnreachableError("the hub is shutting down") from None
        future.add_done_callback(lambda _: self._capacity.release())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds + 0.2)
        except TimeoutError:
            log.warning("provider `%s`: no response within %g seconds", self.name, self._seconds)
        except DirectoryError as error:
            log.warning("provider `%s`: %s", self.name, error)
        finally:
            deadline.cancel()
        raise ProviderUnreachableError(
            f"the directory `{self.label}` cannot be reached at the moment; your password was not checked"
        )

    def _authenticate(self, name: str, password: str, deadline: LoginDeadline) -> AuthenticatedIdentity:
        traits = self._traits
        with LdapConnection(self._servers, deadline) as connection:
            if traits.lookup_dn:
                entry = self._find_entry(connection, self._name_filter(name))
                # Unknown names cause a bind too, so that they take about as long as wrong passwords.
                dn = entry.dn if entry else f"cn=unknown-{secrets.token_hex(8)},{traits.user_search_base}"
                if not connection.bind(dn, password) or entry is None:
                    raise WrongCredentialsError(WRONG_CREDENTIALS)
                entry = self._read_back(connection, entry)
                self._bind_lookup_account(connection)
            else:
                entry = self._bind_by_template(connection, name, password)
            return self._to_identity(connection, entry, name)

    def _refresh(self, subject: str, name: str, deadline: LoginDeadline) -> AuthenticatedIdentity | None:
        with LdapConnection(self._servers, deadline) as connection:
            attributes = (self._traits.subject_attribute,) if self._traits.subject_attribute else SUBJECT_ATTRIBUTES
            entry = None
            for attribute in attributes:
                try:
                    condition = subject_filter(attribute, subject)
                except ValueError:
                    continue
                entry = self._find_entry(connection, condition)
                if entry is not None:
                    break
            try:
                if entry is None or entry.subject(self._traits.subject_attribute) != subject:
                    return None
                return self._to_identity(connection, entry, name)
            except (AccessDeniedError, EntryError):
                return None

    def _find_group_fault(self, deadline: LoginDeadline) -> str | None:
        base = self._traits.user_search_base
        with LdapConnection(self._servers, deadline) as connection:
            self._bind_lookup_account(connection)
            if connection.search(base, "(memberOf=*)", ["1.1"], limit=1):
                return None
        return (
            f"mapping rules and groups of it cannot work: no entry under `{base}` has the attribute `memberOf` (or the "
            f"lookup account may not read it): set `config.group_search_base` to where its groups are"
        )

    def _bind_lookup_account(self, connection: LdapConnection) -> None:
        user = self._traits.lookup_dn_search_user
        if not user:
            connection.bind_anonymously()
            return
        try:
            password = read_lookup_password(self._traits)
        except OSError as error:
            raise DirectoryError(f"`lookup_dn_search_password_file` cannot be read: {error.strerror}") from None
        if not connection.bind(user, password):
            raise DirectoryError("it rejects the lookup account (`lookup_dn_search_user` and its password)")

    def _find_entry(self, connection: LdapConnection, condition: str) -> DirectoryEntry | None:
        self._bind_lookup_account(connection)
        entries = connection.search(self._traits.user_search_base, condition, self._attributes(), limit=1)
        if len(entries) > 1:
            log.warning("provider `%s`: a lookup returned more than one entry, so the login is denied", self.name)
        return entries[0] if len(entries) == 1 else None

    def _bind_by_template(self, connection: LdapConnection, name: str, password: str) -> DirectoryEntry:
        for template in self._traits.bind_dn_template:
            dn = template.replace("{username}", escape_value(name))
            if connection.bind(dn, password):
                return self._read_back(connection, DirectoryEntry(dn, {}))
        raise WrongCredentialsError(WRONG_CREDENTIALS)

    def _read_back(self, connection: LdapConnection, entry: DirectoryEntry) -> DirectoryEntry:
        """Read the authorization identity and its entry, which must be the one that was looked up (R11, R15)."""
        authorized_as = connection.whoami()
        if authorized_as == "":
            raise DirectoryError("it accepted a password and then reports an anonymous connection")
        if (
            authorized_as is not None
            and authorized_as[:3].lower() == "dn:"
            and not _same_dn(authorized_as[3:], entry.dn)
        ):
            raise DirectoryError("it reports another identity than the one that was looked up")
        current = connection.read(entry.dn, self._attributes())
        if current is None:
            if authorized_as is None or authorized_as[:3].lower() != "dn:" or not entry.raw:
                raise DirectoryError("a user cannot read their own entry")
            current = entry
        attribute = self._traits.subject_attribute
        try:
            same = not entry.raw or current.subject(attribute) == entry.subject(attribute)
        except EntryError as error:
            raise DirectoryError(f"the entry `{printable(entry.dn, 200)}` cannot be used: {error}") from None
        if not same:
            raise DirectoryError("the entry changed between lookup and login")
        return current

    def _to_identity(
        self, connection: LdapConnection, entry: DirectoryEntry, entered_name: str
    ) -> AuthenticatedIdentity:
        traits = self._traits
        reason = entry.disabled_reason(datetime.now(UTC))
        if reason:
            raise AccessDeniedError(f"your account in `{self.label}` is {reason}")
        if traits.search_filter:
            condition = traits.search_filter.replace("{userattr}", traits.user_attribute or "").replace(
                "{username}", escape_filter(self._resolved_name(entry, entered_name))
            )
            entries = connection.search(traits.user_search_base, condition, ["1.1"], limit=1)
            if len(entries) != 1 or not _same_dn(entries[0].dn, entry.dn):
                raise AccessDeniedError(f"your account in `{self.label}` is not permitted to use this hub")
        try:
            uid, subject = self._uid(entry, entered_name), entry.subject(traits.subject_attribute)
            name = entry.single_value(traits.lookup_dn_user_dn_attribute) if traits.use_lookup_dn_username else uid
        except EntryError as error:
            log.warning("provider `%s`: `%s`: %s", self.name, printable(entry.dn, 200), error)
            raise AccessDeniedError(f"your entry in `{self.label}` cannot be used: {error}") from None
        short = short_name(name)
        if (traits.allowed_users and short not in traits.allowed_users) or short in traits.blocked_users:
            raise AccessDeniedError(f"your account in `{self.label}` is not permitted to use this hub")
        groups = self._groups.read(connection, entry, self._resolved_name(entry, entered_name))
        if traits.allowed_groups is not None and not groups.allowed:
            raise AccessDeniedError("your account is not in a group that may use this hub")
        return AuthenticatedIdentity(
            self.name,
            subject,
            name,
            display_name=entry.first_value(traits.display_name_attribute) or entry.first_value("cn"),
            email=entry.first_value(traits.mail_attribute),
            groups=groups.names,
            auth_state=self._auth_state(entry),
        )

    def _resolved_name(self, entry: DirectoryEntry, entered_name: str) -> str:
        """Return what ldapauthenticator puts into ``{username}`` and ``{uid}`` of its filters."""
        attribute = self._traits.lookup_dn_user_dn_attribute if self._traits.lookup_dn else None
        if not attribute:
            return self._uid(entry, entered_name)
        try:
            return entry.single_value(attribute)
        except EntryError as error:
            log.warning("provider `%s`: `%s`: %s", self.name, printable(entry.dn, 200), error)
            raise AccessDeniedError(f"your entry in `{self.label}` cannot be used: {error}") from None

    def _auth_state(self, entry: DirectoryEntry) -> dict[str, Any]:
        names = self._traits.auth_state_attributes
        # As ldapauthenticator stores them, for hooks of the operator; an attribute without a value is an empty list.
        return {"user_attributes": {name: [*entry.text_values(name)] for name in names}} if names else {}

    def _uid(self, entry: DirectoryEntry, entered_name: str) -> str:
        attribute = self._traits.user_attribute
        if not attribute or (not self._traits.lookup_dn and attribute.lower() not in entry.raw):
            return entered_name
        return entry.single_value(attribute, prefer=entered_name)

    def _name_filter(self, name: str) -> str:
        traits = self._traits
        # Plain replacement: `format` would interpret braces in the name as fields.
        return traits.lookup_dn_search_filter.replace("{login_attr}", traits.user_attribute).replace(
            "{login}", escape_filter(name)
        )

    def _attributes(self) -> tuple[str, ...]:
        traits = self._traits
        attributes = {
            *SUBJECT_ATTRIBUTES,
            *STATE_ATTRIBUTES,
            "memberOf",
            "cn",
            traits.subject_attribute,
            traits.user_attribute,
            traits.lookup_dn_user_dn_attribute,
            traits.display_name_attribute,
            traits.mail_attribute,
            *traits.auth_state_attributes,
        }
        return tuple(sorted(attribute for attribute in attributes if attribute))

    def _is_possible_name(self, name: str) -> bool:
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            return False
        if "valid_username_regex" in self._traits.config.LdapConfig:
            return re.fullmatch(self._traits.valid_username_regex.removesuffix("$"), name) is not None
        return True


def _is_usable_password(password: str) -> bool:
    """Return whether a password may be sent to a directory: not empty or blank, no NUL, not too long."""
    return (
        0 < len(password) <= MAX_PASSWORD
        and "\0" not in password
        and any(char.isprintable() and not char.isspace() for char in password)
    )


def _same_dn(left: str, right: str) -> bool:
    try:
        return Dn.parse(left) == Dn.parse(right)
    except DnError:
        return False


def _measure(read: Callable[[], Identity]) -> Identity:
    """Return what was read with how long that took, without the time in the queue."""
    started = time.monotonic()
    identity = read()
    # One that is gone, or may not sign in, is not reported with a time.
    return identity if identity is None else replace(identity, answered_in=time.monotonic() - started)
