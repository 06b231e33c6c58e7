"""What the actor may give and take, judged on what they held when the operation began (R66-R68, T-04)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aizen_hub.authorization import checks as gate
from aizen_hub.authorization.queries import access_queries as questions
from aizen_hub.problems import Escalation, Fault
from aizen_hub.rbac import escalation
from aizen_hub.rbac import messages as sentence
from aizen_hub.rbac.escalation import Missing
from aizen_hub.rbac.identity import Identity, Kind
from aizen_hub.rbac.rights import Rights
from aizen_hub.rbac.role import Role

if TYPE_CHECKING:
    from aizen_hub.store.transaction import Write


@dataclass(frozen=True, slots=True)
class Giver:
    """A snapshot of the actor's power to grant.

    Taken once per operation: nothing that a bulk file gives counts for its later lines, and nothing it takes from the
    actor stops them.
    """

    rights: Rights | None
    own: frozenset[Identity]

    @classmethod
    def of(cls, tx: Write) -> Giver:
        """Take the snapshot; the operator's road is above roles."""
        if gate.above_roles(tx):
            return cls(None, frozenset())
        gate.in_person(tx)
        return cls(gate.rights(tx), gate.own_identities(tx, tx.actor.identity))

    def missing_to_give(
        self, tx: Write, role: Role, scope: str, to: Identity, *, in_file: bool = False
    ) -> tuple[Missing, ...]:
        """Return what is missing to give the role; nothing for the operator."""
        if self.rights is None:
            return ()
        return escalation.may_give(self.rights, role, scope, to, tx.now, in_file=in_file, own=self.own)

    def missing_to_take(
        self, tx: Write, role: Role, scope: str, holder: Identity, *, in_file: bool = False, creator: bool = False
    ) -> tuple[Missing, ...]:
        """Return what is missing to take the role; ``creator`` marks the automatic role of a project's creator."""
        if self.rights is None:
            return ()
        return escalation.may_take(
            self.rights,
            role,
            scope,
            holder,
            tx.now,
            in_file=in_file,
            own=self.own,
            creator=creator,
            removers=tx.catalog.creator_role_removers,
        )


def refuse(tx: Write, verb: str, role: str, scope: str, missing: tuple[Missing, ...], whom: Identity) -> Escalation:
    """Return the refusal to grant or revoke, with what is missing and who could."""
    preposition = "to" if verb == "grant" else "from"
    able = questions.who_can_give(tx, role, scope) if verb == "grant" else ()
    # Nobody gives to themselves, so the receiver is no help.
    able = tuple(one for one in able if one != whom.name or whom.kind is not Kind.USER)
    return Escalation(
        f"you may not {verb} {role} in {sentence.place(scope)} {preposition} `{whom.name}`: {sentences(missing)}",
        remedy=f"ask {', '.join(able)}" if able else None,
        more={"missing": words(missing), "who_can_grant": list(able)},
    )


def refuse_file(faults: Sequence[Fault], lacking: Iterable[str]) -> None:
    """Refuse a file, if it gives or takes what the actor may not, with every place and all that is missing."""
    if faults:
        raise Escalation(
            "the file gives or takes roles that you may not give or take, so nothing was changed",
            faults=faults,
            more={"missing": sorted(lacking)},
        )


def sentences(missing: Iterable[Missing], at_most: int = 5) -> str:
    """Return what is missing as one bounded phrase."""
    found = [one.sentence for one in missing]
    return "; ".join(found[:at_most]) + (f"; and {len(found) - at_most} more" if len(found) > at_most else "")


def words(missing: Iterable[Missing]) -> list[str]:
    return list(dict.fromkeys(one.sentence for one in missing))
