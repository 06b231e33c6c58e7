"""A page of the hub as a person sees it: its words, its fields, and the error that it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import IO, Any, Self

MAX_PAGE = 8 << 20


@dataclass(frozen=True)
class Page:
    """An answer: where it came from after redirects, and what it says."""

    status: int
    url: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def json(self) -> Any:
        return json.loads(self.text) if self.text else None

    @property
    def words(self) -> str:
        """The readable text, blanks squeezed."""
        return " ".join(_parse(self.text).words)

    @property
    def alert(self) -> str:
        """The text of the first error that the page shows: the hub marks them by class."""
        return _parse(self.text).alert.removeprefix("Error: ")

    @property
    def fields(self) -> list[dict[str, str]]:
        """The attributes of every input, button and option, in order."""
        return _parse(self.text).fields

    @classmethod
    def read(cls, status: int, url: str, body: IO[bytes], headers: Any) -> Self:
        """Read an answer, up to 8 MiB of it."""
        data = body.read(MAX_PAGE)
        return cls(
            status, url, data.decode("utf-8", "replace"), {name.lower(): value for name, value in headers.items()}
        )

    def value(self, name: str) -> str | None:
        """Return the value of the first field of a name; None if the page has none."""
        return next((one.get("value", "") for one in self.fields if one.get("name") == name), None)


class _Reader(HTMLParser):
    _ALERTS = frozenset({"login_error", "spawn-error-msg", "aizen-nothing", "error"})
    _VOID = frozenset({"input", "br", "img", "meta", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, str]] = []
        self.words: list[str] = []
        self.alert = ""
        self._silent = 0
        self._in_alert = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag in ("input", "button", "option", "select"):
            self.fields.append({"tag": tag, **found})
        if tag in ("script", "style"):
            self._silent += 1
        if tag in self._VOID:
            return
        if self._in_alert:
            self._in_alert += 1
        elif not self.alert and self._ALERTS & set(found.get("class", "").split()):
            self._in_alert = 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._silent = max(0, self._silent - 1)
        if self._in_alert and tag not in self._VOID:
            self._in_alert -= 1

    def handle_data(self, data: str) -> None:
        words = data.split()
        if self._silent or not words:
            return
        self.words += words
        if self._in_alert:
            self.alert = " ".join([self.alert, *words]).strip()


def _parse(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    return reader
