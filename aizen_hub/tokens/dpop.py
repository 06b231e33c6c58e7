"""Proofs that a caller holds the private half of a key: DPoP (RFC 9449), in its exact form and nothing besides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.problems import NotAuthenticated, Problem
from aizen_hub.tokens.jwk import ALGORITHMS, PublicJwk, decode
from aizen_hub.tokens.keys import SKEW, encode
from aizen_hub.tokens.opaque_token import same
from aizen_hub.validation import strict_json

TYPE = "dpop+jwt"
SCHEME = "DPoP"
GOOD_FOR = timedelta(seconds=60)
"""How old a proof may be."""
MAX_BYTES = 8 * 1024
SUPPORTED = tuple(sorted(ALGORITHMS.values()))
"""For documents that say what is supported (RFC 9449, 5.1)."""
_HEADER = frozenset({"typ", "alg", "jwk"})
_CLAIMS = frozenset({"jti", "htm", "htu", "iat", "ath"})
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ID = re.compile(r"[!-~]{1,200}")
_ADDRESS = re.compile(r"[!-~]{1,6000}")
_LAST_INSTANT = 253_402_300_799
_PORTS = {"http": 80, "https": 443}


class ProofFault(StrEnum):
    """Why a proof, or a credential without one, was refused; stable, part of the API as the problem's ``code``."""

    MISSING = "proof-missing"
    MALFORMED = "proof-malformed"
    BAD_SIGNATURE = "proof-bad-signature"
    BAD_CLAIMS = "proof-bad-claims"
    WRONG_REQUEST = "proof-wrong-request"
    WRONG_TIME = "proof-wrong-time"
    WRONG_CREDENTIAL = "proof-wrong-credential"
    WRONG_KEY = "proof-wrong-key"
    REPLAYED = "proof-replayed"
    NOT_BOUND = "not-bound"


_ABOUT_THE_CREDENTIAL = frozenset({ProofFault.MISSING, ProofFault.WRONG_KEY, ProofFault.NOT_BOUND})
_REMEDIES = {
    ProofFault.MISSING: "send `Authorization: DPoP …` and a `DPoP` header with a proof by the credential's key",
    ProofFault.WRONG_REQUEST: "make the proof for this method and for the service's own address, without the query",
    ProofFault.WRONG_TIME: "make a proof for every request when it is sent, by a clock that is right",
    ProofFault.REPLAYED: "make a new proof, with its own `jti`, for every request",
    ProofFault.NOT_BOUND: "send `Authorization: Bearer …`, or let a credential be made for your key",
}


class ProofRefused(NotAuthenticated):
    """A proof that is not accepted; the sentence never holds a part of it (R98)."""

    def __init__(self, fault: ProofFault, detail: str) -> None:
        super().__init__(detail, remedy=_REMEDIES.get(fault), more={"code": fault.value})
        self.fault = fault
        error = "invalid_token" if fault in _ABOUT_THE_CREDENTIAL else "invalid_dpop_proof"
        self.challenge = (
            f'{SCHEME} realm="aizen", error="{error}", error_description="{detail}", algs="{" ".join(SUPPORTED)}"'
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """A good proof: somebody held this key, at this time, when they made this request with this credential.

    Attributes
    ----------
    thumbprint : str
        Of the key that the proof itself names: whether it is the right one, its reader must judge.
    id : str
        ``jti``; whether it came before, its reader must judge too.
    issued_at : datetime
    """

    thumbprint: str
    id: str
    issued_at: datetime

    @property
    def expires(self) -> datetime:
        """From when on the proof is too old for every replica, whose clocks may differ."""
        return self.issued_at + GOOD_FOR + SKEW

    def need_key(self, thumbprint: str) -> None:
        """Refuse unless the proof was made with the key of this thumbprint.

        Raises
        ------
        ProofRefused
        """
        if not same(self.thumbprint, thumbprint):
            raise ProofRefused(ProofFault.WRONG_KEY, "the proof was made with another key than the credential's")


def read(text: str, *, method: str, address: str, credential: str, now: datetime) -> Proof:
    """Check a proof as RFC 9449, 4.3 says, apart from its key and its being used once.

    Parameters
    ----------
    text : str
        The value of the ``DPoP`` header.
    method, address : str
        Of the request; the address as we know it ourselves and not as the request says, without a query.
    credential : str
        The opaque text that was sent with it.
    now : datetime

    Raises
    ------
    ProofRefused
    """
    if len(text) > MAX_BYTES:
        raise ProofRefused(ProofFault.MALFORMED, f"the proof has more than {MAX_BYTES} bytes")
    form = _FORM.fullmatch(text)
    if form is None:
        raise ProofRefused(ProofFault.MALFORMED, "the proof is not a signed JWT in compact form")
    header_bytes, payload, signature = (_bytes(part) for part in form.groups())
    key = _key(_object(header_bytes, "header"))
    if not key.verifies(signature, text.rpartition(".")[0].encode("ascii")):
        raise ProofRefused(ProofFault.BAD_SIGNATURE, "the signature of the proof is wrong")
    return _judge(_object(payload, "payload"), key, method, address, credential, now)


def _key(header: Mapping[str, Any]) -> PublicJwk:
    if header.keys() != _HEADER:
        raise ProofRefused(ProofFault.MALFORMED, "the header of the proof must hold exactly `typ`, `alg` and `jwk`")
    if header["typ"] != TYPE:
        raise ProofRefused(ProofFault.MALFORMED, f"the proof is not of the type `{TYPE}`")
    if not isinstance(header["jwk"], dict):
        raise ProofRefused(ProofFault.MALFORMED, "the key of the proof is not a JSON object")
    try:
        key = PublicJwk.read(header["jwk"])
    except ValueError as error:
        raise ProofRefused(ProofFault.MALFORMED, f"the proof cannot be used: {error}") from None
    if header["alg"] != key.algorithm:
        raise ProofRefused(ProofFault.MALFORMED, f"the algorithm of a proof by this key is `{key.algorithm}`")
    return key


def _judge(
    claims: Mapping[str, Any], key: PublicJwk, method: str, address: str, credential: str, now: datetime
) -> Proof:
    if claims.keys() != _CLAIMS:
        raise ProofRefused(ProofFault.BAD_CLAIMS, f"a proof holds exactly the claims {', '.join(sorted(_CLAIMS))}")
    for name, value in claims.items():
        if type(value) is not (int if name == "iat" else str):  # exactly: True is an int for isinstance
            raise ProofRefused(ProofFault.BAD_CLAIMS, f"the claim `{name}` of the proof is not of its type")
    if not _ID.fullmatch(claims["jti"]):
        raise ProofRefused(ProofFault.BAD_CLAIMS, "the claim `jti` of the proof is not 1 to 200 visible characters")
    if claims["htm"] != method or not _same_address(claims["htu"], address):
        raise ProofRefused(ProofFault.WRONG_REQUEST, "the proof was made for another request")
    if not same(claims["ath"], encode(hashlib.sha256(credential.encode()).digest())):
        raise ProofRefused(ProofFault.WRONG_CREDENTIAL, "the proof was made for another credential")
    if not 0 <= claims["iat"] <= _LAST_INSTANT:
        raise ProofRefused(ProofFault.BAD_CLAIMS, "the claim `iat` of the proof is no time")
    issued = datetime.fromtimestamp(claims["iat"], UTC)
    if not now - GOOD_FOR <= issued <= now + SKEW:
        raise ProofRefused(ProofFault.WRONG_TIME, "the proof is too old, or its time has not come")
    return Proof(key.thumbprint, claims["jti"], issued)


def _same_address(said: str, own: str) -> bool:
    # Only what names the same place in another spelling is put right: a scheme or host in capitals, a port that goes
    # without saying (RFC 9449, 4.3; RFC 3986, 6.2.2 and 6.2.3). The path is compared as it was sent.
    if said == own:
        return True
    left, right = _parts(said), _parts(own)
    return left is not None and left == right


def _parts(address: str) -> tuple[str, str, int | None, str] | None:
    if not _ADDRESS.fullmatch(address) or any(mark in address for mark in "?#@\\"):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme) if port is None else port, parts.path or "/"


def _bytes(part: str) -> bytes:
    try:
        return decode(part)
    except ValueError as error:
        raise ProofRefused(ProofFault.MALFORMED, f"the proof is {error}") from None


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(data, max_bytes=MAX_BYTES, max_depth=3, max_keys=32)
    except Problem:
        # The reader's own sentence may quote the input.
        raise ProofRefused(ProofFault.MALFORMED, f"the {what} of the proof is not strict JSON") from None
    if not isinstance(value, dict):
        raise ProofRefused(ProofFault.MALFORMED, f"the {what} of the proof is not a JSON object")
    return value
