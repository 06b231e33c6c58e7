"""Mixin for oauthenticator classes: additional traits, and strict validation of responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tornado.httpclient import HTTPClientError
from tornado.httputil import HTTPHeaders
from traitlets import Bool, List, Unicode
from traitlets.config import Configurable

from aizen_hub.hub.login.oidc.http import IdpError, read_json
from aizen_hub.hub.login.oidc.jwks import ALGORITHMS
from aizen_hub.hub.login.provider import printable

VERIFIED_CLAIMS_KEY = "aizen_verified_claims"
"""Key of the verified ID token's claims in a token response; a value sent by the provider is removed."""


class OidcTraits(Configurable):
    """Traits and overrides; mixed in before the class."""

    http_client: Any
    log: Any

    issuer = Unicode(
        config=True,
        help="""
        The issuer, exactly as the provider writes it. With it URLs are discovered and ID tokens verified.

        Example: `https://keycloak.example.org/realms/aizen`. Warning: after a change no registered user is recognised
        any more.
        """,
    )
    client_secret_file = Unicode(
        config=True,
        help="""
        File with the client secret, so that no configuration file contains it. Example: `/run/secrets/oidc-client`
        """,
    )
    subject_claim = Unicode(
        "sub",
        config=True,
        help="""
        Claim with the immutable id, which is never reused, for providers without `issuer` only: with one it is `sub`.
        Example: `id` for GitHub and GitLab. Warning: a name or e-mail address here can pass to another user.
        """,
    )
    require_groups = Bool(
        True,
        config=True,
        help="""
        Whether a login without the groups claim is denied, where `auth_state_groups_key`, `claim_groups_key`,
        `manage_groups` or `allowed_groups` is configured; a catalog with `groups_claim_required` requires it at every
        login. False treats its absence as no groups, as Keycloak does, which omits the claim for users without any.
        """,
    )
    realm_roles = Bool(
        False,
        config=True,
        help="""Keycloak: treat realm roles as groups; `analyst` becomes the group `realm-role/analyst`.""",
    )
    client_roles = List(
        Unicode(),
        config=True,
        help="""
        Keycloak: clients whose roles are treated as groups; `execute` of `aizen` becomes `client-role/aizen/execute`.

        Example: `["aizen"]`
        """,
    )
    id_token_algorithms = List(
        Unicode(),
        default_value=list(ALGORITHMS),
        config=True,
        help="""Signature algorithms that are accepted. Example: `["RS256"]`. `none` and HMAC never are.""",
    )
    single_logout = Bool(
        True,
        config=True,
        help="""
        Whether signing out of the hub signs out of the provider too, where it offers that (RP-Initiated Logout 1.0).
        Warning: with False a browser stays signed in at the provider, so that one click signs in again.
        """,
    )

    logout_ends_servers = Bool(
        True,
        config=True,
        help="""
        Whether a back-channel logout of the provider (Back-Channel Logout 1.0) ends everything the user has here:
        browser sessions, hub tokens, and server sessions, whose servers stop. False ends browser sessions only:
        kernels keep running, and the next refresh at the provider decides about them.
        """,
    )

    # -- overrides of OAuthenticator ---------------------------------------------------------------------------------

    async def fetch(self, req: Any, label: str = "fetching", parse_json: bool = True, **options: Any) -> Any:
        """Send a request of the class; parse JSON strictly, and do not log response bodies of errors (R98)."""
        try:
            response = await self.http_client.fetch(req, **options)
        except HTTPClientError as error:
            url = req.url.partition("?")[0]
            self.log.warning("%s: %s responded with status %d (%s)", label, url, error.code, oauth_error(error))
            raise
        if not parse_json:
            return response
        return read_json(response.body, req.url.partition("?")[0]) if response.body else None

    async def token_to_user(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        """Return the user's claims: the verified ID token, and userinfo about the same subject (Core 5.3.2).

        Raises
        ------
        IdpError
        """
        claims = token_info.get(VERIFIED_CLAIMS_KEY)
        if self.issuer and (self.userdata_from_id_token or not self.userdata_url):  # type: ignore[attr-defined]
            if claims is None:
                raise IdpError("it sent no ID token")
            return dict(claims)
        user_info = await super().token_to_user(  # type: ignore[misc]
            {key: value for key, value in token_info.items() if key != VERIFIED_CLAIMS_KEY}
        )
        if not isinstance(user_info, dict):
            raise IdpError("its userinfo is not a JSON object")
        if claims is not None and user_info.get("sub") != claims["sub"]:
            raise IdpError("its userinfo has another subject than its ID token")
        if "email_verified" in user_info:
            user_info.setdefault("verified_email", user_info["email_verified"])  # read by Google's class
        return {**(claims or {}), **user_info}

    def get_callback_url(self, handler: Any = None) -> str:
        """Return the configured URL, or that of this provider's callback at this hub."""
        return self.oauth_callback_url or handler.public_address(handler.callback_path)  # type: ignore[attr-defined]


def oauth_error(error: HTTPClientError) -> str:
    """Return the error code of an OAuth error response (RFC 6749, 5.2), or a placeholder."""
    body = error.response.body if error.response is not None else b""
    header = error.response.headers if error.response is not None else HTTPHeaders()
    try:
        code = read_json(body or b"", "").get("error")
    except (IdpError, AttributeError):
        code = None
    if code is None and 'error="invalid_token"' in header.get("WWW-Authenticate", ""):
        code = "invalid_token"
    return printable(code, 40) if isinstance(code, str) else "no reason"
