"""What is added to an oauthenticator class: traits that it lacks, and strictness about what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tornado.httpclient import HTTPClientError
from tornado.httputil import HTTPHeaders
from traitlets import Bool, List, Unicode
from traitlets.config import Configurable

from aizen_hub.hub.login.oidc.http import IdpFailed, read_json
from aizen_hub.hub.login.oidc.jwks import ALGORITHMS
from aizen_hub.hub.login.provider import show

VERIFIED = "aizen_verified_claims"
"""Where the claims of a verified ID token travel beside the token answer; no provider can put anything there."""


class OidcTraits(Configurable):
    """Mixed in before the class."""

    http_client: Any
    log: Any

    issuer = Unicode(
        config=True,
        help="""
        The issuer, exactly as the provider writes it. With it the addresses are discovered and ID tokens verified.

        Example: `https://keycloak.example.org/realms/aizen`. Warning: changing it later makes everybody a stranger.
        """,
    )
    client_secret_file = Unicode(
        config=True,
        help="""
        File with the client secret, so that it stands in no configuration file. Example: `/run/secrets/oidc-client`
        """,
    )
    subject_claim = Unicode(
        "sub",
        config=True,
        help="""
        Claim with the id that never changes and is never given twice, for providers without `issuer` only: with one it
        is `sub`. Example: `id` for GitHub and GitLab. Warning: a name or mail address here can pass to somebody else.
        """,
    )
    require_groups = Bool(
        True,
        config=True,
        help="""
        Whether a sign-in without the groups claim is refused, where `auth_state_groups_key`, `claim_groups_key`,
        `manage_groups` or `allowed_groups` is configured; a catalog with `groups_claim_required` demands it of every
        sign-in. False takes its absence for no groups at all, as Keycloak means it, which leaves the claim out for
        people without any.
        """,
    )
    realm_roles = Bool(
        False,
        config=True,
        help="""Keycloak: take realm roles for groups; `analyst` becomes the group `realm-role/analyst`.""",
    )
    client_roles = List(
        Unicode(),
        config=True,
        help="""
        Keycloak: clients whose roles are taken for groups; `execute` of `aizen` becomes `client-role/aizen/execute`.

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
        Warning: False leaves a browser signed in at the provider, so that one click signs in again.
        """,
    )

    logout_ends_servers = Bool(
        True,
        config=True,
        help="""
        Whether the provider's word that a session ended there (Back-Channel Logout 1.0) ends all that the person has
        here: browser sessions, hub tokens, and the sessions of their servers, which stop. False ends browser sessions
        alone: kernels go on, and are judged by what the provider says at the next refresh.
        """,
    )

    # -- how an oauthenticator class talks ---------------------------------------------------------------------------

    async def fetch(self, req: Any, label: str = "fetching", parse_json: bool = True, **more: Any) -> Any:
        """Send a request of the class; strict about JSON, and silent about what an error holds (R98)."""
        try:
            answer = await self.http_client.fetch(req, **more)
        except HTTPClientError as error:
            where = req.url.partition("?")[0]
            self.log.warning("%s: %s answers %d (%s)", label, where, error.code, oauth_error(error))
            raise
        if not parse_json:
            return answer
        return read_json(answer.body, req.url.partition("?")[0]) if answer.body else None

    async def token_to_user(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known of the person: the verified ID token, and userinfo about the same subject (Core 5.3.2).

        Raises
        ------
        IdpFailed
        """
        claims = token_info.get(VERIFIED)
        if self.issuer and (self.userdata_from_id_token or not self.userdata_url):  # type: ignore[attr-defined]
            if claims is None:
                raise IdpFailed("it sent no ID token")
            return dict(claims)
        told = await super().token_to_user(  # type: ignore[misc]
            {key: value for key, value in token_info.items() if key != VERIFIED}
        )
        if not isinstance(told, dict):
            raise IdpFailed("its userinfo is not a JSON object")
        if claims is not None and told.get("sub") != claims["sub"]:
            raise IdpFailed("its userinfo is about somebody else than its ID token")
        if "email_verified" in told:
            told.setdefault("verified_email", told["email_verified"])  # what Google's class still reads
        return {**(claims or {}), **told}

    def get_callback_url(self, handler: Any = None) -> str:
        """Return the configured address, or the one of this provider's own callback at this hub."""
        return self.oauth_callback_url or handler.public_address(handler.callback_path)  # type: ignore[attr-defined]


def oauth_error(error: HTTPClientError) -> str:
    """Return the error code of an OAuth answer (RFC 6749, 5.2), or a placeholder; nothing else of the answer."""
    body = error.response.body if error.response is not None else b""
    header = error.response.headers if error.response is not None else HTTPHeaders()
    try:
        code = read_json(body or b"", "").get("error")
    except (IdpFailed, AttributeError):
        code = None
    if code is None and 'error="invalid_token"' in header.get("WWW-Authenticate", ""):
        code = "invalid_token"
    return show(code, 40) if isinstance(code, str) else "no reason"
