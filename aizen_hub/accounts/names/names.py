"""Names: one canonical form, unique, without look-alikes, and never inherited (R27-R32, T-15, T-47, T-53)."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from confusable_homoglyphs import categories
from confusable_homoglyphs.confusables import confusables_data
from precis_i18n import get_profile
from sqlalchemy import delete, insert, select, update

from aizen_hub.problems import BadInput, Conflict
from aizen_hub.store import tables
from aizen_hub.store.audit_log import change_records as recorded
from aizen_hub.validation.distinguished_name import Dn, DnError
from aizen_hub.validation.printable import show

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Read, Write


class NameKind(StrEnum):
    """The name spaces; they are separate, so a group `alice` is not the user `alice` (R30)."""

    USER = "user"
    GROUP = "group"
    SERVICE_ACCOUNT = "service-account"
    PROJECT = "project"
    ROLE = "role"


MAX_CHARACTERS = 64
MAX_BYTES = 128
"""Also as a folder name and inside a URL, where a letter may take several bytes."""
MAX_GROUP_CHARACTERS = 200
"""Paths and distinguished names are long; whoever needs more takes the short names."""
_COLUMN = 255

_PROFILE = get_profile("UsernameCaseMapped")
_ROLE = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_])?")
_MARKS = "._-+"
_GROUP_MARKS = "._-+/@&() "
"""Directories call their groups `Domain Users` or `/projects/admin`; the whole path is the name, never its leaf. With
an equals sign it is a distinguished name, which counts whole too."""

_RESERVED: dict[NameKind, frozenset[str]] = {
    # `system` is the scope above all projects; the others are words of commands and addresses.
    NameKind.PROJECT: frozenset({"system", "all", "none", "new"}),
    NameKind.USER: frozenset({"system", "me", "self", "none", "all", "new"}),
    NameKind.GROUP: frozenset({"none", "all", "new"}),
    NameKind.SERVICE_ACCOUNT: frozenset({"system", "hub", "core", "operator", "none", "all", "new"}),
    NameKind.ROLE: frozenset({"system", "none", "all", "new"}),
}

_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "HANGUL"}),
    frozenset({"HAN", "BOPOMOFO"}),
)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def canonical(text: str, kind: NameKind = NameKind.USER) -> str:
    """Return the one spelling of a name.

    Users, groups, service accounts and projects: NFKC, case folding and PRECIS ``UsernameCaseMapped`` (RFC 8265, 3.3).
    Role names are ASCII and keep their case; two that differ in case only are look-alikes. A group's distinguished name
    becomes the one spelling of all equal ones (RFC 4514; R19), its values folded like other names.

    Raises
    ------
    BadInput
        Empty, too long, a control, format, bidi or private-use character, a blank, scripts mixed, or a reserved word.
    """
    shown = show(text)
    most, most_bytes = (MAX_GROUP_CHARACTERS, 4 * _COLUMN) if kind is NameKind.GROUP else (MAX_CHARACTERS, MAX_BYTES)
    if not text:
        raise BadInput(f"the name of a {kind} is empty")
    if len(text) > 4 * most:
        raise BadInput(f"`{shown}` is too long for the name of a {kind}: at most {most} characters")
    inner = text.replace(" ", "") if kind is NameKind.GROUP else text
    if any(unicodedata.category(char) in _UNSEEN for char in inner):
        raise BadInput(f"`{shown}` holds a blank or a character that cannot be seen, so it is no name of a {kind}")
    if kind is NameKind.GROUP and "=" in text:
        name = _distinguished(text, shown)
    else:
        name = text if kind is NameKind.ROLE else _fold(text, kind)
        if not (_ROLE.fullmatch(name) if kind is NameKind.ROLE else _well_formed(name, kind)):
            raise BadInput(
                f"`{shown}` is no name of a {kind}: it begins with a letter or digit and holds letters, digits, "
                "`. _ - +`"
            )
        _one_script(name, shown, kind)
    if len(name) > most or len(name.encode()) > most_bytes:
        raise BadInput(f"`{shown}` is too long for the name of a {kind}: at most {most} characters")
    if name.casefold() in _RESERVED[kind]:
        raise BadInput(f"`{shown}` is a word of the system and cannot be the name of a {kind}")
    return name


def known_as(text: str, kind: NameKind = NameKind.USER) -> str | None:
    """Return the canonical form for a look-up, or None for text that no such thing can be called."""
    try:
        return canonical(text, kind)
    except BadInput:
        return None


def short_name(external: str) -> str:
    """Return the local part of an external id that is a mail address, else the id itself (not yet canonical)."""
    local, at, domain = external.partition("@")
    return local if at and local and domain else external


def mail_domain(external: str) -> str | None:
    """Return the domain of an external id that is a mail address, in the case that domains are compared in."""
    local, at, domain = external.partition("@")
    return domain.lower() if at and local and domain else None


def is_spelt(text: str, name: str) -> bool:
    """Whether text from a provider is a canonical name as it stands, but for capitals.

    What folding alone makes equal, such as full-width letters, can be two people or two groups at the provider.
    """
    return unicodedata.normalize("NFKC", text) == text and text.lower() == name


def skeleton(name: str, kind: NameKind = NameKind.USER) -> str:
    """Return what look-alikes have in common (UTS 39, 4), whatever their case."""
    # Role names are written in capitals, among which `I` looks like `l` and `1`.
    return _skeleton(name).replace("i", "l") if kind is NameKind.ROLE else _skeleton(name)


@lru_cache(maxsize=65_536)
def _skeleton(name: str) -> str:
    text = name.casefold()
    for _ in range(2):  # a prototype may be a capital, which has its own prototype once folded
        text = "".join(_prototype(char) for char in unicodedata.normalize("NFD", text)).casefold()
    text = unicodedata.normalize("NFC", text)
    # Of a long name it can outgrow its column; equal ones stay equal.
    return text if len(text) <= _COLUMN else sha256(text.encode()).hexdigest()


def reserve(tx: Write, name: str, kind: NameKind) -> None:
    """Take a canonical name for good; the problems are those of `check_free`."""
    check_free(tx, name, kind)
    values = {"skeleton": skeleton(name, kind)}
    tx.conn.execute(insert(tables.names).values(kind=kind.value, name=name, **values))
    tx.change("name", recorded.rows(recorded.put(tables.names, (kind.value, name), values)), [])


def check_free(tx: Read, name: str, kind: NameKind) -> None:
    """Refuse a canonical name that cannot be taken.

    Raises
    ------
    Conflict
        The name, or one that looks like it, is in use or was used before (R29, R31).
    """
    names = tables.names
    mine = skeleton(name, kind)
    if kind is NameKind.ROLE and any(skeleton(role, kind) == mine for role in tx.roles):
        raise Conflict(f"`{show(name)}` is, or looks like, the name of an existing role")
    row = tx.conn.execute(
        select(names.c.name, names.c.retired).where(names.c.kind == kind.value, names.c.skeleton == mine)
    ).first()
    if row is None:
        return
    if row.name != name:
        raise Conflict(
            f"`{show(name)}` looks like the name of another {kind}", remedy="choose a clearly different name"
        )
    if row.retired is not None:
        raise Conflict(
            f"`{show(name)}` was the name of a {kind} that has been deleted, and stays reserved",
            remedy="choose another name, or have an administrator release this one",
        )
    raise Conflict(f"there is already a {kind} called `{show(name)}`")


def retire(tx: Write, name: str, kind: NameKind) -> None:
    """Keep the name of something deleted, so that nobody inherits what hangs on it."""
    names, values = tables.names, {"retired": tx.now}
    tx.conn.execute(update(names).where(names.c.kind == kind.value, names.c.name == name).values(**values))
    tx.change("name", recorded.rows(recorded.altered(names, (kind.value, name), values)), [])


def is_retired(tx: Read, name: str, kind: NameKind) -> bool:
    names = tables.names
    found = tx.conn.execute(select(names.c.retired).where(names.c.kind == kind.value, names.c.name == name)).scalar()
    return found is not None


def forget(tx: Write, name: str, kind: NameKind) -> None:
    """Free a retired name; the caller has checked that nothing hangs on it any more."""
    names = tables.names
    tx.conn.execute(delete(names).where(names.c.kind == kind.value, names.c.name == name, names.c.retired.is_not(None)))


def _fold(text: str, kind: NameKind) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = folded.split(" ") if kind is NameKind.GROUP else [folded]
    try:
        return " ".join(str(_PROFILE.enforce(word)) for word in words)
    except UnicodeEncodeError:
        raise BadInput(f"`{show(text)}` holds a character that the name of a {kind} cannot have") from None


def _distinguished(text: str, shown: str) -> str:
    try:
        name = Dn.parse(text)
    except DnError as error:
        raise BadInput(f"`{shown}` is no distinguished name: {error}") from None
    for part in name.parts:
        for _, value in part:
            # What was escaped is plain only now.
            hidden = any(unicodedata.category(char) in _UNSEEN for char in value.replace(" ", ""))
            if not value or hidden or value.startswith("#"):
                raise BadInput(f"`{shown}` has a part that is empty or cannot be seen, so it is no name of a group")
            _one_script(value, shown, NameKind.GROUP)
    # A colon separates the kind from the name wherever identities are written.
    return name.text.replace(":", "\\3a")


def _well_formed(name: str, kind: NameKind) -> bool:
    marks = _GROUP_MARKS if kind is NameKind.GROUP else _MARKS
    first = name[1:2] if kind is NameKind.GROUP and name.startswith("/") else name[:1]
    if unicodedata.category(first or " ")[0] not in "LN" or name.endswith((".", " ")):
        return False
    for before, char in zip(" " + name, name, strict=False):
        category = unicodedata.category(char)
        # A mark that does not compose with a plain Latin letter is all but invisible beside that letter.
        if not (category[0] in "LN" or char in marks or (category[0] == "M" and not before.isascii())):
            return False
    return True


def _one_script(name: str, shown: str, kind: NameKind) -> None:
    if name.isascii():
        return
    scripts = frozenset(categories.unique_aliases(name)) - {"COMMON", "INHERITED"}
    if len(scripts) > 1 and not any(scripts <= group for group in _TOGETHER):
        raise BadInput(f"`{shown}` mixes scripts, so it could be taken for another {kind}")


@lru_cache(maxsize=16_384)
def _prototype(char: str) -> str:
    # The data lists, for a prototype, everything that looks like it, and for all else the prototype alone.
    alike = [entry["c"].strip("\u200e") for entry in confusables_data.get(char, ())]
    if len(alike) != 1 or len(confusables_data.get(alike[0], ())) > 1:
        return alike[0] if len(alike) == 1 else char
    other = str(alike[0])
    return min((char, other), key=lambda one: (-len(one), not one.isascii(), one))
