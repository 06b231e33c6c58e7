"""A catalog: the built-in roles, the permissions and the commands of one platform, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from aizen_hub.catalogs.grammar import DEFAULT_TEMPLATE, Grammar, parse_grammar
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import Role

EVERY_PAIR = "*"
"""In ``secret``: every ``key=value`` argument."""


ENDPOINTS = (
    "users",
    "groups",
    "service-accounts",
    "roles",
    "limits",
    "locks",
    "sessions",
    "access",
    "audit",
)
"""The actions that every service has and that are no commands: each catalog says what they need."""


class CommandScope(StrEnum):
    """Where a command is judged.

    ``either``: in the current project if one is set, else at the system. ``self``: open to every registered user.
    """

    SYSTEM = "system"
    PROJECT = "project"
    EITHER = "either"
    SELF = "self"


class Executor(StrEnum):
    """Who carries a command out: our own account functions, or the platform behind us."""

    ACCOUNTS = "accounts"
    CORE = "core"


class Job(StrEnum):
    """What a command does to the count of running jobs."""

    STARTS = "starts"
    STOPS = "stops"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command of a catalog.

    Attributes
    ----------
    name : str
        Its words, e.g. ``start training``; the key, matched exactly (R90).
    permission : Permission or None
        What it needs; None only where ``scope`` is ``self``.
    grammar : str
        The template of what follows the words, see `catalogs.grammar`.
    handler : str or None
        Name of the account function that carries it out; None: the core does.
    secret : frozenset of str
        Arguments that the audit stores as a keyed hash; ``*`` stands for every ``key=value``.
    open_for_self : bool
        Needs no permission where its ``user`` argument is missing or is the asker.
    project_argument : str or None
        The argument that names the project it is about; it is judged there, not in the current one (R65).
    decided_by_roles : bool
        The permission opens the door; which roles may change hands decides `rbac.escalation`.
    """

    name: str
    permission: Permission | None
    scope: CommandScope
    group: str = ""
    grammar: str = DEFAULT_TEMPLATE
    handler: str | None = None
    least_role: str | None = None
    job: Job | None = None
    secret: frozenset[str] = frozenset()
    description: str = ""
    open_for_self: bool = False
    project_argument: str | None = None
    decided_by_roles: bool = False

    @property
    def verb(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def noun(self) -> str:
        """The second word; empty for a command of one word."""
        return self.name.partition(" ")[2]

    @property
    def executor(self) -> Executor:
        return Executor.ACCOUNTS if self.handler else Executor.CORE

    @property
    def syntax(self) -> Grammar:
        return parse_grammar(self.grammar)

    @property
    def usage(self) -> str:
        """The whole line as people read it, e.g. ``grant role <roles,…> to <user>``."""
        return f"{self.name} {self.syntax.usage}".rstrip()

    def is_secret(self, argument: str) -> bool:
        """Tell whether the value of ``argument`` must not be stored as it is."""
        named = argument in self.syntax.arguments
        return argument in self.secret or (not named and EVERY_PAIR in self.secret)


@dataclass(frozen=True, slots=True)
class BuiltInGroup:
    """A group that exists from the first start on; with ``joins_new_users`` every new user becomes a member."""

    name: str
    roles: tuple[str, ...] = ()
    joins_new_users: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class BuiltInAccount:
    """A service account that exists from the first start on."""

    name: str
    roles: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Catalog:
    """The data of one platform, checked by `catalogs.loader`.

    Attributes
    ----------
    hash : str
        SHA-256 over the whole content, overlays included, as hex.
    roles : mapping of str to Role
        Built-in roles, from the least to the greatest: a refusal names the first that would do.
    aliases : mapping of str to str
        A second spelling of a command, to its name.
    member_permissions : frozenset of Permission
        Carried by every role with permissions that is assigned in a project.
    admin_role : str or None
        What ``admin_user`` receives at the first start.
    creator_role : str or None
        What the creator of a project receives in it; only holders of ``creator_role_removers`` take it away.
    endpoints : mapping of str to Permission
        What the actions need that are not commands: all of `ENDPOINTS`, and by choice others, e.g. ``impersonate``.
    groups_claim_required : bool
        A login whose identity provider sends no well-formed ``groups`` is refused.
    """

    name: str
    version: str
    hash: str
    roles: Mapping[str, Role]
    commands: Mapping[str, CommandEntry]
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    member_permissions: frozenset[Permission] = frozenset()
    admin_role: str | None = None
    creator_role: str | None = None
    creator_role_removers: frozenset[str] = frozenset()
    default_groups: tuple[BuiltInGroup, ...] = ()
    service_accounts: tuple[BuiltInAccount, ...] = ()
    alert_services: tuple[str, ...] = ()
    endpoints: Mapping[str, Permission] = field(default_factory=lambda: MappingProxyType({}))
    groups_claim_required: bool = False
    description: str = ""

    @cached_property
    def permissions(self) -> frozenset[Permission]:
        """Every permission that a command or an endpoint asks for."""
        asked = {entry.permission for entry in self.commands.values() if entry.permission}
        return frozenset(asked | set(self.endpoints.values()) | self.member_permissions)

    def command(self, words: str) -> CommandEntry | None:
        """Return the command with exactly these words, by name or alias."""
        return self.commands.get(self.aliases.get(words, words))
