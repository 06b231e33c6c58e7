"""Patterns for group names in mapping rules: one exact name, or a template that contains the project's name."""

from __future__ import annotations

from dataclasses import dataclass

from aizen_hub.accounts.names import normalization
from aizen_hub.accounts.names.normalization import NameKind
from aizen_hub.problems import BadInput
from aizen_hub.validation.distinguished_name import Dn
from aizen_hub.validation.printable import excerpt

PLACEHOLDER = "{project}"
_SENTINEL = "zq0zq"


@dataclass(frozen=True, slots=True)
class GroupPattern:
    """A canonical group name, or a canonical template with one ``{project}``.

    Distinguished names (with an equals sign) are compared as names. In a template the placeholder is one value of a
    component, or a part of it, so that no group elsewhere in the directory tree can match.

    Attributes
    ----------
    prefix, suffix : str
        Text of a template before and after the placeholder; not both empty.
    """

    text: str
    is_template: bool = False
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> GroupPattern:
        """Parse the group name of a rule.

        Raises
        ------
        BadInput
            The name is invalid, or has another placeholder, several placeholders, or nothing but a placeholder.
        """
        if "{" not in text and "}" not in text:
            return cls(normalization.canonical_name(text, NameKind.GROUP))
        prefix, placeholder, suffix = text.partition(PLACEHOLDER)
        if not placeholder or "{" in prefix + suffix or "}" in prefix + suffix or _SENTINEL in text.casefold():
            raise BadInput(f"`{excerpt(text)}` is no template: it has `{PLACEHOLDER}` once and no other braces")
        if not any(char.isalnum() for char in prefix + suffix):
            raise BadInput(f"`{excerpt(text)}` would match every group: add fixed text before or after the placeholder")
        name = normalization.canonical_name(prefix + _SENTINEL + suffix, NameKind.GROUP)
        if name.count(_SENTINEL) != 1:
            raise BadInput(f"`{excerpt(text)}` is no template: its fixed text cannot be told from the placeholder")
        if "=" in name:
            _check_distinguished_name(text, name)
        prefix, _, suffix = name.partition(_SENTINEL)
        return cls(prefix + PLACEHOLDER + suffix, True, prefix, suffix)

    def matches(self, group: str) -> bool:
        return self.extract_project(group) is not None if self.is_template else group == self.text

    def extract_project(self, group: str) -> str | None:
        """Return the project that a canonical group name contains by this template; the project may not exist."""
        inner = len(group) - len(self.suffix)
        if not (
            self.is_template
            and group.startswith(self.prefix)
            and group.endswith(self.suffix)
            and inner > len(self.prefix)
        ):
            return None
        # In a distinguished name a plus sign in a project's name is escaped; an unescaped one starts another value.
        middle = group[len(self.prefix) : inner].replace("\\+", "+")
        return middle if normalization.canonical_or_none(middle, NameKind.PROJECT) == middle else None


def _check_distinguished_name(text: str, name: str) -> None:
    """Raise BadInput if the placeholder of a distinguished name is not inside one value of a plain component."""
    parts = Dn.parse(name).parts
    matching = [part for part in parts if any(_SENTINEL in kind or _SENTINEL in value for kind, value in part)]
    ((kind, value), *others) = matching[0]
    if others or _SENTINEL in kind:
        raise BadInput(
            f"`{excerpt(text)}` is no template: `{PLACEHOLDER}` must be inside one value of a plain component"
        )
    if len(parts) == 1 and value == _SENTINEL:
        raise BadInput(f"`{excerpt(text)}` would match every group: add fixed text before or after the placeholder")
