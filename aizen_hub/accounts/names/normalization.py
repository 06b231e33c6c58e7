"""Canonical form of names, and detection of look-alikes (R27-R32, T-15, T-53)."""

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

from aizen_hub.problems import BadInput
from aizen_hub.validation.distinguished_name import Dn, DnError
from aizen_hub.validation.printable import excerpt

if TYPE_CHECKING:
    pass


class NameKind(StrEnum):
    """The name spaces; they are separate, so a group `alice` is not the user `alice` (R30)."""

    USER = "user"
    GROUP = "group"
    SERVICE_ACCOUNT = "service-account"
    PROJECT = "project"
    ROLE = "role"


MAX_CHARACTERS = 64
MAX_BYTES = 128
"""For use as a folder name and in URLs, where a letter may take several bytes."""
MAX_GROUP_CHARACTERS = 200
"""Group paths and distinguished names are long."""
_COLUMN = 255
_PROFILE = get_profile("UsernameCaseMapped")
_ROLE = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_])?")
_PUNCTUATION = "._-+"
_GROUP_PUNCTUATION = "._-+/@&() "
"""Directories have groups such as `Domain Users` or `/projects/admin`; the whole path is the name, never its leaf. With
an equals sign it is a distinguished name, which is also used as a whole."""


_RESERVED: dict[NameKind, frozenset[str]] = {
    # `system` is the scope above all projects; the others are keywords of commands and URLs.
    NameKind.PROJECT: frozenset({"system", "all", "none", "new"}),
    NameKind.USER: frozenset({"system", "me", "self", "none", "all", "new"}),
    NameKind.GROUP: frozenset({"none", "all", "new"}),
    NameKind.SERVICE_ACCOUNT: frozenset({"system", "hub", "core", "operator", "none", "all", "new"}),
    NameKind.ROLE: frozenset({"system", "none", "all", "new"}),
}
_COMPATIBLE_SCRIPTS = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "HANGUL"}),
    frozenset({"HAN", "BOPOMOFO"}),
)
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def canonical_name(text: str, kind: NameKind = NameKind.USER) -> str:
    """Return the canonical form of a name.

    Users, groups, service accounts and projects: NFKC, case folding and PRECIS ``UsernameCaseMapped`` (RFC 8265, 3.3).
    Role names are ASCII and keep their case; two that differ only in case are look-alikes. Equal distinguished names of
    a group have one canonical form (RFC 4514; R19), with their values folded like other names.

    Raises
    ------
    BadInput
        Empty, too long, a control, format, bidi or private-use character, a blank, mixed scripts, or a reserved
        word.
    """
    quoted = excerpt(text)
    max_characters, max_bytes = (
        (MAX_GROUP_CHARACTERS, 4 * _COLUMN) if kind is NameKind.GROUP else (MAX_CHARACTERS, MAX_BYTES)
    )
    if not text:
        raise BadInput(f"the name of a {kind} is empty")
    if len(text) > 4 * max_characters:
        raise BadInput(f"`{quoted}` is too long for the name of a {kind}: at most {max_characters} characters")
    checked = text.replace(" ", "") if kind is NameKind.GROUP else text
    if any(unicodedata.category(char) in _INVISIBLE_CATEGORIES for char in checked):
        raise BadInput(f"`{quoted}` contains a blank or an invisible character, so it cannot be the name of a {kind}")
    if kind is NameKind.GROUP and "=" in text:
        name = _canonical_dn(text, quoted)
    else:
        name = text if kind is NameKind.ROLE else _fold_case(text, kind)
        if not (_ROLE.fullmatch(name) if kind is NameKind.ROLE else _is_well_formed(name, kind)):
            raise BadInput(
                f"`{quoted}` is not a valid name of a {kind}: it must start with a letter or digit, and "
                "contain only letters, digits, `. _ - +`"
            )
        _require_one_script(name, quoted, kind)
    if len(name) > max_characters or len(name.encode()) > max_bytes:
        raise BadInput(f"`{quoted}` is too long for the name of a {kind}: at most {max_characters} characters")
    word = _reserved_word(name, kind)
    if word is not None:
        looks = "" if name.casefold() == word else f" looks like `{word}`, which"
        raise BadInput(f"`{quoted}`{looks} is reserved and cannot be the name of a {kind}")
    return name


def canonical_or_none(text: str, kind: NameKind = NameKind.USER) -> str | None:
    """Return the canonical form for a lookup, or None for text that cannot be a name of this kind."""
    try:
        return canonical_name(text, kind)
    except BadInput:
        return None


def is_canonical(text: str, name: str) -> bool:
    """Return whether text from a provider is this canonical name, except for upper case.

    Names that only folding makes equal, such as full-width letters, can be two users or two groups at the provider.
    """
    return unicodedata.normalize("NFKC", text) == text and text.lower() == name


def confusable_skeleton(name: str, kind: NameKind = NameKind.USER) -> str:
    """Return what look-alikes have in common, whatever their case (UTS 39, section 4)."""
    # Role names are written in upper case, where `I` looks like `l` and `1`.
    return _skeleton(name).replace("i", "l") if kind is NameKind.ROLE else _skeleton(name)


@lru_cache(maxsize=65_536)
def _skeleton(name: str) -> str:
    text = name.casefold()
    for _ in range(2):  # a prototype may be an upper-case letter, which has its own prototype once folded
        text = "".join(_prototype(char) for char in unicodedata.normalize("NFD", text)).casefold()
    text = unicodedata.normalize("NFC", text)
    # The skeleton of a long name may not fit into its column; a hash keeps equal skeletons equal.
    return text if len(text) <= _COLUMN else sha256(text.encode()).hexdigest()


def _reserved_word(name: str, kind: NameKind) -> str | None:
    """Return the reserved word that a name is, or could be mistaken for; names are compared as everywhere else."""
    skeleton = confusable_skeleton(name, kind)
    return next((word for word in sorted(_RESERVED[kind]) if confusable_skeleton(word, kind) == skeleton), None)


def _fold_case(text: str, kind: NameKind) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = folded.split(" ") if kind is NameKind.GROUP else [folded]
    try:
        return " ".join(str(_PROFILE.enforce(word)) for word in words)
    except UnicodeEncodeError:
        raise BadInput(f"`{excerpt(text)}` contains a character that is not allowed in the name of a {kind}") from None


def _canonical_dn(text: str, quoted: str) -> str:
    try:
        name = Dn.parse(text)
    except DnError as error:
        raise BadInput(f"`{quoted}` is not a valid distinguished name: {error}") from None
    for part in name.parts:
        for _, value in part:
            # Escaped characters are decoded only now.
            hidden = any(unicodedata.category(char) in _INVISIBLE_CATEGORIES for char in value.replace(" ", ""))
            if not value or hidden or value.startswith("#"):
                raise BadInput(f"`{quoted}` has an empty or invisible part, so it cannot be the name of a group")
            _require_one_script(value, quoted, NameKind.GROUP)
    # A colon separates kind and name in the text form of an identity.
    return name.text.replace(":", "\\3a")


def _is_well_formed(name: str, kind: NameKind) -> bool:
    punctuation = _GROUP_PUNCTUATION if kind is NameKind.GROUP else _PUNCTUATION
    first = name[1:2] if kind is NameKind.GROUP and name.startswith("/") else name[:1]
    if unicodedata.category(first or " ")[0] not in "LN" or name.endswith((".", " ")):
        return False
    for previous, char in zip(" " + name, name, strict=False):
        category = unicodedata.category(char)
        # A combining mark that does not compose with a Latin letter is almost invisible next to it.
        if not (category[0] in "LN" or char in punctuation or (category[0] == "M" and not previous.isascii())):
            return False
    return True


def _require_one_script(name: str, quoted: str, kind: NameKind) -> None:
    if name.isascii():
        return
    scripts = frozenset(categories.unique_aliases(name)) - {"COMMON", "INHERITED"}
    if len(scripts) > 1 and not any(scripts <= group for group in _COMPATIBLE_SCRIPTS):
        raise BadInput(f"`{quoted}` mixes scripts, so it could be mistaken for another {kind}")


@lru_cache(maxsize=16_384)
def _prototype(char: str) -> str:
    # The data lists all look-alikes for a prototype, and only the prototype for any other character.
    lookalikes = [entry["c"].strip("\u200e") for entry in confusables_data.get(char, ())]
    if len(lookalikes) != 1 or len(confusables_data.get(lookalikes[0], ())) > 1:
        return lookalikes[0] if len(lookalikes) == 1 else char
    other = str(lookalikes[0])
    return min((char, other), key=lambda candidate: (-len(candidate), not candidate.isascii(), candidate))
