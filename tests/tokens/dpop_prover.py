"""DPoP proofs for tests: valid ones, and every known kind of invalid one with its label and code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from aizen_hub.tokens.jwk import PublicJwk
from aizen_hub.tokens.opaque_token import new_id

ABSENT = object()
"""Instead of a value: omit the member."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Prover:
    """A client with a private key and a credential.

    Parameters
    ----------
    curve : str
        ``Ed25519`` or ``P-256``.
    """

    curve: str
    credential: str
    private_key: Any = field(init=False)

    def __post_init__(self) -> None:
        self.private_key = (
            Ed25519PrivateKey.generate() if self.curve == "Ed25519" else ec.generate_private_key(ec.SECP256R1())
        )

    @property
    def jwk(self) -> dict[str, str]:
        public = self.private_key.public_key()
        if self.curve == "Ed25519":
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
        numbers = public.public_numbers()
        x, y = (b64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    @property
    def private_jwk(self) -> dict[str, str]:
        if self.curve == "Ed25519":
            return {**self.jwk, "d": b64(self.private_key.private_bytes_raw())}
        return {**self.jwk, "d": b64(self.private_key.private_numbers().private_value.to_bytes(32, "big"))}

    @property
    def algorithm(self) -> str:
        return "EdDSA" if self.curve == "Ed25519" else "ES256"

    @property
    def thumbprint(self) -> str:
        return PublicJwk.parse(self.jwk).thumbprint

    def sign(self, text: str) -> bytes:
        if self.curve == "Ed25519":
            return self.private_key.sign(text.encode())
        r, s = decode_dss_signature(self.private_key.sign(text.encode(), ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def header(self, **changes: Any) -> dict[str, Any]:
        return _changed({"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk}, changes)

    def claims(self, method: str, address: str, at: int, **changes: Any) -> dict[str, Any]:
        claims = {
            "jti": new_id(),
            "htm": method,
            "htu": address,
            "iat": at,
            "ath": b64(hashlib.sha256(self.credential.encode()).digest()),
        }
        return _changed(claims, changes)

    def pack(self, header: Any, claims: Any) -> str:
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
        text = ".".join(map(b64, parts))
        return f"{text}.{b64(self.sign(text))}"

    def proof(self, method: str, address: str, at: int, **changes: Any) -> str:
        return self.pack(self.header(), self.claims(method, address, at, **changes))


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not ABSENT}


BadProof = tuple[str, str, str]
_JUNK: tuple[Any, ...] = (None, True, 0, 1.5, "", [], ["x"], {}, {"x": 1})


def bad_proofs(prover: Prover, method: str, address: str, at: int) -> Iterator[BadProof]:
    """Yield (label, code, proof) for proofs that must be refused, mostly signed with the right key."""
    yield from _bad_headers(prover, prover.claims(method, address, at))
    yield from _bad_keys(prover, prover.claims(method, address, at))
    yield from _bad_claims(prover, method, address, at)
    yield from _bad_forms(prover, method, address, at)


def _bad_headers(prover: Prover, claims: dict[str, Any]) -> Iterator[BadProof]:
    def case(label: str, **changes: Any) -> BadProof:
        return label, "proof-malformed", prover.pack(prover.header(**changes), claims)

    for name in ("typ", "alg", "jwk"):
        yield case(f"no {name}", **{name: ABSENT})
        for junk in _JUNK:
            yield case(f"{name} is {junk!r}", **{name: junk})
    for typ in ("JWT", "jwt", "DPOP+JWT", "dpop+jwt ", "application/dpop+jwt", "aizen-role+jwt"):
        yield case(f"typ {typ}", typ=typ)
    for alg in ("none", "None", "NONE", "HS256", "RS256", "Ed25519", "eddsa", "es256", "ES384", "EdDSA ", "ES256 "):
        yield case(f"alg {alg}", alg=alg)
    yield case("alg of the other kind", alg={"EdDSA": "ES256", "ES256": "EdDSA"}[prover.algorithm])
    for name, value in (
        ("kid", "x"), ("jku", "https://evil.example/k"), ("x5u", "https://evil.example/c"), ("x5c", ["x"]),
        ("x5t", "x"), ("crit", ["b64"]), ("b64", False), ("cty", "JWT"), ("nonce", "x"), ("enc", "A256GCM"),
    ):  # fmt: skip
        yield case(f"also {name}", **{name: value})
    header = prover.header()
    secret = json.dumps(prover.jwk).encode()
    for alg, mac in (("none", b""), ("HS256", None), ("EdDSA", b""), ("ES256", b"")):
        text = ".".join(b64(json.dumps(part).encode()) for part in ({**header, "alg": alg}, claims))
        signature = hmac.digest(secret, text.encode(), "sha256") if mac is None else mac
        yield (
            f"unsigned or with a MAC, alg {alg}",
            "proof-malformed" if not mac and mac is not None else "",
            (f"{text}.{b64(signature)}"),
        )


def _bad_keys(prover: Prover, claims: dict[str, Any]) -> Iterator[BadProof]:
    jwk, other = prover.jwk, Prover(prover.curve, prover.credential)
    wrong: dict[str, dict[str, Any]] = {
        "the private half": prover.private_jwk,
        "an empty private half": {**jwk, "d": ""},
        "a kid": {**jwk, "kid": "1"},
        "an alg": {**jwk, "alg": prover.algorithm},
        "a use": {**jwk, "use": "sig"},
        "nothing": {},
        "a symmetric key": {"kty": "oct", "k": jwk["x"]},
        "an RSA key": {"kty": "RSA", "n": jwk["x"], "e": "AQAB"},
        "another curve": {**jwk, "crv": "P-384"},
        "X25519": {**jwk, "kty": "OKP", "crv": "X25519"},
        "the other type": {**jwk, "kty": {"OKP": "EC", "EC": "OKP"}[jwk["kty"]]},
        "a list as type": {**jwk, "kty": ["OKP"]},
        "padding": {**jwk, "x": jwk["x"] + "="},
        "a short part": {**jwk, "x": jwk["x"][:-4]},
        "a long part": {**jwk, "x": jwk["x"] + "AAAA"},
        "an empty part": {**jwk, "x": ""},
        "a number as part": {**jwk, "x": 1},
        "another spelling": {**jwk, "x": _non_canonical(jwk["x"])},
        "too many parts": {**jwk, "z": jwk["x"]},
    }
    for name in jwk:
        wrong[f"no {name}"] = {key: value for key, value in jwk.items() if key != name}
    if "y" in jwk:
        wrong["no point of the curve"] = {**jwk, "y": other.jwk["y"]}
        wrong["a point beyond the field"] = {**jwk, "x": b64(b"\xff" * 32)}
        wrong["a zero in front"] = {**jwk, "x": b64(bytes(1) + base64.urlsafe_b64decode(jwk["x"] + "="))}
        wrong["the point zero"] = {**jwk, "x": b64(bytes(32)), "y": b64(bytes(32))}
    for label, value in wrong.items():
        yield f"jwk with {label}", "proof-malformed", prover.pack(prover.header(jwk=value), claims)
    yield "another's key, signed by it", "proof-wrong-key", other.pack(other.header(), claims)
    yield "our key, signed by another", "proof-bad-signature", other.pack(prover.header(), claims)
    yield "another's key, signed by ours", "proof-bad-signature", prover.pack(other.header(), claims)


def _bad_claims(prover: Prover, method: str, address: str, at: int) -> Iterator[BadProof]:
    def case(label: str, code: str, **changes: Any) -> BadProof:
        return label, code, prover.proof(method, address, at, **changes)

    for name in ("jti", "htm", "htu", "iat", "ath"):
        yield case(f"no {name}", "proof-bad-claims", **{name: ABSENT})
        for junk in _JUNK:
            if not (isinstance(junk, str) or (name == "iat" and junk == 0 and junk is not False)):
                yield case(f"{name} is {junk!r}", "proof-bad-claims", **{name: junk})
    for name, value in (("exp", at + 60), ("nbf", at), ("nonce", "x"), ("aud", "x"), ("iss", "x"), ("sub", "x")):
        yield case(f"also {name}", "proof-bad-claims", **{name: value})
    for jti in ("", "x" * 201, "a b", "a\n", "\u00e9"):
        yield case(f"jti {jti[:5]!r}", "proof-bad-claims", jti=jti)
    for htm in ("", method.lower(), method + " ", "PUT", "HEAD", f"{method},PUT"):
        yield case(f"htm {htm!r}", "proof-wrong-request", htm=htm)
    scheme, _, rest = address.partition("://")
    host, _, path = rest.partition("/")
    other = {"http": "https", "https": "http"}[scheme]
    for htu in (
        "", "/" + path, address + "/", address + "?", address + "?a=b", address + "#", address + "#a", address + " ",
        f"{other}://{rest}", f"{scheme}://evil.example/{path}", f"{scheme}://{host}:1/{path}", f"{scheme}://{host}1/{path}",
        f"{scheme}://me@{rest}", f"{scheme}://{host}", f"{scheme}://{host}//{path}", f"{scheme}://{host}/./{path}",
        f"{scheme}://{host}/{path[:-1]}", f"{scheme}://{host}/%{ord(path[0]):x}{path[1:]}", f"{scheme}:/{rest}",
        f"{scheme}://{host}/{path.upper()}", f"{scheme}://[/{path}", f"{scheme}://{host}:99999/{path}",
        f"{scheme}:\\\\{rest}", f"{address}\n", f"{scheme}://{host}:x/{path}",
    ):  # fmt: skip
        yield case(f"htu {htu!r}", "proof-wrong-request", htu=htu)
    for iat in (0, 1, at - 75, at - 3600, at + 60, at + 3600, 253_402_300_799):
        yield case(f"iat {iat - at} from now", "proof-wrong-time", iat=iat)
    for iat in (-1, 253_402_300_800, 10**30, float(at), str(at)):
        yield case(f"iat {iat!r}", "proof-bad-claims", iat=iat)
    right = b64(hashlib.sha256(prover.credential.encode()).digest())
    for ath in (
        "", right + "=", _non_canonical(right), right[:-1], hashlib.sha256(prover.credential.encode()).hexdigest(),
        b64(hashlib.sha256(prover.credential.encode() + b"x").digest()), prover.credential, "\u00e9",
    ):  # fmt: skip
        yield case("another ath", "proof-wrong-credential", ath=ath)


def _bad_forms(prover: Prover, method: str, address: str, at: int) -> Iterator[BadProof]:
    def good() -> tuple[str, str, str]:
        head, body, signature = prover.proof(method, address, at).split(".")
        return head, body, signature

    def signed(head: bytes, body: bytes) -> str:
        return prover.pack(head, body)

    head, body, signature = good()
    flipped = bytearray(base64.urlsafe_b64decode(signature + "=="))
    flipped[7] ^= 1
    yield "a flipped bit", "proof-bad-signature", f"{head}.{body}.{b64(bytes(flipped))}"
    yield "a zero signature", "proof-bad-signature", f"{head}.{body}.{b64(bytes(64))}"
    yield "a short signature", "proof-bad-signature", f"{head}.{body}.{b64(bytes(flipped[:60]))}"
    yield "a long signature", "proof-bad-signature", f"{head}.{body}.{signature}AAAA"
    if prover.curve == "P-256":
        text = f"{head}.{body}"
        der = prover.private_key.sign(text.encode(), ec.ECDSA(SHA256()))
        yield "a signature without its zero", "proof-bad-signature", _without_zero(prover, method, address, at)
        yield "a DER signature", "proof-bad-signature", f"{text}.{b64(der)}"
    for label, text in {
        "padding behind": f"{head}.{body}.{signature}=",
        "two paddings behind": f"{head}.{body}.{signature}==",
        "padding in the payload": f"{head}.{body}=.{signature}",
        "another spelling of the signature": f"{head}.{body}.{_non_canonical(signature)}",
        "standard base64": f"{head}.{body}.{signature[:-1]}+",
        "a slash": f"{head}.{body}.{signature[:-1]}/",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "one part": head,
        "four parts": f"{head}.{body}.{signature}.{signature}",
        "five parts": f"{head}.{body}.{signature}.{signature}.{signature}",
        "no header": f".{body}.{signature}",
        "a blank inside": f"{head}. {body}.{signature}",
        "a list of two": f"{head}.{body}.{signature},{head}.{body}.{signature}",
        "JSON serialization": json.dumps({"protected": head, "payload": body, "signature": signature}),
        "much too long": f"{head}.{body}.{signature}" + "A" * 8192,
        "the credential itself": prover.credential,
    }.items():
        yield label, "proof-malformed", text
    plain_head, plain_body = (json.dumps(part) for part in (prover.header(), prover.claims(method, address, at)))
    for label, header_text, payload_text in (
        ("a member twice in the header", plain_head[:-1] + ', "typ": "dpop+jwt"}', plain_body),
        ("a member twice in the payload", plain_head, plain_body[:-1] + f', "htm": "{method}"}}'),
        ("a byte order mark", "\ufeff" + plain_head, plain_body),
        ("text after the header", plain_head + "{}", plain_body),
        ("a list as header", f"[{plain_head}]", plain_body),
        ("a list as payload", plain_head, f"[{plain_body}]"),
        ("no JSON", "typ", plain_body),
        ("NaN", plain_head, plain_body[:-1] + ', "x": NaN}'),
        ("deep", plain_head, plain_body[:-1] + ', "x": ' + "[" * 40 + "]" * 40 + "}"),
    ):
        yield label, "proof-malformed", signed(header_text.encode(), payload_text.encode())
    yield "a nested JWT", "proof-malformed", prover.pack(prover.header(), prover.proof(method, address, at).encode())


def _without_zero(prover: Prover, method: str, address: str, at: int) -> str:
    """A proof whose second number starts with a zero byte, which is omitted."""
    for _ in range(20_000):
        head, body, signature = prover.proof(method, address, at).split(".")
        data = base64.urlsafe_b64decode(signature + "==")
        if data[32] == 0:
            return f"{head}.{body}.{b64(data[:32] + data[33:])}"
    raise AssertionError("no such signature was found")


def _non_canonical(text: str) -> str:
    """The same bytes with other unused bits at the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed_text = text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]
    assert base64.urlsafe_b64decode(changed_text + "==") == base64.urlsafe_b64decode(text + "==")
    return changed_text
