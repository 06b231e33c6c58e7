"""Distinguished names, compared as names and not as text (RFC 4514, R19)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_SPECIAL = frozenset(',+"\\<>;=')
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*")
_HEX = re.compile(r"#(?:[0-9A-Fa-f]{2})+")
MAX_LENGTH = 4096
# The types of RFC 4514, section 3, which a server may write as numbers.
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
    """A distinguished name; two that differ only in spelling are equal.

    Equal are: letter case of types and values, escaped and plain forms of one character, blanks around separators and
    runs of blanks inside values, the order of the parts of one multi-valued component.

    Attributes
    ----------
    parts : tuple of frozenset of (str, str)
        The components from the leaf to the root; each holds (type, prepared value).
    """

    parts: tuple[frozenset[tuple[str, str]], ...]

    @classmethod
    def parse(cls, text: str) -> Dn:
        """Read the string form.

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
        """The one spelling that all equal names have; it parses to an equal name."""
        return ",".join("+".join(f"{kind}={_written(value)}" for kind, value in sorted(part)) for part in self.parts)

    def within(self, base: Dn) -> bool:
        """Whether this name is ``base`` or lies below it."""
        return not base.parts or self.parts[-len(base.parts) :] == base.parts


def leaf_value(text: str) -> str:
    """Return the value of the first part of the first component as it is written, unescaped: the ``cn`` of a group."""
    for pairs in _components(text, prepare=False):
        return pairs[0][1]
    raise DnError("an empty distinguished name has no leaf")


def escape_value(value: str) -> str:
    """Escape text for use as a value inside a distinguished name (RFC 4514, 2.4); takes ``str`` only (R12)."""
    if not isinstance(value, str):
        raise TypeError("only text can become part of a distinguished name")
    out = "".join(f"\\{char}" if char in _SPECIAL else "\\00" if char == "\0" else char for char in value)
    if out[:1] in (" ", "#"):
        out = "\\" + out
    if value.endswith(" ") and len(value) > 1:
        out = out[:-1] + "\\ "
    return out


def escape_filter(value: str) -> str:
    """Escape text for use as a value inside a search filter (RFC 4515, 3); takes ``str`` only (R12)."""
    if not isinstance(value, str):
        raise TypeError("only text can become part of a filter")
    return "".join(f"\\{ord(char):02x}" if char in "\\*()\0" else char for char in value)


def _written(value: str) -> str:
    return value if _HEX.fullmatch(value) else escape_value(value)


def _components(text: str, prepare: bool = True) -> list[list[tuple[str, str]]]:
    components: list[list[tuple[str, str]]] = [[]]
    at = 0
    while True:
        kind, at = _read_type(text, at)
        value, at = _read_value(text, at)
        components[-1].append((kind, _prepare(value) if prepare else value))
        if at == len(text):
            return components
        separator, at = text[at], at + 1
        if separator != "+":
            components.append([])


def _read_type(text: str, at: int) -> tuple[str, int]:
    equals = text.find("=", at)
    if equals < 0:
        raise DnError("a component without `=`")
    kind = text[at:equals].strip(" ")
    kind = kind[4:] if kind[:4].lower() == "oid." else kind
    if not _TYPE.fullmatch(kind):
        raise DnError("a component with a malformed type")
    return _OIDS.get(kind.lower(), kind.lower()), equals + 1


def _read_value(text: str, at: int) -> tuple[str, int]:
    while at < len(text) and text[at] == " ":
        at += 1
    if at < len(text) and text[at] == "#":
        found = _HEX.match(text, at)
        if found is None:
            raise DnError("a malformed hexadecimal value")
        return found.group().lower(), _end(text, found.end())
    data = bytearray()
    kept = 0  # up to here blanks were escaped and belong to the value
    while at < len(text) and text[at] not in ",;+":
        char, at = text[at], at + 1
        if char == "\\":
            raw, at = _escaped(text, at)
            data += raw
            kept = len(data)
        elif char in '"<>\0':
            raise DnError("a character that must be escaped")
        else:
            data += char.encode("utf-8", "surrogatepass")
    while len(data) > kept and data.endswith(b" "):
        del data[-1]
    try:
        return data.decode("utf-8"), at
    except UnicodeDecodeError:
        raise DnError("a value that is not UTF-8") from None


def _escaped(text: str, at: int) -> tuple[bytes, int]:
    if at >= len(text):
        raise DnError("a backslash at the end")
    pair = text[at : at + 2]
    if re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
        return bytes.fromhex(pair), at + 2
    if text[at] in _SPECIAL or text[at] in " #":
        return text[at].encode(), at + 1
    raise DnError("a backslash before a character that needs none")


def _end(text: str, at: int) -> int:
    while at < len(text) and text[at] == " ":
        at += 1
    if at < len(text) and text[at] not in ",;+":
        raise DnError("text after a hexadecimal value")
    return at


def _prepare(value: str) -> str:
    # caseIgnoreMatch in short (RFC 4518): compose, fold, squeeze blanks.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(part for part in folded.split(" ") if part)
