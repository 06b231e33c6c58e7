"""OAuth 2 with a real provider without an issuer, and with the classes of oauthenticator."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.login.provider import AccessDeniedError
from tests.fixtures.identity.oidc_provider_server import Idp
from tests.hub.login.oidc.login_flow import Make, sign_in

pytestmark = pytest.mark.needs("oidc")


def _plain(idp: Idp) -> dict[str, Any]:
    return {
        "issuer": None,
        "authorize_url": f"{idp.issuer}/auth",
        "token_url": f"{idp.issuer}/token",
        "userdata_url": f"{idp.issuer}/me",
        "subject_claim": "sub",
    }


async def test_plain_oauth_2_with_three_urls(make: Make, idp: Idp) -> None:
    provider = make(**_plain(idp))
    identity = await sign_in(provider, idp)
    assert identity.subject == f"{idp.issuer}#sub-of-alice"
    again = await provider.refresh(identity.subject, identity.name, identity.provider_state)
    assert again is not None


@pytest.mark.proves("R77")
async def test_without_id_tokens_no_login_is_recent(make: Make, idp: Idp) -> None:
    """The provider may respond from an existing browser session."""
    with pytest.raises(AccessDeniedError, match="just now"):
        await sign_in(make(**_plain(idp)), idp, fresh=True)


async def test_a_class_of_oauthenticator_by_name(make: Make, idp: Idp) -> None:
    """Auth0's own check, here of the e-mail address, applies in addition."""
    config = {"username_claim": None, "auth0_domain": "x.example.org"}
    idp.add_user("alice", email="alice@example.org", email_verified=True)
    assert (await sign_in(make(authenticator="auth0", **config), idp)).name == "alice@example.org"
    idp.add_user("alice", email="alice@example.org", email_verified=False)
    with pytest.raises(AccessDeniedError):
        await sign_in(make(authenticator="Auth0OAuthenticator", **config), idp)
