"""OAuth 2 by a real provider without an issuer, and by the classes of oauthenticator."""

from __future__ import annotations

from typing import Any

import pytest

from aizen_hub.hub.login.provider import NotLetIn
from tests.fixtures.oidc_provider_server import Idp
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


async def test_plain_oauth_2_by_its_three_addresses(make: Make, idp: Idp) -> None:
    provider = make(**_plain(idp))
    proof = await sign_in(provider, idp)
    assert proof.subject == f"{idp.issuer}#sub-of-alice"
    again = await provider.look_up(proof.subject, proof.name, proof.keep)
    assert again is not None


@pytest.mark.proves("R77")
async def test_without_id_tokens_nobody_has_signed_in_just_now(make: Make, idp: Idp) -> None:
    """The provider may answer from a session that is open in the browser."""
    with pytest.raises(NotLetIn, match="just now"):
        await sign_in(make(**_plain(idp)), idp, fresh=True)


async def test_a_class_of_oauthenticator_by_name(make: Make, idp: Idp) -> None:
    """Auth0's own check, here of the mail address, holds beside ours."""
    config = {"username_claim": None, "auth0_domain": "x.example.org"}
    idp.person("alice", email="alice@example.org", email_verified=True)
    assert (await sign_in(make(authenticator="auth0", **config), idp)).name == "alice@example.org"
    idp.person("alice", email="alice@example.org", email_verified=False)
    with pytest.raises(NotLetIn):
        await sign_in(make(authenticator="Auth0OAuthenticator", **config), idp)
