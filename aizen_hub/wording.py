"""Remedies that name an action, in the words of what shows them: a notebook, the command line or a web page."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Self

_COMMAND = re.compile(r"\{([a-z_]+)\}")
CommandNames = Callable[[str], str | None]
"""Returns the words of the catalog's command with a handler; None if it has no such command."""


class Interface(StrEnum):
    """What shows a text; each has actions of its own."""

    NOTEBOOK = "notebook"
    COMMAND_LINE = "command-line"
    WEB = "web"


class Wording(str):
    """A text that names an action, for each interface; as a string, in the words of a notebook.

    Parameters
    ----------
    notebook : str
        A command of the catalog is named by its handler in braces, such as ``{list_users}``: catalogs differ in their
        words. A catalog without that command is shown the text of ``web``.
    command_line, web : str
    """

    notebook: str
    command_line: str
    web: str

    def __new__(cls, notebook: str, *, command_line: str, web: str) -> Self:
        self = super().__new__(cls, _COMMAND.sub(lambda match: match[1].replace("_", " "), notebook))
        self.notebook, self.command_line, self.web = notebook, command_line, web
        return self

    def for_interface(self, interface: Interface, command_names: CommandNames) -> str:
        """Return the text for one interface."""
        if interface is Interface.COMMAND_LINE:
            return self.command_line
        if interface is Interface.WEB:
            return self.web
        names = {handler: command_names(handler) for handler in _COMMAND.findall(self.notebook)}
        if None in names.values():
            return self.web
        return _COMMAND.sub(lambda match: str(names[match[1]]), self.notebook)

    def after(self, text: str) -> Wording:
        """Return this wording with a text, the same for each interface, before it."""
        return Wording(f"{text}{self.notebook}", command_line=f"{text}{self.command_line}", web=f"{text}{self.web}")


LIST_USERS = Wording(
    "`{list_users}` shows who is registered",
    command_line="`aizen-hub user list` shows who is registered",
    web="check the spelling, or ask an administrator who is registered",
)
LIST_PROJECTS = Wording(
    "`{list_projects}` shows the projects you may use; a project's admin can grant you a role",
    command_line="`aizen-hub project list` shows the projects you may use; a project's admin can grant you a role",
    web="My access shows the projects you may use; a project's admin can grant you a role",
)
CHOOSE_PROJECT = Wording(
    "`{set_project} <name>` chooses one; `{list_projects}` shows yours",
    command_line="name one with `--project`; `aizen-hub project list` shows yours",
    web="name one of your projects; My access shows them",
)
NAME_PROJECT = Wording(
    "`{set_project} <name>` first", command_line="name the project with `--project`", web="name the project too"
)

REPEAT_REQUEST = Wording(
    "look whether it was done before you repeat it",
    command_line="repeat it with the same `Idempotency-Key`, or look whether it was done",
    web="look whether it was done before you repeat it",
)

ALL_COMMANDS = Wording(
    "`%aizen help` lists the commands",
    command_line="in a notebook, `%aizen help` lists the commands",
    web="in a notebook, %aizen help lists the commands",
)
LIST_JOBS = Wording(
    "`%aizen jobs` lists yours",
    command_line="`GET /api/v1/jobs` lists yours",
    web="check the address",
)
LAST_LOGIN = Wording(
    "link another login first",
    command_line="to remove it anyway, add `--last`; in the API, set `last`",
    web="link another login first, or ask an administrator to remove it",
)


def request_role(role: str, project: str | None) -> Wording:
    """Return how to request a role, in a project or in the system."""
    option = f" --project {project}" if project else ""
    return Wording(
        f"request it with `request {role}{f' in {project}' if project else ''}`",
        command_line=f"request it with `aizen-hub request ask {role}{option} --reason …`",
        web="request it under My access",
    )
