"""Lexer of command lines; defines which characters a line may contain (R84, R85, R87, R88).

A line consists of words, ``,`` and ``=``, separated by blanks. A word is bare (letters, digits and
``_ - . / : @ + ~ *``) or in double quotes, where ``\\"`` and ``\\\\`` are the only escapes. Everything else is
refused, never skipped and never normalized, so that a line has at most one meaning.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from aizen_hub.problems import CommandSyntaxError, TooLarge

MAX_BYTES = 8 << 10
MAX_WORDS = 256
MAX_ITEMS = 1_000

_BARE_PUNCTUATION = frozenset("_-./:@+~*")
_BLANKS = frozenset(" \t")
_ESCAPED = frozenset('"\\')
_FORBIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
# Invisible although their category is letter, mark or symbol: fillers, joiners, variation selectors.
_INVISIBLE = frozenset(
    map(chr, [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10)])
) | frozenset(map(chr, [0xFFA0, *range(0xE0100, 0xE01F0)]))
_REMEDIES = {
    "#": "put comments on a line of their own; put a value with `#` in double quotes",
    **dict.fromkeys(";&|", "one command per line; put a value with this character in double quotes"),
    **dict.fromkeys("'\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb", 'quotes are plain double quotes: `"…"`'),
}


class TokenKind(StrEnum):
    WORD = "word"
    COMMA = ","
    EQUALS = "="


@dataclass(frozen=True, slots=True)
class Token:
    """One token; a ``quoted`` word never matches a fixed word of a grammar."""

    kind: TokenKind
    text: str
    column: int
    quoted: bool = False


def tokenize(text: str) -> tuple[Token, ...]:
    """Split a command line into tokens.

    Raises
    ------
    TooLarge
        More than `MAX_BYTES` of UTF-8, more than `MAX_WORDS` words outside lists, or a list of more than `MAX_ITEMS`.
    CommandSyntaxError
        A character that is not allowed where it is, an unclosed quote, or text that is not in composed form (NFC).
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TooLarge(f"the command has more than {MAX_BYTES} bytes")
    _check_characters(text)
    result: list[Token] = []
    words, items, position = 0, 0, 0
    while position < len(text):
        char = text[position]
        if char in _BLANKS:
            position += 1
            continue
        token, position = _next_token(text, position)
        if token.kind is TokenKind.WORD:
            in_list = bool(result) and result[-1].kind is TokenKind.COMMA
            items = items + 1 if in_list else 1
            words += not in_list
            if words > MAX_WORDS:
                raise TooLarge(f"the command has more than {MAX_WORDS} words")
            if items > MAX_ITEMS:
                raise TooLarge(f"a list has more than {MAX_ITEMS} items")
        result.append(token)
    return tuple(result)


def quote(text: str) -> str:
    """Return ``text`` as a word of the command language: bare if possible, else in double quotes."""
    if text and all(map(_is_bare, text)):
        return text
    return '"' + "".join("\\" + char if char in _ESCAPED else char for char in text) + '"'


def ascii_excerpt(text: str, limit: int = 40) -> str:
    """Return ``text`` truncated and in plain ASCII, for messages and logs (R99)."""
    head = text[:limit].encode("ascii", "backslashreplace").decode()
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in head)


def _check_characters(text: str) -> None:
    for column, char in enumerate(text, 1):
        if " " <= char <= "~" or char == "\t":
            continue
        kind = unicodedata.category(char)
        if kind in _FORBIDDEN or char in _INVISIBLE or (kind == "Zs" and char != " "):
            raise CommandSyntaxError(
                f"the character U+{ord(char):04X} in column {column} is not allowed in a command",
                remedy="remove it: one line, plain blanks, no control, invisible or private characters",
            )
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        raise CommandSyntaxError("the command is not in composed Unicode form (NFC)", remedy="type the word again")


def _next_token(text: str, position: int) -> tuple[Token, int]:
    char = text[position]
    if char == ",":
        return Token(TokenKind.COMMA, char, position + 1), position + 1
    if char == "=":
        return Token(TokenKind.EQUALS, char, position + 1), position + 1
    if char == '"':
        return _quoted_word(text, position)
    end = position
    while end < len(text) and _is_bare(text[end]):
        end += 1
    if end == position:
        raise CommandSyntaxError(
            f"`{ascii_excerpt(char)}` must be in quotes (column {position + 1})",
            remedy=_REMEDIES.get(char, "put the value in double quotes"),
        )
    _check_word_end(text, end)
    return Token(TokenKind.WORD, text[position:end], position + 1), end


def _quoted_word(text: str, start: int) -> tuple[Token, int]:
    chars: list[str] = []
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == '"':
            _check_word_end(text, position + 1)
            return Token(TokenKind.WORD, "".join(chars), start + 1, quoted=True), position + 1
        if char == "\\":
            position += 1
            if position == len(text):
                break
            if text[position] not in _ESCAPED:
                raise CommandSyntaxError(
                    f'in column {position} a backslash is allowed only before `"` or another backslash'
                )
        chars.append(text[position])
        position += 1
    raise CommandSyntaxError(f"the quote that opens in column {start + 1} is not closed")


def _check_word_end(text: str, end: int) -> None:
    # A quote next to a word, or next to another quote, would have to be concatenated as a shell does.
    if end < len(text) and (text[end] == '"' or (text[end - 1] == '"' and _is_bare(text[end]))):
        raise CommandSyntaxError(f"a blank is missing before column {end + 1}")


def _is_bare(char: str) -> bool:
    return char in _BARE_PUNCTUATION or unicodedata.category(char)[0] in "LMN"
