"""What a mapping rule says of group names: one exact name, or a template that names the project."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.accounts.names import names
from aizen_hub.accounts.names.names import NameKind
from aizen_hub.problems import BadInput
from aizen_hub.validation.distinguished_name import Dn
from aizen_hub.validation.printable import show

PLACEHOLDER = "{project}"
_STAND_IN = "zq0zq"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A canonical group name, or a canonical template with one ``{project}``.

    Distinguished names (with an equals sign) are compared as names; in a template the placeholder is a value of one
    component, or a part of it, so that no group below another place in the tree can meet it.

    Attributes
    ----------
    head, tail : str
        Of a template: what stands before and after the placeholder; together never empty.
    """

    text: str
    template: bool = False
    head: str = ""
    tail: str = ""

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a rule's group name.

        Raises
        ------
        BadInput
            It is no name of a group, or holds another placeholder, several, or nothing beside one.
        """
        if "{" not in text and "}" not in text:
            return cls(names.canonical(text, NameKind.GROUP))
        head, found, tail = text.partition(PLACEHOLDER)
        if not found or "{" in head + tail or "}" in head + tail or _STAND_IN in text.casefold():
            raise BadInput(f"`{show(text)}` is no template: it has `{PLACEHOLDER}` once and no other braces")
        if not any(char.isalnum() for char in head + tail):
            raise BadInput(f"`{show(text)}` would take every group for a project: put words of your own beside it")
        whole = names.canonical(head + _STAND_IN + tail, NameKind.GROUP)
        if whole.count(_STAND_IN) != 1:
            raise BadInput(f"`{show(text)}` is no template: its words cannot be told from the placeholder")
        if "=" in whole:
            _check_name(text, whole)
        head, _, tail = whole.partition(_STAND_IN)
        return cls(head + PLACEHOLDER + tail, True, head, tail)

    def matches(self, group: str) -> bool:
        return self.project_in(group) is not None if self.template else group == self.text

    def project_in(self, group: str) -> str | None:
        """Return the project that the canonical name of a group names by this template, whether or not it exists."""
        inner = len(group) - len(self.tail)
        if not (self.template and group.startswith(self.head) and group.endswith(self.tail) and inner > len(self.head)):
            return None
        # In a distinguished name the plus sign of a project is escaped; an unescaped one begins another value.
        middle = group[len(self.head) : inner].replace("\\+", "+")
        return middle if names.known_as(middle, NameKind.PROJECT) == middle else None


def _check_name(text: str, whole: str) -> None:
    """Refuse a template of a distinguished name whose placeholder is no part of one value that stands alone."""
    parts = Dn.parse(whole).parts
    found = [part for part in parts if any(_STAND_IN in kind or _STAND_IN in value for kind, value in part)]
    ((kind, value), *others) = found[0]
    if others or _STAND_IN in kind:
        raise BadInput(f"`{show(text)}` is no template: `{PLACEHOLDER}` stands inside one value of a plain component")
    if len(parts) == 1 and value == _STAND_IN:
        raise BadInput(f"`{show(text)}` would take every group for a project: put words of your own beside it")
