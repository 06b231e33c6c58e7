"""Well-known documents: the public keys, and the metadata of the endpoints."""

from __future__ import annotations

from datetime import UTC, datetime

from aizen_hub.problems import Unavailable
from aizen_hub.service.http.route import JsonResponse
from aizen_hub.service.oauth.exchange import TOKEN_EXCHANGE_GRANT
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.tokens.dpop import SCHEME, SUPPORTED
from aizen_hub.tokens.keys import JWKS_MAX_AGE

_CACHE = f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"


async def show_key_set(ctx: RequestContext) -> JsonResponse:
    """RFC 7517, 5: public members only, cacheable for five minutes (R55)."""
    document = ctx.service.verifier.ring.jwks(datetime.now(UTC))
    if not document["keys"]:
        raise Unavailable("no usable key is available", extensions={"sealed": True})
    return JsonResponse(document, headers={"Cache-Control": _CACHE, "Content-Type": "application/jwk-set+json"})


async def show_metadata(ctx: RequestContext) -> JsonResponse:
    """RFC 8414, 3.2."""
    issuer = ctx.service.settings.service_url
    return JsonResponse(
        {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/oauth/token",
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "introspection_endpoint": f"{issuer}/oauth/introspect",
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "grant_types_supported": [TOKEN_EXCHANGE_GRANT],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            # The registered types of access tokens (RFC 8414, 2): plain, and bound to a key.
            "introspection_endpoint_auth_methods_supported": ["Bearer", SCHEME],
            "dpop_signing_alg_values_supported": list(SUPPORTED),
            "service_documentation": f"{issuer}/api/v1/openapi.json",
        },
        headers={"Cache-Control": _CACHE},
    )
