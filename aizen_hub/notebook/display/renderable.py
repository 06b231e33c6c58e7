"""What a cell shows: as text, as HTML without scripts, and as JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from aizen_hub.notebook.display.text import FAINT, FONT, escape_unprintable, prose_html

MIME = "application/vnd.aizen.result+json"


class Renderable(ABC):
    """Base of all output; IPython displays the richest representation that the front end supports."""

    @abstractmethod
    def text(self) -> str: ...

    @abstractmethod
    def html(self) -> str: ...

    @abstractmethod
    def to_json(self) -> dict[str, Any]: ...

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": self.text(), "text/html": self.html(), MIME: self.to_json()}

    def __repr__(self) -> str:
        return self.text()


class Notice(Renderable):
    """A message of the notebook extension itself, without a decision of the service."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        self.sentence, self.hint = sentence, hint

    def text(self) -> str:
        return escape_unprintable(f"{self.sentence}\n{self.hint}".rstrip(), keep_lines=True)

    def html(self) -> str:
        hint = f'<div style="{FAINT}">{prose_html(self.hint, keep_lines=True)}</div>' if self.hint else ""
        return (
            f'<div style="{FONT};border-left:4px solid var(--jp-warn-color1);padding:4px 10px">'
            f"{prose_html(self.sentence)}{hint}</div>"
        )

    def to_json(self) -> dict[str, Any]:
        return {"type": "notice", "message": self.sentence, "hint": self.hint}
