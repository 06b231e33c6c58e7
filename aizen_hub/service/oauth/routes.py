"""Routes of the OAuth endpoints."""

from __future__ import annotations

from aizen_hub.service.http.route import CREDENTIAL_SUFFICES, AuthMethod, Requirement, Route
from aizen_hub.service.oauth import discovery, exchange, introspection, revocation
from aizen_hub.service.oauth.errors import format_oauth_error
from aizen_hub.service.oauth.schemas import (
    EmptyObject,
    ExchangeForm,
    ExchangeResponse,
    IntrospectionResponse,
    KeySet,
    ServerMetadata,
    TokenForm,
)

# The token in the form is itself the credential (public clients; RFC 6749, 2.1).
WITHOUT_CREDENTIAL = frozenset({AuthMethod.NONE})
_MAX_FORM = 24 << 10

ROUTES = (
    Route(
        "POST",
        "/oauth/token",
        WITHOUT_CREDENTIAL,
        CREDENTIAL_SUFFICES,
        exchange.exchange_token,
        "Exchange a token for a new role token (RFC 8693).",
        body=ExchangeForm,
        response=ExchangeResponse,
        form=True,
        max_body=_MAX_FORM,
        error_formatter=format_oauth_error,
        rate_limited=False,
    ),
    Route(
        "POST",
        "/oauth/revoke",
        WITHOUT_CREDENTIAL,
        CREDENTIAL_SUFFICES,
        revocation.revoke_token,
        "Revoke a session's role tokens (RFC 7009).",
        body=TokenForm,
        response=EmptyObject,
        form=True,
        max_body=_MAX_FORM,
        error_formatter=format_oauth_error,
        rate_limited=False,
    ),
    Route(
        "POST",
        "/oauth/introspect",
        frozenset({AuthMethod.SERVICE_ACCOUNT}),
        Requirement.endpoint("access"),
        introspection.introspect_token,
        "Introspect a role token (RFC 7662).",
        body=TokenForm,
        response=IntrospectionResponse,
        form=True,
        max_body=_MAX_FORM,
    ),
    Route(
        "GET",
        "/.well-known/jwks.json",
        WITHOUT_CREDENTIAL,
        CREDENTIAL_SUFFICES,
        discovery.show_key_set,
        "Public keys of this service (RFC 7517).",
        response=KeySet,
        media_type="application/jwk-set+json",
        available_when_sealed=True,
        rate_limited=False,
    ),
    Route(
        "GET",
        "/.well-known/oauth-authorization-server",
        WITHOUT_CREDENTIAL,
        CREDENTIAL_SUFFICES,
        discovery.show_metadata,
        "Metadata of the OAuth endpoints (RFC 8414).",
        response=ServerMetadata,
        available_when_sealed=True,
        rate_limited=False,
    ),
)
