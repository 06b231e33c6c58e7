"""HTML page of the hub: its text, form fields and displayed error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import IO, Any, Self

MAX_PAGE = 8 << 20


@dataclass(frozen=True)
class HtmlPage:
    """A response with the URL after redirects."""

    status: int
    url: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def json(self) -> Any:
        return json.loads(self.text) if self.text else None

    @property
    def words(self) -> str:
        """The visible text with normalized white space."""
        return " ".join(_parse(self.text).words)

    @property
    def alert(self) -> str:
        """The text of the first error on the page, which the hub marks by its class."""
        return _parse(self.text).alert.removeprefix("Error: ")

    @property
    def fields(self) -> list[dict[str, str]]:
        """The attributes of every input, button and option, in order."""
        return _parse(self.text).fields

    @classmethod
    def read(cls, status: int, url: str, body: IO[bytes], headers: Any) -> Self:
        """Read a response, up to 8 MiB."""
        data = body.read(MAX_PAGE)
        return cls(
            status, url, data.decode("utf-8", "replace"), {name.lower(): value for name, value in headers.items()}
        )

    def value(self, name: str) -> str | None:
        """Return the value of the first field with this name; None if there is none."""
        return next((field.get("value", "") for field in self.fields if field.get("name") == name), None)


class _PageParser(HTMLParser):
    _ALERTS = frozenset({"login_error", "spawn-error-msg", "aizen-no-projects", "aizen-unavailable", "error"})
    _VOID = frozenset({"input", "br", "img", "meta", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, str]] = []
        self.words: list[str] = []
        self.alert = ""
        self._hidden_depth = 0
        self._alert_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in ("input", "button", "option", "select"):
            self.fields.append({"tag": tag, **attributes})
        if tag in ("script", "style"):
            self._hidden_depth += 1
        if tag in self._VOID:
            return
        if self._alert_depth:
            self._alert_depth += 1
        elif not self.alert and self._ALERTS & set(attributes.get("class", "").split()):
            self._alert_depth = 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden_depth = max(0, self._hidden_depth - 1)
        if self._alert_depth and tag not in self._VOID:
            self._alert_depth -= 1

    def handle_data(self, data: str) -> None:
        words = data.split()
        if self._hidden_depth or not words:
            return
        self.words += words
        if self._alert_depth:
            self.alert = " ".join([self.alert, *words]).strip()


def _parse(text: str) -> _PageParser:
    reader = _PageParser()
    reader.feed(text)
    return reader
