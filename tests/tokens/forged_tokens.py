"""Forged role tokens: every known way to create a token that must not be accepted, each with a label.

Most are signed with the real key, so that only the rule under test can refuse them. `accepted_over_http` sends them to
a running service.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aizen_hub.tokens.keys import KeyRing, Purpose, SigningKey
from aizen_hub.tokens.opaque_token import new_id

Labelled = tuple[str, str]

WRONG_TYPES: tuple[Any, ...] = (None, True, False, 0, -1, 1.5, "", "1", [], ["x"], {}, {"x": 1}, 10**39)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass
class Forger:
    """Signs anything with a real key.

    Parameters
    ----------
    ring : KeyRing
        With the private half of the key for role tokens.
    claims : dict
        Those of a valid token; never changed.
    """

    ring: KeyRing
    claims: dict[str, Any]

    @classmethod
    def of(cls, ring: KeyRing, issuer: str, audience: str, now: datetime, **changes: Any) -> Forger:
        issued = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": issuer,
            "aud": audience,
            "sub": "alice",
            "sid": new_id(),
            "project": "churn",
            "roles": ["PROJECT_EXECUTOR"],
            "rev": 7,
            "jti": new_id(),
            "iat": issued,
            "nbf": issued,
            "exp": issued + 300,
        }
        return cls(ring, {**claims, **changes})

    @property
    def key(self) -> SigningKey:
        return self.ring.signer(Purpose.ROLE)[0]

    @property
    def private_key(self) -> Ed25519PrivateKey:
        return self.ring.signer(Purpose.ROLE)[1]

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "EdDSA", "kid": self.key.kid, "typ": Purpose.ROLE.typ}

    def raw(self, header: bytes, payload: bytes) -> str:
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(self.private_key.sign(signed.encode()))}"

    def token(self, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
        return self.raw(
            compact(self.header if header is None else header), compact(self.claims if claims is None else claims)
        )

    def changed(self, **changes: Any) -> str:
        return self.token(claims={**self.claims, **changes})

    def families(self) -> dict[str, Callable[[], Iterator[Labelled]]]:
        return {
            "flips": lambda: flips(self.token()),
            "forms": self.forms,
            "algorithms": self.algorithms,
            "headers": self.headers,
            "claims": self.wrong_claims,
        }

    def forms(self) -> Iterator[Labelled]:
        """Other serializations (R42, T-14)."""
        good = self.token()
        header, payload, signature = good.split(".")
        yield "empty", ""
        yield from {
            "padded": good + "=",
            "padded twice": good + "==",
            "header padded": f"{header}=.{payload}.{signature}",
            "payload padded": f"{header}.{payload}==.{signature}",
            "leading blank": " " + good,
            "trailing blank": good + " ",
            "trailing newline": good + "\n",
            "newline inside": f"{header}.{payload[:20]}\n{payload[20:]}.{signature}",
            "tab": "\t" + good,
            "NUL": good + "\0",
            "no-break space": good + "\u00a0",
            "zero width space": good + "\u200b",
            "full-width dot": good.replace(".", "\uff0e"),
            "full-width letter": "\uff45" + good[1:],
            "byte order mark": "\ufeff" + good,
            "lone surrogate": good + "\ud800",
            "two parts": f"{header}.{payload}",
            "four parts": good + ".",
            "leading dot": "." + good,
            "unsigned": f"{header}.{payload}.",
            "no payload": f"{header}..{signature}",
            "no header": f".{payload}.{signature}",
            "JWE": f"{header}.{payload}.{signature}.{signature}.{signature}",
            "twice": good + "." + good,
            "quoted": f'"{good}"',
            "scheme": f"Bearer {good}",
            "comma": good + "," + good,
            "one character part": f"{header}.{payload}.{signature}A",
            "standard alphabet": f"{header}.{payload}.{'+/' + signature[2:]}",
            "flattened JSON": json.dumps({"protected": header, "payload": payload, "signature": signature}),
            "general JSON": json.dumps(
                {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
            ),
            "short signature": f"{header}.{payload}.{b64(b'x' * 63)}",
            "long signature": f"{header}.{payload}.{b64(b'x' * 65)}",
            "zero signature": f"{header}.{payload}.{b64(bytes(64))}",
            "overlong": self.changed(roles=["R" * 250 + str(n) for n in range(40)]),
            "a megabyte": "A" * (1 << 20),
            "opaque": new_id(),
        }.items()
        for index, part in enumerate((header, payload, signature)):
            for other in _same_bytes(part):
                parts = [header, payload, signature]
                parts[index] = other
                yield f"second spelling of part {index}", ".".join(parts)
        yield "nested", self.raw(compact({**self.header, "cty": "JWT"}), good.encode())
        yield "nested without cty", self.raw(compact(self.header), good.encode())
        yield "detached, b64=false", self._detached()
        yield "payload with blanks", self.raw(compact(self.header), json.dumps(self.claims, sort_keys=True).encode())
        unsorted = dict(sorted(self.claims.items(), reverse=True))
        yield (
            "payload in another order",
            self.raw(compact(self.header), json.dumps(unsorted, separators=(",", ":")).encode()),
        )
        yield (
            "header in another order",
            self.raw(
                json.dumps(dict(sorted(self.header.items(), reverse=True)), separators=(",", ":")).encode(),
                compact(self.claims),
            ),
        )
        yield (
            "escaped letter",
            self.raw(compact(self.header), compact(self.claims).replace(b'"alice"', b'"\\u0061lice"')),
        )

    def _detached(self) -> str:
        header = b64(compact({**self.header, "b64": False, "crit": ["b64"]}))
        signature = self.private_key.sign(f"{header}.".encode() + compact(self.claims))
        return f"{header}..{b64(signature)}"

    def algorithms(self) -> Iterator[Labelled]:
        """Algorithm confusion (R37, R38)."""
        payload = b64(compact(self.claims))
        for name in ("none", "None", "NONE", "nOnE", "none ", "", "NoNe\0"):
            header = b64(compact({**self.header, "alg": name}))
            for signature in ("", b64(bytes(64)), self.token().rpartition(".")[2]):
                yield f"alg {name!r}", f"{header}.{payload}.{signature}"
        for name in ("HS256", "HS384", "HS512", "hs256"):
            digest = {"384": hashlib.sha384, "512": hashlib.sha512}.get(name[2:], hashlib.sha256)
            header = b64(compact({**self.header, "alg": name}))
            for secret in self._public_spellings():
                mac = hmac.new(secret, f"{header}.{payload}".encode(), digest).digest()
                yield f"alg {name} with the public key", f"{header}.{payload}.{b64(mac)}"
        good = b64(compact(self.header))
        for secret in self._public_spellings():
            mac = hmac.new(secret, f"{good}.{payload}".encode(), hashlib.sha512).digest()
            yield "a MAC of 64 bytes under EdDSA", f"{good}.{payload}.{b64(mac)}"
        for name in (
            "eddsa",
            "EDDSA",
            "EdDSA ",
            "Ed25519",
            "Ed448",
            "ES256",
            "RS256",
            "PS256",
            "RSA1_5",
            "dir",
            "A128KW",
        ):
            yield f"alg {name!r}, rightly signed", self.token(header={**self.header, "alg": name})
        for value in (*WRONG_TYPES, ["EdDSA"]):
            yield f"alg {value!r}", self.token(header={**self.header, "alg": value})

    def _public_spellings(self) -> list[bytes]:
        public = self.key.public_key
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return [
            public.public_bytes_raw(),
            pem,
            pem.strip(),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            self.key.to_jwk()["x"].encode(),
            compact(self.key.to_jwk()),
            self.key.kid.encode(),
            b"",
        ]

    def headers(self) -> Iterator[Labelled]:
        """Each header member missing, wrong, repeated or unknown (R39-R43)."""
        stranger = SigningKey.generate(Purpose.ROLE, self.key.created_at)
        assert stranger.private_key is not None
        for name in self.header:
            yield f"without {name}", self.token(header={key: v for key, v in self.header.items() if key != name})
            for value in WRONG_TYPES:
                yield f"{name} {value!r}", self.token(header={**self.header, name: value})
            text = compact(self.header).decode()
            for first, second in ((self.header[name], self.header[name]), ("x", self.header[name])):
                doubled = text[:-1] + f',"{name}":{json.dumps(second)}}}'
                doubled = doubled.replace(json.dumps(self.header[name]), json.dumps(first), 1)
                yield f"{name} twice", self.raw(doubled.encode(), compact(self.claims))
        for typ in (
            "JWT", "jwt", "at+jwt", "application/aizen-role+jwt", "AIZEN-ROLE+JWT", "aizen-role+JWT", "aizen-role+jwt ",
            "aizen-role", "aizen-decision+jwt", "aizen-checkpoint+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt",
        ):  # fmt: skip
            yield f"typ {typ!r}", self.token(header={**self.header, "typ": typ})
        kid = self.key.kid
        for other in (
            kid.lower(), kid.upper(), kid[:-1], kid + "A", kid + "=", kid + " ", kid + "\0", kid + "\n", "*", "default",
            "../" * 8 + "dev/null", "/dev/null", "/etc/passwd", "file:///dev/null", "http://127.0.0.1/key",
            "' OR '1'='1", "x' UNION SELECT 'secret' -- ", '"; DROP TABLE keys; --', "|/usr/bin/id", "$(id)", "%00",
            "A" * 300, "A" * 4000, stranger.kid,
        ):  # fmt: skip
            yield f"kid {other[:30]!r}", self.token(header={**self.header, "kid": other})
        jwk = stranger.to_jwk()
        extras: dict[str, Any] = {
            "jwk": jwk,
            "jku": "http://127.0.0.1:1/jwks.json",
            "x5u": "http://127.0.0.1:1/cert.pem",
            "x5c": [base64.b64encode(b"certificate").decode()],
            "x5t": b64(b"x" * 20),
            "x5t#S256": b64(b"x" * 32),
            "crit": ["exp"],
            "b64": True,
            "cty": "JWT",
            "zip": "DEF",
            "enc": "A256GCM",
            "epk": jwk,
            "apu": "x",
            "p2c": 1_000_000,
            "nonce": "x",
            "url": "http://127.0.0.1:1/",
            "iss": self.claims["iss"],
            "exp": self.claims["exp"],
            "": "",
            "ALG": "EdDSA",
            "kid ": kid,
            "__proto__": {},
        }
        for name, value in extras.items():
            yield f"with {name}", self.token(header={**self.header, name: value})
        for crit in ([], ["b64"], ["alg"], "exp", None, {}):
            yield f"crit {crit!r}", self.token(header={**self.header, "crit": crit})
        # Signed with another key that is embedded in the header, once under our kid and once under its own.
        for name, value in {"jwk": jwk, "jku": extras["jku"], "x5c": extras["x5c"]}.items():
            for key_id in (kid, stranger.kid):
                header = b64(compact({**self.header, "kid": key_id, name: value}))
                signed = f"{header}.{b64(compact(self.claims))}"
                yield f"{name} of a stranger", f"{signed}.{b64(stranger.private_key.sign(signed.encode()))}"
        signed = f"{b64(compact(self.header))}.{b64(compact(self.claims))}"
        yield "signed by a stranger", f"{signed}.{b64(stranger.private_key.sign(signed.encode()))}"
        for label, data in {
            "null": b"null", "list": b"[]", "text": b'"EdDSA"', "number": b"1", "nothing": b" ", "not JSON": b"{",
            "NaN": b'{"alg":NaN}', "deep": b"[" * 300 + b"]" * 300, "not UTF-8": b'{"alg":"\xff"}',
            "UTF-16": compact(self.header).decode().encode("utf-16"), "BOM": b"\xef\xbb\xbf" + compact(self.header),
            "trailing text": compact(self.header) + b"x", "two objects": compact(self.header) * 2,
            "overlong": compact({**self.header, "kid": "A" * 600}),
        }.items():  # fmt: skip
            yield f"header {label}", self.raw(data, compact(self.claims))

    def wrong_claims(self) -> Iterator[Labelled]:
        """Each claim missing, of a wrong type, repeated, or impossible (R44)."""
        fits = {"project": (None, "1", "x"), "rev": (0,), "roles": ([], ["x"])}
        for name in self.claims:
            yield f"without {name}", self.token(claims={key: v for key, v in self.claims.items() if key != name})
            for value in WRONG_TYPES:
                if (name == "sub" and value == "1") or (value in fits.get(name, ()) and not isinstance(value, bool)):
                    continue
                yield f"{name} {value!r}", self.changed(**{name: value})
            text = compact(self.claims).decode()
            for first in (self.claims[name], "x", None):
                doubled = text[:-1] + f',"{name}":{json.dumps(self.claims[name])}}}'
                doubled = doubled.replace(
                    f'"{name}":{json.dumps(self.claims[name], separators=(",", ":"))}',
                    f'"{name}":{json.dumps(first)}',
                    1,
                )
                yield f"{name} twice", self.raw(compact(self.header), doubled.encode())
        iat, exp = self.claims["iat"], self.claims["exp"]
        for name, values in {
            "iss": ("", self.claims["iss"] + "/", self.claims["iss"].upper(), "https://evil.example",
                    [self.claims["iss"]]),
            "aud": ([self.claims["aud"]], [self.claims["aud"], "other"], self.claims["aud"] + "/", "core", "*"),
            "sub": ("", "a" * 256, "alice\n", "al\u200bice", "\ud800"),
            "sid": ("", "x" * 32, self.claims["sid"].upper() + "A", self.claims["sid"] + "\n", self.claims["sid"][:-1]),
            "jti": ("", "../" + "0" * 29, self.claims["jti"] + "0"),
            "project": ("", "p" * 256, "churn\n", ["churn"]),
            "roles": ("PROJECT_EXECUTOR", ["A", "A"], [["A"]], [None], [""], ["A"] * 300, {"A": 1}),
            "rev": (-1, 1.0, "7", 1 << 63, True),
            "iat": (str(iat), float(iat) + 0.5, -1, exp, exp + 1, exp - 601, 10**12),
            "nbf": (str(iat), iat - 1, exp, exp + 1),
            "exp": (str(exp), float(exp) + 0.5, iat, iat - 1, iat + 601, 10**12, 1e999),
            "scope": ("", " ", "execute", "execute:training ", " execute:training", "execute:training  view:*",
                      "execute:training execute:training", "Execute:training", "x" * 3000,
                      ["execute:training"], None, 1),
            "act": ({"sub": "bob"}, "user:bob", None, [], {}, {"sub": ""}, {"sub": 1},
                    {"sub": "user:bob", "act": {"sub": "user:eve"}},
                    {"sub": "user:bob", "iss": "x"}, [{"sub": "user:bob"}]),
            "admin": (True,), "": ("",), "azp": ("x",), "cnf": ({"jkt": "x"},), "groups": (["AIZEN_ADMIN"],),
        }.items():  # fmt: skip
            for value in values:
                yield f"{name} {str(value)[:40]!r}", self.changed(**{name: value})
        for label, data in {
            "null": b"null", "list": b"[]", "text": b'"x"', "not JSON": b"{",
            "deep": b'{"a":' * 300 + b"1" + b"}" * 300,
            "NaN": compact(self.claims).replace(b'"rev":7', b'"rev":NaN'),
            "Infinity": compact(self.claims).replace(b'"rev":7', b'"rev":Infinity'),
            "exponent": compact(self.claims).replace(b'"rev":7', b'"rev":7e0'),
            "minus zero": compact(self.claims).replace(b'"rev":7', b'"rev":-0'),
            "leading zero": compact(self.claims).replace(b'"rev":7', b'"rev":07'),
            "not UTF-8": compact(self.claims).replace(b"alice", b"al\xffce"),
        }.items():  # fmt: skip
            yield f"payload {label}", self.raw(compact(self.header), data)


def flips(token: str) -> Iterator[Labelled]:
    """Every single bit of every byte turned over (R36)."""
    data = token.encode("ascii")
    for place in range(len(data)):
        for bit in range(8):
            other = bytearray(data)
            other[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", other.decode("latin-1")


def _same_bytes(part: str) -> Iterator[str]:
    """Other texts that a lenient base64 reader turns into the same bytes."""
    unused = {0: 0, 2: 4, 3: 2}[len(part) % 4]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(part[-1])
    for extra in range(1, 1 << unused):
        yield part[:-1] + alphabet[last ^ extra]


def accepted_over_http(
    url: str, tokens: Iterable[Labelled], *, method: str = "GET", body: bytes = b"", timeout: float = 5.0
) -> list[Labelled]:
    """Send each token as a bearer to ``url`` and return those that were not refused, as ``(label, status line)``.

    Refused is what is answered with 400, 401 or 431, or cut off. Bytes go out as they are, line ends within a token
    included.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    out: list[Labelled] = []
    connection: socket.socket | None = None
    for label, token in tokens:
        head = f"{method} {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer "
        about = f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        data = head.encode() + token.encode("utf-8" if max(token, default="") > "\xff" else "latin-1", "surrogatepass")
        data += about.encode() + body
        # A token that holds a line end may leave the connection in any state.
        if connection is None or not token.isprintable():
            if connection is not None:
                connection.close()
            connection = socket.create_connection((parts.hostname, parts.port), timeout)
        answer = _answer(connection, data)
        status = answer.partition(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] not in (["400"], ["401"], ["431"], []):
            out.append((label, status))
        if not status or not token.isprintable() or b"connection: close" in answer.lower():
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
    return out


def _answer(connection: socket.socket, data: bytes) -> bytes:
    try:
        connection.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = connection.recv(65536)
            if not chunk:
                return answer
            answer += chunk
        head, _, rest = answer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        missing = int(lengths[0].partition(b":")[2]) - len(rest) if lengths else 0
        while missing > 0 and (chunk := connection.recv(missing)):
            answer += chunk
            missing -= len(chunk)
    except (ConnectionError, TimeoutError):
        return b""
    return answer
