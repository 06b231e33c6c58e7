"""What each event of the audit means, as a sentence with named parts: the data of the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class EventKind(StrEnum):
    """What readers filter by; routine events are folded."""

    CHANGE = "change"
    REFUSAL = "refusal"
    REQUEST = "request"
    SIGN_IN = "sign-in"
    SESSION = "session"
    SYSTEM = "system"
    ROUTINE = "routine"


class EventText(NamedTuple):
    """The text of one event.

    Attributes
    ----------
    icon : str
        Of the panel's icons.
    template : str
        Fields in braces are those of the record or of its details; a part in brackets is left out where one of its
        fields is missing.
    """

    kind: EventKind
    icon: str
    template: str


_C, _Q, _S, _L, _Y, _R = (
    EventKind.CHANGE,
    EventKind.REQUEST,
    EventKind.SESSION,
    EventKind.SIGN_IN,
    EventKind.SYSTEM,
    EventKind.ROUTINE,
)

EVENT_TEXTS: Mapping[str, EventText] = {
    "command-line.signed-in": EventText(_L, "screen", "{actor} signed in the command line"),
    "command-line.signed-out": EventText(_L, "screen", "{actor} signed the command line out"),
    # roles and their requests
    "role.granted": EventText(_C, "plus", "{actor} gave {target} {role} in {scope}[ from {from}][ until {until}]"),
    "role.revoked": EventText(_C, "minus", "{actor} took {role} in {scope} away from {target}"),
    "role.created": EventText(_C, "shield", "{actor} created the role {role}"),
    "role.changed": EventText(_C, "shield", "{actor} changed the role {role}"),
    "role.deleted": EventText(_C, "shield", "{actor} deleted the role {role}"),
    "permission.created": EventText(_C, "shield", "{actor} created the permission {permission}[ ({content})]"),
    "permission.deleted": EventText(_C, "shield", "{actor} deleted the permission {permission}"),
    "limit.set": EventText(
        _C, "swap", "{actor} changed the limit {limit} for {identity} in {scope}[ from {before}][ to {value}]"
    ),
    "access.requested": EventText(_Q, "inbox", "{actor} asked for {role} in {scope}[ until {until}]"),
    "access.approved": EventText(_Q, "check", "{actor} approved a request[ in {project}]"),
    "access.denied": EventText(_Q, "cross", "{actor} denied a request[ in {project}]"),
    "access.withdrawn": EventText(_Q, "undo", "{actor} withdrew a request"),
    "access.settled": EventText(_Q, "check", "the request of {target}[ in {project}] was met by a grant of {actor}"),
    # changes that wait, undo and reviews
    "change.submitted": EventText(_Q, "clock", "{actor} asked for a change that waits for confirmation: {what}"),
    "change.confirmed": EventText(_C, "check", "{actor} confirmed a change of {asked-by}: {change-kind}"),
    "change.rejected": EventText(_Q, "cross", "{actor} rejected a change: {change-kind}"),
    "change.expired": EventText(_Q, "clock", "a change or request expired without a decision"),
    "change.undone": EventText(_C, "undo", "{actor} undid: {what}"),
    "changed": EventText(_C, "swap", "{actor} changed the store"),
    "review.started": EventText(_C, "log", "{actor} started a review of the access in {scope}[, due {deadline}]"),
    "review.decided": EventText(_R, "log", "{actor} made {decisions} decisions of a review[ by the rule {rule}]"),
    "review.carried-out": EventText(
        _C, "check", "{actor} carried out a review[ of {project}]: {changes} changes, {kept} kept"
    ),
    "review.undone": EventText(_C, "undo", "{actor} undid {changes} changes of a review[ of {project}]"),
    "review.finished": EventText(
        _C,
        "check",
        "{actor} finished a review[ of {project}]: {kept} kept, {shortened} shortened, {removed} taken away",
    ),
    "assignments.staged": EventText(_R, "folder", "{actor} prepared {granted} grants and {revoked} revocations"),
    "assignments.discarded": EventText(_R, "folder", "{actor} discarded {changes} prepared changes"),
    "assignments.applied": EventText(_C, "folder", "{actor} put prepared changes of roles into effect"),
    "operation.started": EventText(_C, "play", "{actor} started: {kind}"),
    "operation.ended": EventText(_C, "check", "the {kind} ended[: {state}]"),
    "operation.cancelled": EventText(_C, "stop", "{actor} cancelled: {kind}"),
    # identities
    "user.created": EventText(_C, "user", "{actor} registered {user}[, who signs in by {provider}]"),
    "user.changed": EventText(_C, "user", "{actor} changed {fields} of {user}"),
    "user.deleted": EventText(_C, "user", "{actor} deleted {user}"),
    "registration.requested": EventText(_Q, "user", "`{name}` signed in by {provider} and asks to be registered"),
    "registration.dismissed": EventText(_Q, "cross", "{actor} dismissed the request of `{name}` to be registered"),
    "user.bound": EventText(_L, "link", "{user} signed in by {provider} for the first time"),
    "login.linked": EventText(_C, "link", "{actor} linked a login by {provider} to {user}"),
    "login.unlinked": EventText(_C, "link", "{actor} unlinked a login of {user}"),
    "group.created": EventText(_C, "group", "{actor} created {group}"),
    "group.deleted": EventText(_C, "group", "{actor} deleted {group}[ with {members} members]"),
    "group.described": EventText(_C, "group", "{actor} changed the description of {group}"),
    "group.default": EventText(_C, "group", "{actor} set whether new users join {group}"),
    "group.member-added": EventText(_C, "plus", "{actor} added {member} to {group}"),
    "group.member-removed": EventText(_C, "minus", "{actor} removed {member} from {group}"),
    "mapping.made": EventText(
        _C, "link", "{actor} made a mapping rule: {group} of {provider} gives {role}[ in {project}]"
    ),
    "mapping.removed": EventText(_C, "link", "{actor} removed a mapping rule: {group} gave {role}[ in {project}]"),
    "name.released": EventText(_C, "undo", "{actor} released the name `{name}`"),
    "service-account.created": EventText(_C, "gear", "{actor} created {account}"),
    "service-account.active": EventText(_C, "gear", "{actor} switched {account} on or off"),
    "service-account.deleted": EventText(_C, "gear", "{actor} deleted {account}"),
    "credential.issued": EventText(_C, "key", "{actor} issued a credential of {account}"),
    "credential.revoked": EventText(_C, "key", "{actor} revoked a credential of {account}"),
    "credential.refused": EventText(EventKind.REFUSAL, "key", "a credential was refused[: {sentence}]"),
    # projects
    "project.created": EventText(_C, "folder", "{actor} created the project {project}"),
    "project.deleted": EventText(_C, "folder", "{actor} deleted the project `{project}`"),
    "project.archived": EventText(_C, "folder", "{actor} archived {project}[: {reason}]"),
    "project.restored": EventText(_C, "undo", "{actor} restored the archived project {project}[: {reason}]"),
    "project.described": EventText(_C, "folder", "{actor} changed the description of {project}"),
    "project.listed": EventText(_C, "folder", "{actor} set who may know that {project} exists"),
    "project.exported": EventText(_R, "down", "{actor} exported the configuration of {project}"),
    "alerts.changed": EventText(_R, "inbox", "{actor} changed who is alerted of jobs[ in {project}]"),
    # stopping people, sessions and tokens
    "lock.set": EventText(_C, "stop", "{actor} stopped {locked}[ until {until}]"),
    "lock.removed": EventText(_C, "undo", "{actor} lifted the stop of {locked}"),
    "lock.shortened": EventText(_C, "clock", "{actor} set the end of the stop of {locked}[ to {ends}]"),
    "session.opened": EventText(_S, "screen", "{user} started a server[ at the hub {hub}][ for {project}]"),
    "session.project": EventText(_S, "swap", "{actor} changed the project of a session[ to {to}]"),
    "session.ended": EventText(_S, "screen", "a session of {user}[ at the hub {hub}] ended[: {why}]"),
    "session.acting": EventText(_S, "people", "{by} acts for {user}[ in {project}]"),
    "token.revoked": EventText(_S, "key", "{actor} revoked the tokens of a session"),
    "tokens.revoked": EventText(_C, "key", "{actor} revoked role tokens of {sessions} sessions"),
    "hub-token.end": EventText(_C, "key", "{actor} asked the hub[ {hub}] to end a token of their own ({token})"),
    "exchange": EventText(_R, "key", "{actor} renewed a token"),
    # signing in
    "login": EventText(_L, "key", "the sign-in of {user}[ at the hub {hub}] ended with {outcome}"),
    "login.refreshed": EventText(_R, "refresh", "the provider was asked again about {user}: {outcome}"),
    "login.gone": EventText(_L, "minus", "{provider} does not know {user} any more"),
    "login.fresh": EventText(_L, "key", "{user} signed in again for a sensitive change"),
    "login.password-refused": EventText(EventKind.REFUSAL, "key", "a password of {user} was refused"),
    "password.set": EventText(_L, "key", "{actor} set the password of {user}"),
    "second-factor.enabled": EventText(_L, "shield", "{actor} switched on the second step of {user}"),
    "recovery-code.used": EventText(_L, "key", "{user} signed in with a recovery code"),
    "recovery-codes.renewed": EventText(_L, "key", "{actor} made new recovery codes"),
    "second-factor.disabled": EventText(_L, "shield", "{actor} switched off the second step of {user}"),
    "activation.issued": EventText(_L, "link", "{actor} issued an activation link for {user}"),
    "activation.redeemed": EventText(_L, "link", "{user} used an activation link"),
    "admin.recovered": EventText(_C, "warn", "an operator made {user} an administrator"),
    # commands and reading
    "intent": EventText(_R, "play", "{actor} gave {command} to the platform[ in {project}]"),
    "outcome": EventText(_R, "check", "a command ended: {state}[ ({message})]"),
    "job.started": EventText(_R, "play", "{actor} started {key}[ in {project}]"),
    "job.stop-requested": EventText(_R, "stop", "{actor} stopped `{command}`[ in {project}]"),
    "job.ended": EventText(_R, "check", "a job ended[ in {project}]: {outcome}"),
    "access.read": EventText(_R, "search", "{actor} read {query}[ of {target}][ in {project}]"),
    "evaluation": EventText(_R, "search", "{actor} asked whether {subject} may {command}[ in {project}]"),
    "audit.read": EventText(_R, "search", "{actor} read the audit[ of {project}]"),
    "audit.exported": EventText(_C, "down", "{actor} exported the audit[ of {project}]"),
    "sync.listed": EventText(_R, "down", "{actor} listed the files of a worker"),
    "sync.downloaded": EventText(_R, "down", "{actor} downloaded the file {file}"),
    # the installation
    "audit.archived": EventText(_Y, "folder", "{actor} archived the oldest rows of the audit"),
    "catalog.adopted": EventText(_Y, "book", "the catalog[ {catalog}] was put in force"),
    "database.accepted": EventText(_Y, "warn", "{actor} accepted a database that was set back"),
    "database.backed-up": EventText(_Y, "folder", "{actor} made a backup"),
    "database.copied": EventText(_Y, "folder", "{actor} copied the database to another one"),
    "database.restored": EventText(_Y, "warn", "{actor} restored the database from a backup"),
    "key.published": EventText(_Y, "key", "{actor} published a key for {purpose}"),
    "key.signing": EventText(_Y, "key", "{actor} put a key for {purpose} into use"),
    "key.retired": EventText(_Y, "key", "{actor} retired a key for {purpose}"),
    "key.withdrawn": EventText(_Y, "key", "{actor} withdrew a key for {purpose}"),
    "keys.recovered": EventText(_Y, "key", "{actor} made new keys after the key-encryption key was lost"),
}
"""By the name of the event. ``decision`` has two texts, see `timeline.event_of`."""


class EventVariant(NamedTuple):
    """Another text of an event, where a field of its details has a certain value."""

    field: str
    value: object
    text: EventText


def _outcomes(event: str, texts: Mapping[str, tuple[EventKind, str, str]]) -> Mapping[str, tuple[EventVariant, ...]]:
    return {event: tuple(EventVariant("outcome", value, EventText(*text)) for value, text in texts.items())}


EVENT_VARIANTS: Mapping[str, tuple[EventVariant, ...]] = {
    "role.granted": (
        EventVariant("creator", True, EventText(_C, "plus", "{target} became {role} of {scope}, as its creator")),
        EventVariant(
            "mapped", True, EventText(_C, "plus", "{target} got {role} in {scope} by a mapping rule[ until {until}]")
        ),
        EventVariant(
            "changed",
            True,
            EventText(
                _C, "clock", "{actor} changed the end of {role} for {target} in {scope} from {former-until} to {until}"
            ),
        ),
    ),
    "limit.set": (
        EventVariant(
            "value", None, EventText(_C, "swap", "{actor} removed the limit {limit} for {identity} in {scope}")
        ),
        EventVariant(
            "before", None, EventText(_C, "swap", "{actor} set the limit {limit} for {identity} in {scope} to {value}")
        ),
    ),
    "role.revoked": (
        EventVariant("mapped", True, EventText(_C, "minus", "{target} lost {role} in {scope}: no rule gives it now")),
    ),
    "group.default": (
        EventVariant("default", True, EventText(_C, "group", "{actor} lets every new user join {group}")),
        EventVariant("default", False, EventText(_C, "group", "{actor} lets new users join {group} no more")),
    ),
    "project.listed": (
        EventVariant("listed", True, EventText(_C, "folder", "{actor} opened {project} to requests of everyone")),
        EventVariant("listed", False, EventText(_C, "folder", "{actor} hid {project} from those without a role in it")),
    ),
    "service-account.active": (
        EventVariant("active", True, EventText(_C, "gear", "{actor} switched {account} on")),
        EventVariant("active", False, EventText(_C, "gear", "{actor} switched {account} off")),
    ),
    "session.project": (
        EventVariant("to", None, EventText(_S, "swap", "a session lost its project {project}[: {why}]")),
    ),
    **_outcomes(
        "login",
        {
            "admitted": (_L, "key", "{user} signed in[ at the hub {hub}][ by {provider}]"),
            "not-registered": (_L, "cross", "someone signed in[ by {provider}] who is not registered"),
            "locked": (_L, "stop", "{user} was not let in[ by {provider}]: stopped"),
            "not-active": (_L, "cross", "{user} was not let in[ by {provider}]: not activated"),
            "name-taken": (_L, "cross", "someone else with the name of {user} signed in[ by {provider}]: not let in"),
        },
    ),
    **_outcomes(
        "login.refreshed",
        {
            "admitted": (_R, "refresh", "{provider} still knows {user}"),
            "not-registered": (_R, "cross", "{user} is not registered any more"),
            "locked": (_R, "stop", "{user} was signed out: stopped"),
            "not-active": (_R, "cross", "{user} was signed out: not activated"),
            "name-taken": (_R, "cross", "{user} was signed out: the name belongs to someone else"),
        },
    ),
}
"""By the name of the event; the first that fits is taken instead of its text in `EVENT_TEXTS`."""

ALLOWED_DECISION = EventText(_R, "check", "{actor} ran {command}[ in {project}]")
ALLOWED_REQUEST = EventText(_R, "check", "{actor} used {permission}[ in {project}]")
REFUSED_DECISION = EventText(EventKind.REFUSAL, "cross", "{actor} was refused {command}[ in {project}]")
REFUSED_REQUEST = EventText(EventKind.REFUSAL, "cross", "{actor} was refused {permission}[ in {project}]")
REFUSED_EVENT = EventText(EventKind.REFUSAL, "cross", "{actor} was refused[: {sentence}]")
UNKNOWN_EVENT = EventText(_Y, "info", "{actor}: {event}")

KIND_EVENTS: Mapping[EventKind, frozenset[str]] = {
    kind: frozenset(name for name, text in EVENT_TEXTS.items() if text.kind is kind) for kind in EventKind
}
