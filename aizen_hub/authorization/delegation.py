"""Delegation: what the actor may grant and revoke, by their rights at the start of the operation (R66-R68, T-04)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries.grantors import who_can_grant, who_can_revoke
from aizen_hub.problems import Escalation, Fault
from aizen_hub.rbac import escalation, messages
from aizen_hub.rbac.default_denials import any_covers
from aizen_hub.rbac.escalation import MissingRight, MissingRightKind
from aizen_hub.rbac.granting_roles import roles_that_can_grant
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.permission import Permission
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import SYSTEM, Role
from aizen_hub.wording import Wording

if TYPE_CHECKING:
    from aizen_hub.store.transaction import ActorTransaction, ReadTransaction


@dataclass(frozen=True, slots=True)
class GrantAuthority:
    """A snapshot of what the actor may grant and revoke.

    Taken once per operation: what a bulk file grants to the actor or revokes from them does not change the checks of
    its later lines.

    Attributes
    ----------
    rights : Rights or None
        None for the operator, who needs no role.
    controlled : frozenset of Identity
        Identities through which a grant would come back to the actor (`checks.controlled_identities`).
    """

    rights: Rights | None
    controlled: frozenset[Identity]

    @classmethod
    def of_actor(cls, tx: ActorTransaction) -> GrantAuthority:
        """Return the authority of the transaction's actor; raises Denied for one who is impersonated or inactive."""
        if checks.is_operator(tx):
            return cls(None, frozenset())
        checks.forbid_impersonation(tx)
        return cls(checks.actor_rights(tx), checks.controlled_identities(tx, tx.actor.identity))

    def missing_to_grant(
        self,
        tx: ReadTransaction,
        role: Role,
        scope: str,
        grantee: Identity,
        *,
        in_file: bool = False,
        ends: datetime | None = None,
    ) -> tuple[MissingRight, ...]:
        """Return the rights that are missing to grant the role until ``ends``; none for the operator."""
        if self.rights is None:
            return ()
        return escalation.missing_to_grant(
            self.rights,
            role,
            scope,
            grantee,
            tx.now,
            in_file=in_file,
            controlled=self.controlled,
            ends=ends,
            recipient_limits=tx.rights(grantee).limits if grantee in self.controlled else (),
        )

    def missing_to_revoke(
        self,
        tx: ReadTransaction,
        role: Role,
        scope: str,
        holder: Identity,
        *,
        in_file: bool = False,
        creator: bool = False,
        deletes_holder: bool = False,
    ) -> tuple[MissingRight, ...]:
        """Return the rights that are missing to revoke the role.

        Parameters
        ----------
        creator : bool
            The assignment is the automatic role of a project's creator.
        deletes_holder : bool
            The holder is deleted with everything it has, which an archived project does not prevent.
        """
        if self.rights is None:
            return ()
        return escalation.missing_to_revoke(
            self.rights,
            role,
            scope,
            holder,
            tx.now,
            in_file=in_file,
            controlled=self.controlled,
            creator=creator,
            removers=tx.catalog.creator_role_removers,
            deletes_holder=deletes_holder,
        )


def escalation_error(
    tx: ActorTransaction, verb: str, role: str, scope: str, missing: tuple[MissingRight, ...], grantee: Identity
) -> Escalation:
    """Return the error for a grant or revocation, with the missing rights and the users who could grant."""
    preposition = "to" if verb == "grant" else "from"
    asking = (tx.actor.identity,)  # the actor cannot do it
    if verb == "grant":
        able = who_can_grant(tx, role, scope, recipient=grantee, besides=asking)
    else:
        creator = any(right.kind is MissingRightKind.CREATOR for right in missing)
        able = who_can_revoke(tx, role, scope, grantee, creator=creator, besides=asking)
    is_self_grant = any(right.kind in (MissingRightKind.SELF, MissingRightKind.SECOND_PERSON) for right in missing)
    first = self_grant_remedy(tx, role, scope) if verb == "grant" and not is_self_grant else None
    return Escalation(
        f"you cannot {verb} {role} in {messages.describe_scope(scope)} {preposition} `{grantee.name}`: "
        f"{join_missing(missing)}",
        remedy=first or (f"ask {format_names(able)}, who can {verb} it" if able else None),
        extensions={"missing": missing_list(missing), f"who_can_{verb}": list(able)},
    )


def format_names(names: Sequence[str], limit: int = 3) -> str:
    """Return the first names as a phrase: `ann`, `bob` or `cid`."""
    quoted = [f"`{name}`" for name in names[:limit]]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def self_grant_remedy(tx: ActorTransaction, role: str, scope: str) -> Wording | None:
    """Return the remedy that the actor first takes a role whose holders may grant ``role``; None if there is none."""
    target, member_permissions = tx.roles[role], tx.catalog.member_permissions
    return _role_to_take_first(
        tx,
        lambda candidate: bool(
            roles_that_can_grant(target, scope, {candidate.name: candidate}, member_permissions, tx.now)
        ),
    )


def self_grant_remedy_for(tx: ActorTransaction, permissions: Iterable[str]) -> Wording | None:
    """Return the remedy that the actor first takes a role with these permissions; None if there is none."""
    required = [Permission.parse(permission) for permission in permissions]
    return _role_to_take_first(
        tx, lambda candidate: all(any_covers(candidate.permissions, permission) for permission in required)
    )


def _role_to_take_first(tx: ActorTransaction, helps: Callable[[Role], bool]) -> Wording | None:
    """Return a remedy with a system role that helps and that the actor may grant to themselves, if there is one."""
    if checks.is_operator(tx):
        return None
    held = checks.actor_rights(tx).held_roles
    roles = [tx.roles[entry.role] for entry in held if entry.scope == SYSTEM and entry.is_effective(tx.now)]
    for name in sorted({name for role in roles for name in role.can_grant_to_self} - {role.name for role in roles}):
        if helps(tx.roles[name]):
            me, first = tx.actor.identity.name, f"give yourself {name} first, which you may"
            by_cli = f"{first}: `aizen-hub grant {name} --to {me}`"
            return Wording(
                f"{first}: `{{grant_role}} {name} to {me}`",
                command_line=by_cli,
                web=f"{first}, on the page Give a role",
            )
    return None


def require_file_allowed(faults: Sequence[Fault], missing: Iterable[str]) -> None:
    """Raise Escalation with all faults and missing rights, if a file grants or revokes what the actor may not."""
    if faults:
        raise Escalation(
            "the file grants or revokes roles that you cannot grant or revoke; nothing was changed",
            faults=faults,
            extensions={"missing": sorted(missing)},
        )


def join_missing(missing: Iterable[MissingRight], limit: int = 5) -> str:
    """Return the first ``limit`` missing rights as one phrase, and how many more there are."""
    sentences = [right.sentence for right in missing]
    return "; ".join(sentences[:limit]) + (f"; and {len(sentences) - limit} more" if len(sentences) > limit else "")


def missing_list(missing: Iterable[MissingRight]) -> list[str]:
    """Return the sentence of each missing right, without duplicates."""
    return list(dict.fromkeys(right.sentence for right in missing))
