"""The OAuth addresses, for the table of routes."""

from __future__ import annotations

from aizen_hub.service.http.route import ROAD, Credential, Need, Route
from aizen_hub.service.oauth import discovery, exchange, introspection, revocation
from aizen_hub.service.oauth.errors import oauth_error
from aizen_hub.service.oauth.schemas import (
    ExchangeAnswer,
    ExchangeForm,
    IntrospectionAnswer,
    KeySet,
    Nothing,
    ServerMetadata,
    TokenForm,
)

# The token in the form is itself the credential: whoever has it is the client (RFC 6749, 2.1: public clients).
BEARERS = frozenset({Credential.NONE})
_FORM = 24 << 10

ROUTES = (
    Route(
        "POST", "/oauth/token", BEARERS, ROAD, exchange.token, "Exchange a token for a new role token (RFC 8693).",
        body=ExchangeForm, answer=ExchangeAnswer, form=True, max_body=_FORM, wraps=oauth_error, rationed=False,
    ),
    Route(
        "POST", "/oauth/revoke", BEARERS, ROAD, revocation.revoke, "End a session's role tokens (RFC 7009).",
        body=TokenForm, answer=Nothing, form=True, max_body=_FORM, wraps=oauth_error, rationed=False,
    ),
    Route(
        "POST", "/oauth/introspect", frozenset({Credential.SERVICE_ACCOUNT}), Need.operation("access"),
        introspection.introspect, "Ask whether a role token counts (RFC 7662).",
        body=TokenForm, answer=IntrospectionAnswer, form=True, max_body=_FORM,
    ),
    Route(
        "GET", "/.well-known/jwks.json", BEARERS, ROAD, discovery.key_set, "Our public keys (RFC 7517).",
        answer=KeySet, media="application/jwk-set+json", always=True, rationed=False,
    ),
    Route(
        "GET", "/.well-known/oauth-authorization-server", BEARERS, ROAD, discovery.metadata,
        "Where the OAuth endpoints are (RFC 8414).", answer=ServerMetadata, always=True, rationed=False,
    ),
)  # fmt: skip
