"""The five personas of the demo: their roles, and commands to try."""

from __future__ import annotations

from dataclasses import dataclass

PROJECT = "churn"
SYSTEM_SESSION = None


@dataclass(frozen=True)
class Persona:
    """One account of the demo.

    Attributes
    ----------
    role : str
        A project role in the project, or a system role.
    project : str or None
        The project to select on the spawn page; None is `No project`, a session for account commands.
    allowed_command, denied_command : str
        A command that this role allows, and one that it does not.
    """

    name: str
    display_name: str
    role: str
    project: str | None
    allowed_command: str
    denied_command: str


ADMIN = Persona("alice", "Alice Admin", "AIZEN_ADMIN", SYSTEM_SESSION, "list users", "create project mine")
CREATOR = Persona(
    "carol", "Carol Creator", "PROJECT_CREATOR", SYSTEM_SESSION, "create project forecast", "check license"
)
LEAD = Persona("paul", "Paul Lead", "PROJECT_ADMIN", PROJECT, "list users", "create project mine")
EXECUTOR = Persona(
    "erin", "Erin Executor", "PROJECT_EXECUTOR", PROJECT, "start training churn", "delete training churn"
)
READER = Persona("rita", "Rita Reader", "PROJECT_READER", PROJECT, "list trainings", "start training churn")

PERSONAS = (ADMIN, CREATOR, LEAD, EXECUTOR, READER)
