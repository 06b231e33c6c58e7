"""Delegation: what the actor may grant and revoke, by their rights at the start of the operation (R66-R68, T-04)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aizen_hub.authorization import checks
from aizen_hub.authorization.queries import access_queries
from aizen_hub.problems import Escalation, Fault
from aizen_hub.rbac import escalation, messages
from aizen_hub.rbac.escalation import MissingRight
from aizen_hub.rbac.identity import Identity, IdentityKind
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import Role

if TYPE_CHECKING:
    from aizen_hub.store.transaction import WriteTransaction


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
    def of_actor(cls, tx: WriteTransaction) -> GrantAuthority:
        """Return the authority of the transaction's actor; raises Denied for one who is impersonated or inactive."""
        if checks.is_operator(tx):
            return cls(None, frozenset())
        checks.forbid_impersonation(tx)
        return cls(checks.actor_rights(tx), checks.controlled_identities(tx, tx.actor.identity))

    def missing_to_grant(
        self, tx: WriteTransaction, role: Role, scope: str, grantee: Identity, *, in_file: bool = False
    ) -> tuple[MissingRight, ...]:
        """Return the rights that are missing to grant the role; none for the operator."""
        if self.rights is None:
            return ()
        return escalation.missing_to_grant(
            self.rights, role, scope, grantee, tx.now, in_file=in_file, controlled=self.controlled
        )

    def missing_to_revoke(
        self,
        tx: WriteTransaction,
        role: Role,
        scope: str,
        holder: Identity,
        *,
        in_file: bool = False,
        creator: bool = False,
    ) -> tuple[MissingRight, ...]:
        """Return the rights that are missing to revoke the role.

        Parameters
        ----------
        creator : bool
            The assignment is the automatic role of a project's creator.
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
        )


def escalation_error(
    tx: WriteTransaction, verb: str, role: str, scope: str, missing: tuple[MissingRight, ...], grantee: Identity
) -> Escalation:
    """Return the error for a grant or revocation, with the missing rights and the users who could grant."""
    preposition = "to" if verb == "grant" else "from"
    grantors = access_queries.who_can_grant(tx, role, scope) if verb == "grant" else ()
    # The grantee is left out: no user grants a role to themselves.
    grantors = tuple(name for name in grantors if name != grantee.name or grantee.kind is not IdentityKind.USER)
    return Escalation(
        f"you cannot {verb} {role} in {messages.describe_scope(scope)} {preposition} `{grantee.name}`: "
        f"{join_missing(missing)}",
        remedy=f"ask {', '.join(grantors)}" if grantors else None,
        extensions={"missing": missing_list(missing), "who_can_grant": list(grantors)},
    )


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
