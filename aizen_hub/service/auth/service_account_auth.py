"""Authentication of service accounts: their credentials, and the keys and networks these are bound to."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime

from aiohttp.web import BaseRequest

from aizen_hub.accounts.audit_quota import AuditQuotas
from aizen_hub.accounts.service_accounts import credentials, dpop_replay
from aizen_hub.accounts.service_accounts.credentials import CredentialRecord
from aizen_hub.problems import NotAuthenticated, TooManyRequests
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.auth.rate_limits import TokenBuckets
from aizen_hub.service.http.request_parsing import raw_path
from aizen_hub.service.runtime.async_store import AsyncStore
from aizen_hub.service.runtime.metrics import Metrics
from aizen_hub.settings import RateSettings
from aizen_hub.store.actor import Actor, Channel
from aizen_hub.store.transaction import WriteTransaction, make_audit_record
from aizen_hub.tokens import dpop
from aizen_hub.tokens.dpop import DpopProof, ProofError, ProofErrorCode
from aizen_hub.tokens.opaque_token import hash_credential

REFUSED_EVENT = "credential.refused"
AUDIT_BURST = 10
AUDIT_ROWS_PER_SECOND = 1 / 60
"""Audit rows about one credential that is sent without what it is bound to; the next row counts those left out."""
MAX_USED_CREDENTIALS = 1000
MAX_KNOWN_CREDENTIALS = 10_000
"""Of which the account is remembered (R127); the least recently used is forgotten first."""


class PresentedCredential:
    """A credential as it was sent, with its DPoP proof, which is matched once the account is known.

    Attributes
    ----------
    proof : DpopProof, ProofError or None
        None where the scheme is ``Bearer``.
    hash : str
        Of the credential, as the store has it.
    cache_key : str
        Identifies the credential in the throttle's memory of valid ones; with a proof it includes the key's
        thumbprint, so that only the holder of the key can match it.
    """

    def __init__(self, token: str, proof: DpopProof | ProofError | None) -> None:
        self.token, self.proof, self.hash = token, proof, hash_credential(token)
        self.cache_key = f"{token} {proof.thumbprint}" if isinstance(proof, DpopProof) else token

    @classmethod
    def from_request(cls, request: BaseRequest, token: str, root: str) -> PresentedCredential:
        """Read credential and proof from a request.

        Parameters
        ----------
        root : str
            The service's own root address, from the settings: a request's own host can be chosen by a proxy.
        """
        if not uses_dpop(request.headers["Authorization"]):
            return cls(token, None)
        proofs = request.headers.getall("DPoP", ())
        try:
            if len(proofs) != 1:
                raise ProofError(ProofErrorCode.MISSING, "there must be one proof, in one `DPoP` header")
            return cls(
                token,
                dpop.verify_proof(
                    proofs[0],
                    method=request.method,
                    address=root + raw_path(request),
                    credential=token,
                    now=datetime.now(UTC),
                ),
            )
        except ProofError as error:
            return cls(token, error)


def uses_dpop(authorization: str) -> bool:
    """Return whether an ``Authorization`` header uses the DPoP scheme (RFC 9449)."""
    return authorization.partition(" ")[0].lower() == dpop.SCHEME.lower()


class ServiceAccountAuthenticator:
    """Authenticates service accounts.

    Parameters
    ----------
    rate : RateSettings
    store : AsyncStore
    metrics : Metrics

    Attributes
    ----------
    used_credentials : set of str
        Credentials that were used since the last `take_used_credentials`; bounded.
    """

    def __init__(self, rate: RateSettings, store: AsyncStore, metrics: Metrics) -> None:
        self._store, self._metrics = store, metrics
        self.used_credentials: set[str] = set()
        self._known: OrderedDict[str, CredentialRecord] = OrderedDict()
        # A proof costs a write before the account's own rate limit applies, so proofs have a limit of their own.
        self._proof_rate = TokenBuckets(rate.requests_per_second, rate.burst)
        self._audit_quotas = AuditQuotas(AUDIT_BURST, AUDIT_ROWS_PER_SECOND)

    async def authenticate(self, presented: PresentedCredential, source: str) -> Actor:
        """Return the service account that a credential belongs to.

        Raises
        ------
        NotAuthenticated
            The credential is invalid; or it is valid, but came from a wrong network or without a valid proof, which
            the audit records.
        TooManyRequests
            More proofs than the account may send requests.
        """
        record = await self.find_credential(presented.token)
        if record is None:
            self.forget(presented.hash)
            raise NotAuthenticated("the credential is unknown, expired or withdrawn", extensions={"code": "unknown"})
        actor = Actor(Identity.service_account(record.account), Channel.SERVICE_ACCOUNT, source=source)
        try:
            proof = _check_binding(record, presented, source)
            if proof is not None:
                await self._mark_proof_used(record, proof)
        except NotAuthenticated as problem:
            await self._record_refusal(record, actor, problem)
            raise
        self._note_used(presented.token)
        self._known[presented.hash] = record
        if len(self._known) > MAX_KNOWN_CREDENTIALS:
            self._known.popitem(last=False)
        return actor

    def recall(self, presented: PresentedCredential, source: str) -> Actor | None:
        """Return the account of a credential that was valid before, without a look-up: the caller checks it later.

        None where it is unknown here, was sent with a proof, or is sent without what it is bound to.
        """
        record = self._known.get(presented.hash)
        if record is None or record.binding.key is not None or presented.proof is not None:
            return None
        if not record.binding.allows_source(source):
            return None
        self._known.move_to_end(presented.hash)
        self._note_used(presented.token)
        return Actor(Identity.service_account(record.account), Channel.SERVICE_ACCOUNT, source=source)

    def forget(self, credential_hash: str) -> None:
        """Look a credential up the next time it is sent, since it was refused."""
        self._known.pop(credential_hash, None)

    async def find_credential(self, token: str) -> CredentialRecord | None:
        """Return the record of a credential that is valid now; None for any other token."""
        return await self._store.read(lambda tx: credentials.authenticate_credential(tx, token))

    def take_used_credentials(self) -> set[str]:
        """Return the credentials that were used since the last call."""
        used, self.used_credentials = self.used_credentials, set()
        return used

    def _note_used(self, token: str) -> None:
        if len(self.used_credentials) < MAX_USED_CREDENTIALS:
            self.used_credentials.add(token)

    async def _mark_proof_used(self, record: CredentialRecord, proof: DpopProof) -> None:
        wait = self._proof_rate.take(record.account)
        if wait:
            self._metrics.count_limited("proofs")
            raise TooManyRequests(
                "too many requests from this identity",
                extensions={"retry_after": max(1, round(wait + 0.5))},
                remedy="wait and send fewer at a time",
            )

        def mark(tx: WriteTransaction) -> bool:
            return dpop_replay.mark_proof_used(tx, proof.thumbprint, proof.id, proof.expires_at)

        actor = Actor(Identity.service_account(record.account), Channel.SERVICE_ACCOUNT)
        if not await self._store.write(actor, mark):
            raise ProofError(ProofErrorCode.REPLAYED, "this proof was used before")

    async def _record_refusal(self, record: CredentialRecord, actor: Actor, problem: NotAuthenticated) -> None:
        # Shows the account's owner that its credential may be stolen. Limited, since a thief could cause many rows.
        now = datetime.now(UTC)
        left_out = self._audit_quotas.acquire(str(record.credential_id), now)
        if left_out is None:
            return
        row = make_audit_record(
            actor, REFUSED_EVENT, now, allowed=False, reason=str(problem.extensions["code"]), sentence=problem.detail,
            credential=record.credential_id, left_out=left_out,
        )  # fmt: skip
        await self._store.append_audit([row])


def _check_binding(record: CredentialRecord, presented: PresentedCredential, source: str) -> DpopProof | None:
    if not record.binding.allows_source(source):
        raise NotAuthenticated(
            "this credential is not valid from this network address",
            remedy="send it from a network it was issued for, or have a credential issued for your network",
            extensions={"code": "wrong-network"},
        )
    key, proof = record.binding.key, presented.proof
    if key is None:
        if proof is not None:
            raise ProofError(
                ProofErrorCode.NOT_BOUND, "the credential is not bound to a key, so a proof is not accepted"
            )
        return None
    if proof is None:
        raise ProofError(ProofErrorCode.MISSING, "the credential is bound to a key, but no proof was sent")
    if isinstance(proof, ProofError):
        raise proof
    proof.require_key(key)
    return proof
