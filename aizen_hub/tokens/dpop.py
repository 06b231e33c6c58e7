"""Strict verification of DPoP proofs: the client has the private key of its credential (RFC 9449)."""

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
from aizen_hub.tokens.jwk import ALGORITHMS, PublicJwk, base64url_decode
from aizen_hub.tokens.keys import CLOCK_SKEW, base64url_encode
from aizen_hub.tokens.opaque_token import constant_time_equals
from aizen_hub.validation import strict_json

TYPE = "dpop+jwt"
SCHEME = "DPoP"
MAX_AGE = timedelta(seconds=60)
"""Maximum age of a proof."""
MAX_BYTES = 8 * 1024
SUPPORTED = tuple(sorted(ALGORITHMS.values()))
"""Algorithm names for server metadata (RFC 9449, 5.1)."""
_HEADER = frozenset({"typ", "alg", "jwk"})
_CLAIMS = frozenset({"jti", "htm", "htu", "iat", "ath"})
_COMPACT_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ID = re.compile(r"[!-~]{1,200}")
_ADDRESS = re.compile(r"[!-~]{1,6000}")
_LAST_INSTANT = 253_402_300_799
_PORTS = {"http": 80, "https": 443}


class ProofErrorCode(StrEnum):
    """Why a proof, or a credential without one, is refused; stable, part of the API as the problem's ``code``."""

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


_CREDENTIAL_ERRORS = frozenset({ProofErrorCode.MISSING, ProofErrorCode.WRONG_KEY, ProofErrorCode.NOT_BOUND})
_REMEDIES = {
    ProofErrorCode.MISSING: "send `Authorization: DPoP …` and a `DPoP` header with a proof by the credential's key",
    ProofErrorCode.WRONG_REQUEST: "create the proof for this method and for the service's own URL, without the query",
    ProofErrorCode.WRONG_TIME: "create a proof for every request when it is sent, with a correct clock",
    ProofErrorCode.REPLAYED: "create a new proof, with its own `jti`, for every request",
    ProofErrorCode.NOT_BOUND: "send `Authorization: Bearer …`, or have a credential issued for your key",
}


class ProofError(NotAuthenticated):
    """A proof that is not accepted; the message never contains a part of it (R98)."""

    def __init__(self, fault: ProofErrorCode, detail: str) -> None:
        super().__init__(detail, remedy=_REMEDIES.get(fault), extensions={"code": fault.value})
        self.error_code = fault
        error = "invalid_token" if fault in _CREDENTIAL_ERRORS else "invalid_dpop_proof"
        self.challenge = (
            f'{SCHEME} realm="aizen", error="{error}", error_description="{detail}", algs="{" ".join(SUPPORTED)}"'
        )


@dataclass(frozen=True, slots=True)
class DpopProof:
    """A valid proof: the client had this key at this time, for this request and this credential.

    Attributes
    ----------
    thumbprint : str
        Of the key in the proof; the caller must check that it is the expected one, see `require_key`.
    id : str
        ``jti``; the caller must check that it was not used before.
    issued_at : datetime
    """

    thumbprint: str
    id: str
    issued_at: datetime

    @property
    def expires_at(self) -> datetime:
        """Time from which the proof is too old for every replica, whose clocks may differ."""
        return self.issued_at + MAX_AGE + CLOCK_SKEW

    def require_key(self, thumbprint: str) -> None:
        """Raise unless the proof was created with the key of this thumbprint.

        Raises
        ------
        ProofError
        """
        if not constant_time_equals(self.thumbprint, thumbprint):
            raise ProofError(
                ProofErrorCode.WRONG_KEY, "the proof was created with another key than that of the credential"
            )


def verify_proof(text: str, *, method: str, address: str, credential: str, now: datetime) -> DpopProof:
    """Verify a proof according to RFC 9449, 4.3, except for its expected key and its single use.

    Parameters
    ----------
    text : str
        The value of the ``DPoP`` header.
    method, address : str
        Of the request; the address is our own configured one, not the one in the request, without a query.
    credential : str
        The opaque credential that was sent with it.
    now : datetime

    Raises
    ------
    ProofError
    """
    if len(text) > MAX_BYTES:
        raise ProofError(ProofErrorCode.MALFORMED, f"the proof has more than {MAX_BYTES} bytes")
    match = _COMPACT_FORM.fullmatch(text)
    if match is None:
        raise ProofError(ProofErrorCode.MALFORMED, "the proof is not a signed JWT in compact form")
    header_bytes, payload, signature = (_decode_part(part) for part in match.groups())
    key = _parse_key(_parse_object(header_bytes, "header"))
    if not key.verifies(signature, text.rpartition(".")[0].encode("ascii")):
        raise ProofError(ProofErrorCode.BAD_SIGNATURE, "the signature of the proof is wrong")
    return _check_claims(_parse_object(payload, "payload"), key, method, address, credential, now)


def _parse_key(header: Mapping[str, Any]) -> PublicJwk:
    if header.keys() != _HEADER:
        raise ProofError(ProofErrorCode.MALFORMED, "the header of the proof must have exactly `typ`, `alg` and `jwk`")
    if header["typ"] != TYPE:
        raise ProofError(ProofErrorCode.MALFORMED, f"the proof is not of the type `{TYPE}`")
    if not isinstance(header["jwk"], dict):
        raise ProofError(ProofErrorCode.MALFORMED, "the key of the proof is not a JSON object")
    try:
        key = PublicJwk.parse(header["jwk"])
    except ValueError as error:
        raise ProofError(ProofErrorCode.MALFORMED, f"the proof cannot be used: {error}") from None
    if header["alg"] != key.algorithm:
        raise ProofError(ProofErrorCode.MALFORMED, f"the algorithm of a proof with this key must be `{key.algorithm}`")
    return key


def _check_claims(
    claims: Mapping[str, Any], key: PublicJwk, method: str, address: str, credential: str, now: datetime
) -> DpopProof:
    if claims.keys() != _CLAIMS:
        raise ProofError(
            ProofErrorCode.BAD_CLAIMS, f"a proof must have exactly the claims {', '.join(sorted(_CLAIMS))}"
        )
    for name, value in claims.items():
        if type(value) is not (int if name == "iat" else str):  # exactly: True is an int for isinstance
            raise ProofError(ProofErrorCode.BAD_CLAIMS, f"the claim `{name}` of the proof has the wrong type")
    if not _ID.fullmatch(claims["jti"]):
        raise ProofError(
            ProofErrorCode.BAD_CLAIMS, "the claim `jti` of the proof must have 1 to 200 printable characters"
        )
    if claims["htm"] != method or not _is_same_address(claims["htu"], address):
        raise ProofError(ProofErrorCode.WRONG_REQUEST, "the proof was created for another request")
    if not constant_time_equals(claims["ath"], base64url_encode(hashlib.sha256(credential.encode()).digest())):
        raise ProofError(ProofErrorCode.WRONG_CREDENTIAL, "the proof was created for another credential")
    if not 0 <= claims["iat"] <= _LAST_INSTANT:
        raise ProofError(ProofErrorCode.BAD_CLAIMS, "the claim `iat` of the proof is not a valid time")
    issued = datetime.fromtimestamp(claims["iat"], UTC)
    if not now - MAX_AGE <= issued <= now + CLOCK_SKEW:
        raise ProofError(ProofErrorCode.WRONG_TIME, "the proof is too old, or not valid yet")
    return DpopProof(key.thumbprint, claims["jti"], issued)


def _is_same_address(claimed: str, own: str) -> bool:
    # Normalized are only the case of scheme and host, and the default port (RFC 9449, 4.3; RFC 3986, 6.2.2 and 6.2.3).
    # The path is compared as it was sent.
    if claimed == own:
        return True
    left, right = _address_parts(claimed), _address_parts(own)
    return left is not None and left == right


def _address_parts(address: str) -> tuple[str, str, int | None, str] | None:
    if not _ADDRESS.fullmatch(address) or any(char in address for char in "?#@\\"):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", _PORTS.get(parts.scheme) if port is None else port, parts.path or "/"


def _decode_part(part: str) -> bytes:
    try:
        return base64url_decode(part)
    except ValueError as error:
        raise ProofError(ProofErrorCode.MALFORMED, f"the proof is {error}") from None


def _parse_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(data, max_bytes=MAX_BYTES, max_depth=3, max_keys=32)
    except Problem:
        # The parser's own message may quote the input.
        raise ProofError(ProofErrorCode.MALFORMED, f"the {what} of the proof is not strict JSON") from None
    if not isinstance(value, dict):
        raise ProofError(ProofErrorCode.MALFORMED, f"the {what} of the proof is not a JSON object")
    return value
