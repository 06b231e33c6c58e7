"""Text to tokens: the one place that knows which characters a command line may hold (R84, R85, R87, R88).

A line is words, ``,`` and ``=``, separated by blanks. A word is bare (letters, digits and ``_ - . / : @ + ~ *``) or
stands in double quotes, where ``\\"`` and ``\\\\`` are the only escapes. Everything else is refused, never
skipped, never normalised: a line has one meaning or none.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from aizen_hub.problems import SyntaxRefused, TooLarge

MAX_BYTES = 8 << 10
MAX_WORDS = 256
MAX_ITEMS = 1_000

_BARE_PUNCTUATION = frozenset("_-./:@+~*")
_BLANKS = frozenset(" \t")
_ESCAPED = frozenset('"\\')
_FORBIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
# Letters, marks and symbols by category, and yet nothing is seen: fillers, joiners, variation selectors.
_UNSEEN = frozenset(
    map(chr, [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10)])
) | frozenset(map(chr, [0xFFA0, *range(0xE0100, 0xE01F0)]))
_INSTEAD = {
    "#": "a comment stands on a line of its own; a value that holds `#` stands in double quotes",
    **dict.fromkeys(";&|", "one command per line; a value that holds this stands in double quotes"),
    **dict.fromkeys("'\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb", 'quotes are plain double quotes: `"…"`'),
}


class Mark(StrEnum):
    WORD = "word"
    COMMA = ","
    EQUALS = "="


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``quoted`` words are never taken for fixed words of a grammar."""

    mark: Mark
    text: str
    column: int
    quoted: bool = False


def tokens(text: str) -> tuple[Token, ...]:
    """Split a command line.

    Raises
    ------
    TooLarge
        More than `MAX_BYTES` of UTF-8, more than `MAX_WORDS` words outside lists, or a list of more than `MAX_ITEMS`.
    SyntaxRefused
        A character that may not stand where it stands, an unclosed quote, or text that is not in composed form (NFC).
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TooLarge(f"the command has more than {MAX_BYTES} bytes")
    _check_characters(text)
    out: list[Token] = []
    words, items, place = 0, 0, 0
    while place < len(text):
        char = text[place]
        if char in _BLANKS:
            place += 1
            continue
        token, place = _token(text, place)
        if token.mark is Mark.WORD:
            in_list = bool(out) and out[-1].mark is Mark.COMMA
            items = items + 1 if in_list else 1
            words += not in_list
            if words > MAX_WORDS:
                raise TooLarge(f"the command has more than {MAX_WORDS} words")
            if items > MAX_ITEMS:
                raise TooLarge(f"a list has more than {MAX_ITEMS} items")
        out.append(token)
    return tuple(out)


def quoted(text: str) -> str:
    """Return ``text`` as the lexer reads it back: bare where it may be, else in double quotes."""
    if text and all(map(_is_bare, text)):
        return text
    return '"' + "".join("\\" + char if char in _ESCAPED else char for char in text) + '"'


def show(text: str, limit: int = 40) -> str:
    """Return ``text`` bounded and in plain ASCII, for a sentence or a log line (R99)."""
    head = text[:limit].encode("ascii", "backslashreplace").decode()
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in head)


def _check_characters(text: str) -> None:
    for column, char in enumerate(text, 1):
        if " " <= char <= "~" or char == "\t":
            continue
        kind = unicodedata.category(char)
        if kind in _FORBIDDEN or char in _UNSEEN or (kind == "Zs" and char != " "):
            raise SyntaxRefused(
                f"the character U+{ord(char):04X} in column {column} may not stand in a command",
                remedy="remove it: one line, plain blanks, no control, invisible or private characters",
            )
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        raise SyntaxRefused("the command is not in composed Unicode form (NFC)", remedy="type the word again")


def _token(text: str, place: int) -> tuple[Token, int]:
    char = text[place]
    if char == ",":
        return Token(Mark.COMMA, char, place + 1), place + 1
    if char == "=":
        return Token(Mark.EQUALS, char, place + 1), place + 1
    if char == '"':
        return _quoted_word(text, place)
    end = place
    while end < len(text) and _is_bare(text[end]):
        end += 1
    if end == place:
        raise SyntaxRefused(
            f"the character `{show(char)}` in column {place + 1} may not stand outside quotes",
            remedy=_INSTEAD.get(char, "put the value in double quotes"),
        )
    _check_end(text, end)
    return Token(Mark.WORD, text[place:end], place + 1), end


def _quoted_word(text: str, place: int) -> tuple[Token, int]:
    chars: list[str] = []
    at = place + 1
    while at < len(text):
        char = text[at]
        if char == '"':
            _check_end(text, at + 1)
            return Token(Mark.WORD, "".join(chars), place + 1, quoted=True), at + 1
        if char == "\\":
            at += 1
            if at == len(text):
                break
            if text[at] not in _ESCAPED:
                raise SyntaxRefused(f'in column {at} a backslash stands before something else than `"` or a backslash')
        chars.append(text[at])
        at += 1
    raise SyntaxRefused(f"the quote that opens in column {place + 1} is not closed")


def _check_end(text: str, end: int) -> None:
    # A quote that touches a word, or two quotes that touch, would have to be glued together as a shell does.
    if end < len(text) and (text[end] == '"' or (text[end - 1] == '"' and _is_bare(text[end]))):
        raise SyntaxRefused(f"a blank is missing before column {end + 1}")


def _is_bare(char: str) -> bool:
    return char in _BARE_PUNCTUATION or unicodedata.category(char)[0] in "LMN"
