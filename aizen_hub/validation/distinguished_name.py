"""LDAP distinguished names, compared by their components instead of as text (RFC 4514, R19)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_SPECIAL = frozenset(',+"\\<>;=')
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*")
_HEX = re.compile(r"#(?:[0-9A-Fa-f]{2})+")
MAX_LENGTH = 4096
# The attribute types of RFC 4514, section 3, which a server may write as OIDs or with long names.
_OIDS = {
    "2.5.4.3": "cn", "2.5.4.7": "l", "2.5.4.8": "st", "2.5.4.10": "o", "2.5.4.11": "ou", "2.5.4.6": "c",
    "2.5.4.9": "street", "0.9.2342.19200300.100.1.25": "dc", "0.9.2342.19200300.100.1.1": "uid",
    "commonname": "cn", "localityname": "l", "stateorprovincename": "st", "organizationname": "o",
    "organizationalunitname": "ou", "countryname": "c", "streetaddress": "street", "domaincomponent": "dc",
    "userid": "uid",
}  # fmt: skip


class DnError(ValueError):
    """The text is not a distinguished name."""


@dataclass(frozen=True, slots=True)
class Dn:
    """A distinguished name; two that differ only in notation are equal.

    Ignored are: letter case of types and values, escaped and plain forms of one character, blanks around separators,
    repeated blanks inside values, and the order of the parts of a multi-valued component.

    Attributes
    ----------
    parts : tuple of frozenset of (str, str)
        The components from the leaf to the root; each holds (type, prepared value).
    """

    parts: tuple[frozenset[tuple[str, str]], ...]

    @classmethod
    def parse(cls, text: str) -> Dn:
        """Parse the string form.

        Raises
        ------
        DnError
            Malformed, or longer than 4,096 characters.
        """
        if len(text) > MAX_LENGTH:
            raise DnError(f"a distinguished name has at most {MAX_LENGTH} characters")
        if not text.strip(" "):
            return cls(())
        return cls(tuple(frozenset(pairs) for pairs in _components(text)))

    @property
    def text(self) -> str:
        """The canonical text of all equal names; it parses to an equal name."""
        return ",".join(
            "+".join(f"{kind}={_escape_prepared(value)}" for kind, value in sorted(part)) for part in self.parts
        )

    def is_within(self, base: Dn) -> bool:
        """Return whether this name is ``base`` or below it."""
        return not base.parts or self.parts[-len(base.parts) :] == base.parts


def leaf_rdn_value(text: str) -> str:
    """Return the unescaped value of the first part of the first component, such as the ``cn`` of a group."""
    for pairs in _components(text, prepare=False):
        return pairs[0][1]
    raise DnError("an empty distinguished name has no leaf")


def escape_value(value: str) -> str:
    """Escape text for use as a value inside a distinguished name (RFC 4514, 2.4); ``str`` only (R12)."""
    if not isinstance(value, str):
        raise TypeError("only text can become part of a distinguished name")
    out = "".join(f"\\{char}" if char in _SPECIAL else "\\00" if char == "\0" else char for char in value)
    if out[:1] in (" ", "#"):
        out = "\\" + out
    if value.endswith(" ") and len(value) > 1:
        out = out[:-1] + "\\ "
    return out


def escape_filter(value: str) -> str:
    """Escape text for use as a value inside a search filter (RFC 4515, 3); ``str`` only (R12)."""
    if not isinstance(value, str):
        raise TypeError("only text can become part of a filter")
    return "".join(f"\\{ord(char):02x}" if char in "\\*()\0" else char for char in value)


def _escape_prepared(value: str) -> str:
    return value if _HEX.fullmatch(value) else escape_value(value)


def _components(text: str, prepare: bool = True) -> list[list[tuple[str, str]]]:
    components: list[list[tuple[str, str]]] = [[]]
    position = 0
    while True:
        kind, position = _read_type(text, position)
        value, position = _read_value(text, position)
        components[-1].append((kind, _prepare(value) if prepare else value))
        if position == len(text):
            return components
        separator, position = text[position], position + 1
        if separator != "+":
            components.append([])


def _read_type(text: str, position: int) -> tuple[str, int]:
    equals = text.find("=", position)
    if equals < 0:
        raise DnError("a component without `=`")
    kind = text[position:equals].strip(" ")
    kind = kind[4:] if kind[:4].lower() == "oid." else kind
    if not _TYPE.fullmatch(kind):
        raise DnError("a component with a malformed type")
    return _OIDS.get(kind.lower(), kind.lower()), equals + 1


def _read_value(text: str, position: int) -> tuple[str, int]:
    while position < len(text) and text[position] == " ":
        position += 1
    if position < len(text) and text[position] == "#":
        match = _HEX.match(text, position)
        if match is None:
            raise DnError("a malformed hexadecimal value")
        return match.group().lower(), _skip_to_separator(text, match.end())
    data = bytearray()
    escaped_end = 0  # blanks before this index were escaped and belong to the value
    while position < len(text) and text[position] not in ",;+":
        char, position = text[position], position + 1
        if char == "\\":
            raw, position = _escaped(text, position)
            data += raw
            escaped_end = len(data)
        elif char in '"<>\0':
            raise DnError("a character that must be escaped")
        else:
            data += char.encode("utf-8", "surrogatepass")
    while len(data) > escaped_end and data.endswith(b" "):
        del data[-1]
    try:
        return data.decode("utf-8"), position
    except UnicodeDecodeError:
        raise DnError("a value that is not UTF-8") from None


def _escaped(text: str, position: int) -> tuple[bytes, int]:
    if position >= len(text):
        raise DnError("a backslash at the end")
    pair = text[position : position + 2]
    if re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
        return bytes.fromhex(pair), position + 2
    if text[position] in _SPECIAL or text[position] in " #":
        return text[position].encode(), position + 1
    raise DnError("a backslash before a character that does not need one")


def _skip_to_separator(text: str, position: int) -> int:
    while position < len(text) and text[position] == " ":
        position += 1
    if position < len(text) and text[position] not in ",;+":
        raise DnError("text after a hexadecimal value")
    return position


def _prepare(value: str) -> str:
    # A short form of caseIgnoreMatch (RFC 4518): normalize, fold case, squeeze blanks.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(part for part in folded.split(" ") if part)
