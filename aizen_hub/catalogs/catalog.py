"""Catalogs: the built-in roles, permissions and commands of one platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from aizen_hub.catalogs.grammar import DEFAULT_TEMPLATE, Grammar, parse_grammar
from aizen_hub.rbac.archive import ArchiveRule
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.named_permission import NamedPermission
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.role import Role, ScopeKind

ALL_KEY_VALUES = "*"
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
"""API actions that are not commands; each catalog declares the permission of every one of them."""


class CommandScope(StrEnum):
    """The scope in which a command is authorized.

    ``either``: the current project if one is set, else the system. ``self``: open to every registered user.
    """

    SYSTEM = "system"
    PROJECT = "project"
    EITHER = "either"
    SELF = "self"


class Executor(StrEnum):
    """What executes a command: the account functions of the service, or the core."""

    ACCOUNTS = "accounts"
    CORE = "core"


class JobEffect(StrEnum):
    """Effect of a command on the number of running jobs."""

    STARTS = "starts"
    STOPS = "stops"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command of a catalog.

    Attributes
    ----------
    name : str
        Its words, e.g. ``start training``; matched exactly (R90).
    permission : Permission or None
        The required permission; None only where ``scope`` is ``self``.
    grammar : str
        Template of the arguments, see `catalogs.grammar`.
    handler : str or None
        Name of the account function that executes it; None: the core does.
    secret : frozenset of str
        Arguments that the audit stores as a keyed hash; ``*`` means every ``key=value``.
    open_for_self : bool
        Needs no permission if its ``user`` argument is missing or is the requester.
    project_argument : str or None
        The argument that names the project; the command is authorized there, not in the current project (R65).
    grants_roles : bool
        The permission alone is not enough: `rbac.escalation` decides which roles may be granted or revoked.
    group : str
        The chapter and section of the platform's own documentation.
    task : str
        The task, for people, that the catalog's ``tasks`` give to its group; by default the section.
    """

    name: str
    permission: Permission | None
    scope: CommandScope
    group: str = ""
    grammar: str = DEFAULT_TEMPLATE
    handler: str | None = None
    least_role: str | None = None
    job: JobEffect | None = None
    secret: frozenset[str] = frozenset()
    description: str = ""
    open_for_self: bool = False
    project_argument: str | None = None
    grants_roles: bool = False
    task: str = ""

    @property
    def verb(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def noun(self) -> str:
        """The second word; empty for a one-word command."""
        return self.name.partition(" ")[2]

    @property
    def executor(self) -> Executor:
        return Executor.ACCOUNTS if self.handler else Executor.CORE

    @property
    def syntax(self) -> Grammar:
        return parse_grammar(self.grammar)

    @property
    def usage(self) -> str:
        """The usage line, e.g. ``grant role <roles,…> to <user>``."""
        return f"{self.name} {self.syntax.usage}".rstrip()

    def is_secret(self, argument: str) -> bool:
        """Return whether the value of ``argument`` must not be stored in plain text."""
        is_named = argument in self.syntax.arguments
        return argument in self.secret or (not is_named and ALL_KEY_VALUES in self.secret)


@dataclass(frozen=True, slots=True)
class BuiltInGroup:
    """A group created at the first start.

    Attributes
    ----------
    includes_new_users : bool
        Every new user becomes a member.
    replaced_by_roles : bool
        Except a user who is given roles at creation: those replace the group's.
    """

    name: str
    roles: tuple[str, ...] = ()
    includes_new_users: bool = False
    replaced_by_roles: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class BuiltInAccount:
    """A service account created at the first start.

    Attributes
    ----------
    credential_issuers : tuple of str
        System roles whose holders may issue its credentials, and activate it, without having ``roles`` themselves.
    """

    name: str
    roles: tuple[str, ...] = ()
    credential_issuers: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Catalog:
    """The roles, permissions and commands of one platform, validated by `catalogs.loader`.

    Attributes
    ----------
    hash : str
        SHA-256 of the whole content, overlays included, in hexadecimal.
    roles : mapping of str to Role
        Built-in roles, from the least to the most powerful: a denial names the first that would do.
    aliases : mapping of str to str
        Further spellings of commands, mapped to the command name.
    member_permissions : frozenset of Permission
        Added to every role with permissions that is assigned in a project.
    admin_role : str or None
        The role that ``admin_user`` receives at the first start.
    creator_role : str or None
        The role that the creator of a project receives in it; only holders of ``creator_role_removers`` can revoke it.
    endpoints : mapping of str to Permission
        Permissions of the actions that are not commands: all of `ENDPOINTS`, and optionally others, such
        as ``impersonate``.
    named_permissions : tuple of NamedPermission
        The permissions that people see by name, in the order of the file.
    tasks : tuple of str
        The tasks of all commands, in their order on pages.
    verb_words : mapping of str to str
        The words for people of the verbs of permissions, such as ``see`` for ``read``; other verbs are their own word.
    noun_words : mapping of str to str
        The words for people of the nouns of permissions, such as ``LLM application`` for ``llmapp``.
    reading_verbs : frozenset of str
        First words of commands that change nothing, so that a client may send them again by itself.
    reading_permissions : frozenset of Permission
        The permissions that change nothing; they alone are allowed in archived projects.
    groups_claim_required : bool
        Logins are refused if the identity provider does not send a well-formed ``groups`` claim.
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
    named_permissions: tuple[NamedPermission, ...] = ()
    tasks: tuple[str, ...] = ()
    reading_verbs: frozenset[str] = frozenset()
    reading_permissions: frozenset[Permission] = frozenset()
    verb_words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    noun_words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    description: str = ""

    @cached_property
    def custom_role_scopes(self) -> frozenset[ScopeKind]:
        """The scopes of a custom role that names none: those of the built-in roles if all have the same."""
        scopes = {role.scopes for role in self.roles.values()}
        return scopes.pop() if len(scopes) == 1 else frozenset({ScopeKind.PROJECT})

    @cached_property
    def permissions(self) -> frozenset[Permission]:
        """Every permission that a command or an endpoint requires."""
        required = {entry.permission for entry in self.commands.values() if entry.permission}
        return frozenset(required | set(self.endpoints.values()) | self.member_permissions)

    @cached_property
    def archive_rule(self) -> ArchiveRule:
        """What archived projects still allow, and the built-in roles whose holders can restore them."""
        restoring = self.endpoints.get("locks")
        restorers = (
            role.name
            for role in self.roles.values()
            if restoring and ScopeKind.SYSTEM in role.scopes and any_covers(role.permissions, restoring)
        )
        return ArchiveRule(self.reading_permissions, tuple(restorers))

    def word_of(self, verb: str) -> str:
        """Return the word for people of a verb of permissions."""
        return self.verb_words.get(verb, verb)

    def words_of_noun(self, noun: str) -> str:
        """Return the words for people of a noun of permissions; by default the noun with its parts separated."""
        return self.noun_words.get(noun) or noun.replace("-", " ").replace("_", " ")

    def only_reads(self, entry: CommandEntry) -> bool:
        """Return whether a command changes nothing."""
        return entry.verb in self.reading_verbs and entry.job is None

    def is_known(self, permission: Permission) -> bool:
        """Return whether the permission is one of the named ones, or covers any that is required."""
        named = any(permission == named.permission for named in self.named_permissions)
        return named or any(permission.covers(required) for required in self.permissions)

    def command_with_handler(self, handler: str) -> str | None:
        """Return the words of the command that an account function executes; None if there is none."""
        return next((entry.name for entry in self.commands.values() if entry.handler == handler), None)

    def find_command(self, words: str) -> CommandEntry | None:
        """Return the command with exactly these words as name or alias."""
        return self.commands.get(self.aliases.get(words, words))
