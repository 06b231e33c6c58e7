"""A command that was refused: the verdict, the way out, and the details folded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aizen_hub.notebook.display.renderable import Renderable
from aizen_hub.notebook.display.result import as_list
from aizen_hub.notebook.display.tables import CELL
from aizen_hub.notebook.display.text import (
    FAINT,
    FONT,
    escape_html,
    escape_unprintable,
    link_html,
    page_address,
    prose_html,
)

REFUSAL_MIME = "application/vnd.aizen.refusal+json"
_ROLE_WOULD_ALLOW = frozenset({"no-assignment", "not-yet", "expired"})
_MAX_NAMED = 3


class Refusal(Renderable):
    """A refusal with its reason and what the user can do.

    Attributes
    ----------
    document : dict
        The problem document of the service (RFC 9457).
    id, reason, role : str or None
        The id of the decision, the kind of its reason, and the role that would allow the command, if there is one.
    sentence : str
    who_can_grant : tuple of str
    project : str or None
        Where the role is missing; None in the system.
    ask_url, why_url : str or None
        Pages of the panel: a request that is filled in, and the explanation.
    """

    def __init__(self, document: Mapping[str, Any], command: str = "") -> None:
        self.document, self.command = dict(document), command
        decision = document.get("decision")
        self.decision: dict[str, Any] = dict(decision) if isinstance(decision, Mapping) else {}
        self.id = self.decision.get("id")
        # The decision of a command that was allowed but failed is not the reason of the refusal.
        denial = self.decision if self.is_denial else {}
        self.reason = denial.get("reason")
        self.role = denial.get("role") if self.reason in _ROLE_WOULD_ALLOW else None
        self.title = str(document.get("title") or "Not executed")
        self.sentence = str(denial.get("sentence") or document.get("detail") or "")
        self.who_can_grant = tuple(map(str, as_list(document.get("who_can_grant"))))
        scope = document.get("scope")
        self.project = scope if isinstance(scope, str) and scope != "system" else None
        self.ask_url, self.why_url = (page_address(document.get(name)) for name in ("ask", "why"))

    @property
    def is_denial(self) -> bool:
        return self.decision.get("allowed") is False

    @property
    def verdict(self) -> str:
        return f"{self.title}: {self.sentence}" if self.sentence else self.title

    @property
    def way_out(self) -> str:
        """What the user can do, in one sentence; empty where nothing is known to help."""
        if suggestion := self.document.get("suggestion"):
            return f"did you mean `{suggestion}`?"
        if self.role and self.who_can_grant:
            where = f" in `{self.project}`" if self.project else ""
            command = f"request {self.role}" + (f" in {self.project}" if self.project else "")
            return f"{_any_of(self.who_can_grant)} can give you {self.role}{where}; ask with: `{command}`"
        return str(self.document.get("remedy") or "")

    def faults(self) -> Iterable[tuple[str, str]]:
        """Yield the faults of the input that the verdict does not name, as location and text."""
        for fault in as_list(self.document.get("errors")):
            if isinstance(fault, Mapping) and (fault.get("detail") != self.sentence or fault.get("allowed")):
                allowed = (
                    f" (allowed: {', '.join(map(str, as_list(fault['allowed'])))})" if fault.get("allowed") else ""
                )
                yield str(fault.get("pointer") or "input"), f"{fault.get('detail', '')}{allowed}"

    def details(self) -> Iterable[tuple[str, str]]:
        """Yield what is folded: as label and text."""
        for label, value in (
            ("command", self.command),
            ("allowed with role", self.role),
            ("permission", self.document.get("permission")),
            ("who can grant it", ", ".join(self.who_can_grant)),
            ("decision", self.id),
        ):
            if value:
                yield label, str(value)

    def text(self) -> str:
        faults = (f"  {escape_unprintable(location)}: {escape_unprintable(text)}" for location, text in self.faults())
        way_out = [f"→ {escape_unprintable(self.way_out)}"] if self.way_out else []
        return "\n".join([escape_unprintable(self.verdict), *way_out, *faults])

    def html(self) -> str:
        sentence = f": {prose_html(self.sentence)}" if self.sentence else ""
        links = [link_html(self.ask_url, "Ask"), link_html(self.why_url, "Why")]
        way_out = " · ".join(part for part in (prose_html(self.way_out), *links) if part)
        rows = "".join(
            f'<tr><td style="{FAINT};{CELL}">{escape_html(label)}</td><td style="{CELL}">{escape_html(value)}</td></tr>'
            for label, value in self.details()
        )
        faults = "".join(f"<div>{prose_html(f'{location}: {text}')}</div>" for location, text in self.faults())
        details = f'<details style="{FAINT}"><summary>Details</summary><table>{rows}</table></details>' if rows else ""
        return (
            f'<div style="{FONT};border-left:4px solid var(--jp-error-color1);padding:4px 10px">'
            f"<div><b>{prose_html(self.title)}</b>{sentence}</div><div>{way_out}</div>{faults}{details}</div>"
        )

    def to_json(self) -> dict[str, Any]:
        # The problem document has its own `type`.
        problem = {"problem" if key == "type" else key: value for key, value in self.document.items()}
        return {**problem, "type": "refusal", "command": self.command}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return super()._repr_mimebundle_() | {REFUSAL_MIME: self._lab_json()}

    def _lab_json(self) -> dict[str, Any]:
        return {
            "decision_id": self.id,
            "line": self.command,
            "title": self.title,
            "sentence": self.sentence,
            "way_out": self.way_out,
            "faults": [f"{location}: {text}" for location, text in self.faults()],
            "remedy": self.document.get("remedy"),
            "scope": self.document.get("scope"),
            "project": self.project,
            "permission": self.document.get("permission"),
            "role": self.role,
            "who_can_grant": list(self.who_can_grant),
            "ask_url": self.ask_url,
            "why_url": self.why_url,
        }


def _any_of(names: tuple[str, ...]) -> str:
    shown = [f"`{name}`" for name in names[:_MAX_NAMED]]
    if len(names) > _MAX_NAMED:
        return f"{', '.join(shown)} or {len(names) - _MAX_NAMED} more"
    return " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
