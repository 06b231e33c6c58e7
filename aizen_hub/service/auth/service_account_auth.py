"""Programs with a credential of a service account: which account it is, and whether they show what it is bound to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aizen_hub.accounts.audit_quota import Rations
from aizen_hub.accounts.service_accounts import dpop_replay as proofs
from aizen_hub.problems import NotAuthenticated, TooMany
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.rate_limits import Buckets
from aizen_hub.service.http.request import Request
from aizen_hub.store.actor import Actor, Road
from aizen_hub.store.transaction import Write, make_row
from aizen_hub.tokens import dpop
from aizen_hub.tokens.dpop import Proof, ProofFault, ProofRefused

if TYPE_CHECKING:
    from aizen_hub.accounts.service_accounts.service_accounts import Held
    from aizen_hub.service.context import House

EVENT = "credential.refused"
BURST = 10
PER_SECOND = 1 / 60
"""Rows about one credential that is shown without what it is bound to; the next row says how many were left out."""


class Presented:
    """A credential as it came, with the proof beside it, which is read here and judged when the account is known.

    Attributes
    ----------
    proof : Proof, ProofRefused or None
        None where the scheme is ``Bearer``.
    mark : str
        What this is remembered by once it was good: of a proven one nobody has it who has not the key.
    """

    def __init__(self, token: str, proof: Proof | ProofRefused | None) -> None:
        self.token, self.proof = token, proof
        self.mark = f"{token} {proof.thumbprint}" if isinstance(proof, Proof) else token

    @classmethod
    def of(cls, request: Request, token: str, root: str) -> Presented:
        """Read it off a request.

        Parameters
        ----------
        root : str
            The service's own root address: what the request itself says of it, whoever sends it on may have chosen.
        """
        if not speaks_dpop(request.headers["Authorization"]):
            return cls(token, None)
        sent = request.headers.getall("DPoP", ())
        try:
            if len(sent) != 1:
                raise ProofRefused(ProofFault.MISSING, "there must be one proof, in one `DPoP` header")
            return cls(
                token,
                dpop.read(
                    sent[0],
                    method=request.method,
                    address=root + request.path,
                    credential=token,
                    now=datetime.now(UTC),
                ),
            )
        except ProofRefused as refused:
            return cls(token, refused)


def speaks_dpop(authorization: str) -> bool:
    """Tell whether a credential comes as one that is proven."""
    return authorization.partition(" ")[0].lower() == dpop.SCHEME.lower()


class Machines:
    """Proves service accounts.

    Parameters
    ----------
    house : House
    """

    def __init__(self, house: House) -> None:
        self._house = house
        rate = house.settings.rate
        # A proof costs a write before the limits of its account are asked, so those who send too many wait here.
        self._proving = Buckets(rate.requests_per_second, rate.burst)
        self._rations = Rations(BURST, PER_SECOND)

    async def identify(self, presented: Presented, source: str) -> Actor:
        """Return the service account behind a credential.

        Raises
        ------
        NotAuthenticated
            It is not valid; or it is, and came from elsewhere or without a good proof, which is recorded.
        TooMany
            More proofs than the account may have requests.
        """
        house = self._house
        held = await house.service_account_of(presented.token)
        if held is None:
            raise NotAuthenticated("the credential is unknown, expired or withdrawn", more={"code": "unknown"})
        actor = Actor(Identity.service_account(held.account), Road.SERVICE_ACCOUNT, source=source)
        try:
            proof = _met(held, presented, source)
            if proof is not None:
                await self._spend(held, proof)
        except NotAuthenticated as problem:
            await self._record(held, actor, problem)
            raise
        house.note_used(presented.token)
        return actor

    async def _spend(self, held: Held, proof: Proof) -> None:
        wait = self._proving.take(held.account)
        if wait:
            self._house.metrics.limited("proofs")
            raise TooMany(
                "too many requests from this identity",
                more={"retry_after": max(1, round(wait + 0.5))},
                remedy="wait and send fewer at a time",
            )

        def work(tx: Write) -> bool:
            return proofs.spend(tx, proof.thumbprint, proof.id, proof.expires)

        if not await self._house.change(Actor(Identity.service_account(held.account), Road.SERVICE_ACCOUNT), work):
            raise ProofRefused(ProofFault.REPLAYED, "this proof was used before")

    async def _record(self, held: Held, actor: Actor, problem: NotAuthenticated) -> None:
        # Whoever is behind the account may want to know that its credential is in other hands; but rows cost, and
        # whoever holds it could cause any number of them.
        now = datetime.now(UTC)
        left_out = self._rations.take(str(held.number), now)
        if left_out is None:
            return
        code, store = str(problem.more["code"]), self._house.store
        row = make_row(
            actor, EVENT, now, allowed=False, reason=code, sentence=problem.detail,
            credential=held.number, left_out=left_out,
        )  # fmt: skip
        await self._house.pools.writes.run(lambda: store.record([row]))


def _met(held: Held, presented: Presented, source: str) -> Proof | None:
    if not held.binding.reaches(source):
        raise NotAuthenticated(
            "this credential is not good from this network address",
            remedy="send it from where it was made for, or let a credential be made for your network",
            more={"code": "wrong-network"},
        )
    key, proof = held.binding.key, presented.proof
    if key is None:
        if proof is not None:
            raise ProofRefused(ProofFault.NOT_BOUND, "the credential is bound to no key, so nothing can be proven")
        return None
    if proof is None:
        raise ProofRefused(ProofFault.MISSING, "the credential is bound to a key, and comes without a proof")
    if isinstance(proof, ProofRefused):
        raise proof
    proof.need_key(key)
    return proof
