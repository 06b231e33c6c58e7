"""Asks the service as a service account whose credential is bound to an Ed25519 key (DPoP, RFC 9449).

python ask.py KEY.pem CREDENTIAL-FILE ADDRESS [JSON]

ADDRESS begins with the service's own address as its metadata calls it (`issuer`). Needs `cryptography` and no more.
"""

import base64
import hashlib
import json
import sys
import time
import urllib.request
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def proof(key, credential, method, address):
    """Return a proof that the sender of this one request, now and with this credential, has the key."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk}
    claims = {
        "jti": uuid.uuid4().hex,
        "htm": method,
        "htu": address.partition("?")[0],
        "iat": int(time.time()),
        "ath": b64(hashlib.sha256(credential.encode()).digest()),
    }
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{b64(key.sign(text.encode()))}"


def ask(key, credential, address, body=None):
    method = "GET" if body is None else "POST"
    headers = {"Authorization": f"DPoP {credential}", "DPoP": proof(key, credential, method, address)}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(address, body and body.encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    key_file, credential_file, address, *body = sys.argv[1:]
    private = load_pem_private_key(Path(key_file).read_bytes(), None)
    print(json.dumps(ask(private, Path(credential_file).read_text().strip(), address, *body), indent=2))
