"""The well-known documents: our public keys and where the endpoints are."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.problems import Unavailable
from aizen_hub.service.http.route import Answer
from aizen_hub.service.oauth.exchange import GRANT
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.tokens.dpop import SCHEME, SUPPORTED
from aizen_hub.tokens.keys import JWKS_MAX_AGE

_CACHE = f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"


async def key_set(call: Call) -> Answer:
    """RFC 7517, 5: public members only, cacheable for five minutes (R55)."""
    document = call.house.verifier.ring.jwks(datetime.now(UTC))
    if not document["keys"]:
        raise Unavailable("there is no usable key", more={"sealed": True})
    return Answer(document, headers={"Cache-Control": _CACHE, "Content-Type": "application/jwk-set+json"})


async def metadata(call: Call) -> Answer:
    """RFC 8414, 3.2."""
    own = call.house.settings.service_url
    return Answer(
        {
            "issuer": own,
            "token_endpoint": f"{own}/oauth/token",
            "jwks_uri": f"{own}/.well-known/jwks.json",
            "introspection_endpoint": f"{own}/oauth/introspect",
            "revocation_endpoint": f"{own}/oauth/revoke",
            "grant_types_supported": [GRANT],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            # The registered types of access tokens (RFC 8414, 2): plain, and bound to a key.
            "introspection_endpoint_auth_methods_supported": ["Bearer", SCHEME],
            "dpop_signing_alg_values_supported": list(SUPPORTED),
            "service_documentation": f"{own}/api/v1/openapi.json",
        },
        headers={"Cache-Control": _CACHE},
    )
