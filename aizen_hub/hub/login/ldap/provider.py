"""Sign-in by a directory, LDAP or Active Directory: what the stock authenticator leaves open is closed here."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import Gauge

from aizen_hub.hub.login.ldap.config import lookup_password, place_of, read_ldap_config
from aizen_hub.hub.login.ldap.connection import Deadline, Directory, DirectoryFailed
from aizen_hub.hub.login.ldap.entry import STATE, SUBJECTS, Entry, EntryRefused, subject_filter
from aizen_hub.hub.login.ldap.groups import GroupReader
from aizen_hub.hub.login.provider import (
    MAX_NAME,
    MAX_PASSWORD,
    WRONG,
    NotLetIn,
    Proof,
    ProviderUnreachable,
    WrongCredentials,
    short_name,
    show,
)
from aizen_hub.settings import ProviderSettings
from aizen_hub.validation.distinguished_name import Dn, DnError, escape_filter, escape_value

log = logging.getLogger("aizen_hub.login")

INSECURE = Gauge("aizen_insecure_tls", "Links whose TLS is not verified, by their flag in aizen.yaml", ["link"])
BUSY = "too many people are signing in at this moment; try again in a few seconds"
T = TypeVar("T")


class LdapProvider:
    """One directory.

    The password is proven by a bind with the name that a search by the lookup account returned (or by a configured
    template); then the directory is asked who that is, and the answer must be the entry that was looked up. All of it
    runs in a few threads of its own under one deadline: a hung directory costs its own sign-ins and nothing else.

    Raises
    ------
    ConfigurationError
        See `read_ldap_config`.
    """

    def __init__(self, settings: ProviderSettings, folder: Path = Path()) -> None:
        self.name = settings.name
        self.label = settings.label or settings.name
        self._traits = read_ldap_config(settings, folder)
        self._place = place_of(self._traits)
        self._seconds = settings.deadline_seconds
        self._groups = GroupReader(self._traits)
        self._pool = ThreadPoolExecutor(settings.pool_size, thread_name_prefix=f"ldap-{settings.name}")
        # Counts what waits and what runs; taken back when the thread is done, not when its caller gave up.
        self._room = threading.BoundedSemaphore(settings.pool_size + settings.queue_size)
        INSECURE.labels(f"ldap:{self.name}").set(int(settings.insecure_tls))
        if settings.insecure_tls:
            log.warning("provider `%s`: TLS is not verified (`insecure_tls`); passwords can be read", self.name)

    async def prove(self, name: str, password: str, *, totp: str | None, source: str | None) -> Proof:
        """Check a password; see `Provider.prove`."""
        # Before any network call: an empty password binds as nobody, which a server answers with success (R9, R10).
        if not _usable(password) or not self._possible(name):
            raise WrongCredentials(WRONG)
        return await self._run(lambda deadline: self._prove(name, password, deadline))

    async def look_up(self, subject: str, name: str, keep: Mapping[str, Any] | None = None) -> Proof | None:
        """Read an identity again by its subject; see `Provider.look_up`."""
        if not self._traits.lookup_dn:
            # A template needs the person's own password; what their groups are is not known now.
            return Proof(self.name, subject, name)
        return await self._run(lambda deadline: self._look_up(subject, name, deadline))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[Deadline], T]) -> T:
        if not self._room.acquire(blocking=False):
            raise ProviderUnreachable(BUSY)
        deadline = Deadline(self._seconds)
        try:
            future = self._pool.submit(work, deadline)
        except RuntimeError:
            self._room.release()
            raise ProviderUnreachable("the hub is shutting down") from None
        future.add_done_callback(lambda _: self._room.release())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds + 0.2)
        except TimeoutError:
            log.warning("provider `%s`: no answer within %g seconds", self.name, self._seconds)
        except DirectoryFailed as error:
            log.warning("provider `%s`: %s", self.name, error)
        finally:
            deadline.cut()
        raise ProviderUnreachable(
            f"the directory `{self.label}` cannot be reached at the moment; this says nothing about your password"
        )

    def _prove(self, name: str, password: str, deadline: Deadline) -> Proof:
        traits = self._traits
        with Directory(self._place, deadline) as directory:
            if traits.lookup_dn:
                entry = self._find(directory, self._name_filter(name))
                # A bind happens for unknown names too, so that they take about as long as wrong passwords.
                dn = entry.dn if entry else f"cn=nobody-{secrets.token_hex(8)},{traits.user_search_base}"
                if not directory.bind(dn, password) or entry is None:
                    raise WrongCredentials(WRONG)
                entry = self._read_back(directory, entry)
                self._become_reader(directory)
            else:
                entry = self._bind_by_template(directory, name, password)
            return self._judge(directory, entry, name)

    def _look_up(self, subject: str, name: str, deadline: Deadline) -> Proof | None:
        with Directory(self._place, deadline) as directory:
            attributes = (self._traits.subject_attribute,) if self._traits.subject_attribute else SUBJECTS
            entry = None
            for attribute in attributes:
                try:
                    condition = subject_filter(attribute, subject)
                except ValueError:
                    continue
                entry = self._find(directory, condition)
                if entry is not None:
                    break
            try:
                if entry is None or entry.subject(self._traits.subject_attribute) != subject:
                    return None
                return self._judge(directory, entry, name)
            except (NotLetIn, EntryRefused):
                return None

    def _become_reader(self, directory: Directory) -> None:
        user = self._traits.lookup_dn_search_user
        if not user:
            directory.bind_anonymously()
            return
        try:
            password = lookup_password(self._traits)
        except OSError as error:
            raise DirectoryFailed(f"`lookup_dn_search_password_file` cannot be read: {error.strerror}") from None
        if not directory.bind(user, password):
            raise DirectoryFailed("it does not accept the lookup account (`lookup_dn_search_user` and its password)")

    def _find(self, directory: Directory, condition: str) -> Entry | None:
        self._become_reader(directory)
        found = directory.search(self._traits.user_search_base, condition, self._attributes(), limit=1)
        if len(found) > 1:
            log.warning("provider `%s`: a lookup found more than one entry, nobody is let in by it", self.name)
        return found[0] if len(found) == 1 else None

    def _bind_by_template(self, directory: Directory, name: str, password: str) -> Entry:
        for template in self._traits.bind_dn_template:
            dn = template.replace("{username}", escape_value(name))
            if directory.bind(dn, password):
                return self._read_back(directory, Entry(dn, {}))
        raise WrongCredentials(WRONG)

    def _read_back(self, directory: Directory, entry: Entry) -> Entry:
        """Ask who is signed in now, and read that entry: it must be the one that was looked up (R11, R15)."""
        who = directory.whoami()
        if who == "":
            raise DirectoryFailed("it accepted a password and then says that nobody is signed in")
        if who is not None and who[:3].lower() == "dn:" and not _same(who[3:], entry.dn):
            raise DirectoryFailed("it says that somebody else is signed in than was looked up")
        again = directory.read(entry.dn, self._attributes())
        if again is None:
            if who is None or who[:3].lower() != "dn:" or not entry.raw:
                raise DirectoryFailed("the entry of the person cannot be read by the person")
            again = entry
        attribute = self._traits.subject_attribute
        try:
            same = not entry.raw or again.subject(attribute) == entry.subject(attribute)
        except EntryRefused as error:
            raise DirectoryFailed(f"the entry `{show(entry.dn, 200)}` cannot be used: {error}") from None
        if not same:
            raise DirectoryFailed("the entry changed between looking it up and signing in")
        return again

    def _judge(self, directory: Directory, entry: Entry, typed: str) -> Proof:
        traits = self._traits
        reason = entry.shut(datetime.now(UTC))
        if reason:
            raise NotLetIn(f"your account in `{self.label}` is {reason}")
        if traits.search_filter:
            condition = traits.search_filter.replace("{userattr}", traits.user_attribute or "").replace(
                "{username}", escape_filter(self._uid(entry, typed))
            )
            found = directory.search(traits.user_search_base, condition, ["1.1"], limit=1)
            if len(found) != 1 or not _same(found[0].dn, entry.dn):
                raise NotLetIn(f"your account in `{self.label}` is not among those that may use this hub")
        try:
            uid, subject = self._uid(entry, typed), entry.subject(traits.subject_attribute)
            name = entry.one(traits.lookup_dn_user_dn_attribute) if traits.use_lookup_dn_username else uid
        except EntryRefused as error:
            log.warning("provider `%s`: `%s`: %s", self.name, show(entry.dn, 200), error)
            raise NotLetIn(f"your entry in `{self.label}` cannot be used: {error}") from None
        short = short_name(name)
        if (traits.allowed_users and short not in traits.allowed_users) or short in traits.blocked_users:
            raise NotLetIn(f"your account in `{self.label}` is not among those that may use this hub")
        groups = self._groups.read(directory, entry, uid)
        if traits.allowed_groups is not None and not groups.allowed:
            raise NotLetIn(f"your account in `{self.label}` is in none of the groups that may use this hub")
        return Proof(
            self.name,
            subject,
            name,
            display_name=entry.first(traits.display_name_attribute) or entry.first("cn"),
            email=entry.first(traits.mail_attribute),
            groups=groups.names,
        )

    def _uid(self, entry: Entry, typed: str) -> str:
        attribute = self._traits.user_attribute
        if not attribute or (not self._traits.lookup_dn and attribute.lower() not in entry.raw):
            return typed
        return entry.one(attribute, prefer=typed)

    def _name_filter(self, name: str) -> str:
        traits = self._traits
        # Plain replacement: `format` would read braces inside the name as fields of its own.
        return traits.lookup_dn_search_filter.replace("{login_attr}", traits.user_attribute).replace(
            "{login}", escape_filter(name)
        )

    def _attributes(self) -> tuple[str, ...]:
        traits = self._traits
        wanted = {
            *SUBJECTS,
            *STATE,
            "memberOf",
            "cn",
            traits.subject_attribute,
            traits.user_attribute,
            traits.lookup_dn_user_dn_attribute,
            traits.display_name_attribute,
            traits.mail_attribute,
        }
        return tuple(sorted(one for one in wanted if one))

    def _possible(self, name: str) -> bool:
        if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
            return False
        if "valid_username_regex" in self._traits.config.LdapConfig:
            return re.fullmatch(self._traits.valid_username_regex.removesuffix("$"), name) is not None
        return True


def _usable(password: str) -> bool:
    """Whether a password may go to a directory: not empty, not blank in any script, no NUL, not over-long."""
    return (
        0 < len(password) <= MAX_PASSWORD
        and "\0" not in password
        and any(char.isprintable() and not char.isspace() for char in password)
    )


def _same(left: str, right: str) -> bool:
    try:
        return Dn.parse(left) == Dn.parse(right)
    except DnError:
        return False
