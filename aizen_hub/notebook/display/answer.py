"""The answer to a question about one command: may I, why, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aizen_hub.notebook.display.renderable import Renderable
from aizen_hub.notebook.display.result import as_list
from aizen_hub.notebook.display.text import FAINT, FONT, escape_unprintable, link_html, page_address, prose_html


class Answer(Renderable):
    """Yes or no with the reason; what would help; for help also usage and description.

    Attributes
    ----------
    allowed : bool
    role : str or None
        By which it is allowed, or the least that would allow it.
    data : dict
        The answer of the service.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        line: str,
        explanation: Mapping[str, Any] | None = None,
        *,
        is_help: bool = False,
    ) -> None:
        self.data, self.line = dict(document), line
        self._explanation, self._is_help = explanation or {}, is_help
        self.allowed = document.get("allowed") is True
        self.role = document.get("role")
        self.who_can_grant = tuple(map(str, as_list(document.get("who_can_grant"))))

    def __bool__(self) -> bool:
        return self.allowed

    def _lines(self) -> Iterable[str]:
        data = self.data
        if self._is_help:
            yield f"`{data.get('usage')}`: {data.get('description')}".removesuffix(": ")
            yield f"for example: `{example_of(str(data.get('usage') or ''))}`"
        by = f", by the role {self.role}" if self.role and self.allowed else ""
        verdict = f"you may{by}" if self.allowed else "you may not"
        sentence = str(data.get("sentence") or "")
        if self._is_help:
            yield verdict if self.allowed or not sentence else f"{verdict}: {sentence}"
        else:
            yield f"{'yes' if self.allowed else 'no'}: {sentence}"
        if data.get("complete") is False and len(self.line.split()) > len(str(data.get("command")).split()):
            yield f"this is about `{data.get('command')}`: the rest of the line cannot be read"
        if not self.allowed and (remedy := data.get("remedy")):
            yield str(remedy)
        for other in as_list(self._explanation.get("others")):
            yield f"not by: {other}"

    def text(self) -> str:
        return escape_unprintable("\n".join(self._lines()), keep_lines=True)

    def html(self) -> str:
        first, *others = self._lines()
        links = [] if self.allowed else [link_html(page_address(self.data.get("ask")), "Ask")]
        links.append(link_html(page_address(self.data.get("why")), "Why"))
        lines = "".join(f"<div>{prose_html(line)}</div>" for line in others)
        colour = "success" if self.allowed else "warn"
        return (
            f'<div style="{FONT};border-left:4px solid var(--jp-{colour}-color1);padding:4px 10px">'
            f'<div>{prose_html(first)}</div>{lines}<div style="{FAINT}">{" · ".join(filter(None, links))}</div></div>'
        )

    def to_json(self) -> dict[str, Any]:
        explanation = {"explanation": dict(self._explanation)} if self._explanation else {}
        return {**self.data, "type": "answer", "line": self.line, **explanation}


_EXAMPLES: Mapping[str, str] = {
    "<name>": "churn",
    "[<name>]": "churn",
    "[key=value …]": "epochs=5",
    "<user>": "rita",
    "<roles,…>": "PROJECT_READER",
    "<users,…>": "rita,paul",
    "<config file>": "config.json",
    "<file>": "config.json",
}


def example_of(usage: str) -> str:
    """Return a usage line with an example for each argument; what is optional and has none is left out."""
    for placeholder, example in sorted(_EXAMPLES.items(), key=lambda item: -len(item[0])):
        usage = usage.replace(placeholder, example)
    return " ".join(part for part in _without_optional(usage).split() if part)


def _without_optional(usage: str) -> str:
    out, depth = [], 0
    for char in usage:
        depth += char == "["
        if not depth:
            out.append(char)
        depth -= char == "]"
    return "".join(out)
