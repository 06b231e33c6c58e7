"""The five persons of the demo: what each holds, and what to try as each."""

from __future__ import annotations

from dataclasses import dataclass

PROJECT = "churn"
SYSTEM_SESSION = None


@dataclass(frozen=True)
class Person:
    """One account of the demo.

    Attributes
    ----------
    role : str
        In the project for the project roles, else in the system.
    project : str or None
        What to pick on the start page; None is `No project`, a session for account commands.
    allowed, refused : str
        A command that this role may give, and one that it may not.
    """

    name: str
    display_name: str
    role: str
    project: str | None
    allowed: str
    refused: str


ADMIN = Person("alice", "Alice Admin", "AIZEN_ADMIN", SYSTEM_SESSION, "list users", "create project mine")
CREATOR = Person(
    "carol", "Carol Creator", "PROJECT_CREATOR", SYSTEM_SESSION, "create project forecast", "check license"
)
LEAD = Person("paul", "Paul Lead", "PROJECT_ADMIN", PROJECT, "list users", "create project mine")
EXECUTOR = Person("erin", "Erin Executor", "PROJECT_EXECUTOR", PROJECT, "start training churn", "delete training churn")
READER = Person("rita", "Rita Reader", "PROJECT_READER", PROJECT, "list trainings", "start training churn")

PEOPLE = (ADMIN, CREATOR, LEAD, EXECUTOR, READER)
