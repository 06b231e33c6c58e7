"""Mistakes in the settings of an OIDC provider stop the start, with the key and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aizen_hub.client.service_client import ServiceClient
from aizen_hub.hub.login.oidc.http import url_fault
from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider_factory import build_providers
from aizen_hub.settings import ConfigurationError, ProviderSettings, Settings

GOOD = {"issuer": "https://login.example.org/realms/aizen", "client_id": "hub", "client_secret": "x"}
PLAIN = {
    "client_id": "hub",
    "authorize_url": "https://x.example.org/a",
    "token_url": "https://x.example.org/t",
    "userdata_url": "https://x.example.org/u",
}


def make(config: dict[str, Any], folder: Path = Path(), **more: Any) -> OidcProvider:
    return OidcProvider(ProviderSettings(name="idp", kind="oidc", config=config, **more), folder)


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "misspelt": ({**GOOD, "alowed_users": ["a"]}, ["config.alowed_users", "did you mean `allowed_users`"]),
    "another case": ({**GOOD, "client_Id": "x"}, ["config.client_Id", "`client_id`"]),
    "allow_all": ({**GOOD, "allow_all": True}, ["config.allow_all", "remove it"]),
    "existing users": ({**GOOD, "allow_existing_users": True}, ["config.allow_existing_users"]),
    "administrators": ({**GOOD, "admin_users": ["a"]}, ["config.admin_users", "AIZEN_ADMIN"]),
    "admin groups": ({**GOOD, "admin_groups": ["a"]}, ["config.admin_groups", "AIZEN_ADMIN"]),
    "map of names": ({**GOOD, "username_map": {"a": "b"}}, ["config.username_map"]),
    "empty users": ({**GOOD, "allowed_users": []}, ["config.allowed_users", "is empty"]),
    "empty groups": ({**GOOD, "allowed_groups": []}, ["config.allowed_groups", "is empty"]),
    "no PKCE": ({**GOOD, "enable_pkce": False}, ["config.enable_pkce", "remove it"]),
    "own state": ({**GOOD, "extra_authorize_params": {"state": "x"}}, ["config.extra_authorize_params.state"]),
    "own nonce": ({**GOOD, "extra_authorize_params": {"nonce": "x"}}, ["config.extra_authorize_params.nonce"]),
    "own verifier": ({**GOOD, "token_params": {"code_verifier": "x"}}, ["config.token_params.code_verifier"]),
    "no issuer": ({"client_id": "hub"}, ["config.issuer", "name the issuer"]),
    "issuer in clear": ({**GOOD, "issuer": "http://login.example.org"}, ["config.issuer", "https"]),
    "issuer with a query": ({**GOOD, "issuer": "https://x.example.org/?a"}, ["config.issuer", "query"]),
    "issuer with a fragment": ({**GOOD, "issuer": "https://x.example.org/#a"}, ["config.issuer", "fragment"]),
    "token address in clear": ({**PLAIN, "subject_claim": "id", "token_url": "http://x.test/t"}, ["config.token_url"]),
    "endpoint in clear": ({**GOOD, "userdata_url": "http://127.0.0.1/u"}, ["config.userdata_url"]),
    "no subject": (PLAIN, ["config.subject_claim", "immutable id"]),
    "other subject": ({**GOOD, "subject_claim": "email"}, ["config.subject_claim", "always `sub`"]),
    "unverified ID tokens": (
        {**PLAIN, "userdata_url": "", "userdata_from_id_token": True, "subject_claim": "sub"},
        ["config.issuer", "unverified"],
    ),
    "no client": ({"issuer": GOOD["issuer"]}, ["config.client_id"]),
    "no openid": ({**GOOD, "scope": ["profile"]}, ["config.scope", "`openid`"]),
    "HMAC": ({**GOOD, "id_token_algorithms": ["HS256"]}, ["config.id_token_algorithms", "HS256"]),
    "alg none": ({**GOOD, "id_token_algorithms": ["none"]}, ["config.id_token_algorithms"]),
    "no algorithm": ({**GOOD, "id_token_algorithms": []}, ["config.id_token_algorithms", "empty"]),
    "unverified TLS": ({**GOOD, "validate_server_cert": False}, ["config.validate_server_cert", "insecure_tls: true"]),
    "missing CA": ({**GOOD, "http_request_kwargs": {"ca_certs": "no.pem"}}, ["ca_certs", "no file"]),
    "redirects on": ({**GOOD, "http_request_kwargs": {"follow_redirects": True}}, ["follow_redirects"]),
    "callback of another": (
        {**GOOD, "oauth_callback_url": "https://hub.example.org/hub/oauth_callback"},
        ["config.oauth_callback_url", "/oidc/idp/callback"],
    ),
    "wrong type": ({**GOOD, "scope": 7}, ["config"]),
    "two secrets": ({**GOOD, "client_secret_file": "s"}, ["config.client_secret", "remove one"]),
    "no secret file": ({"issuer": GOOD["issuer"], "client_id": "hub", "client_secret_file": "s"}, ["cannot be read"]),
    "hook": ({**GOOD, "refresh_user_hook": "x"}, ["config.refresh_user_hook"]),
    "the hub's": ({**GOOD, "enable_auth_state": False}, ["config.enable_auth_state", "setting of the hub"]),
}


@pytest.mark.proves("R4", "R6")
@pytest.mark.parametrize(("config", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_key_and_fix(config: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make(config)
    for part in ("providers.idp.", *says):
        assert part in str(refused.value)


CLASSES: dict[str, tuple[dict[str, Any], str]] = {
    "GitHubOAuthenticator": ({}, "id"),
    "github": ({}, "id"),
    "oauthenticator.gitlab.GitLabOAuthenticator": ({}, "id"),
    "GoogleOAuthenticator": ({}, "id"),
    "BitbucketOAuthenticator": ({}, "uuid"),
    "GlobusOAuthenticator": ({}, "sub"),
    "Auth0OAuthenticator": ({"auth0_domain": "x.example.org"}, "sub"),
    "AzureAdOAuthenticator": ({"issuer": "https://login.microsoftonline.com/t/v2.0"}, "sub"),
    "CILogonOAuthenticator": (
        {
            "idps": {
                "https://github.com/login/oauth/authorize": {
                    "username_derivation": {"username_claim": "email"},
                    "allowed_domains": ["example.org"],
                }
            }
        },
        "sub",
    ),
    "OpenShiftOAuthenticator": (
        {
            "openshift_url": "https://o.example.org",
            "openshift_auth_api_url": "https://o.example.org",
            "openshift_rest_api_url": "https://o.example.org",
        },
        "metadata.uid",
    ),
}


@pytest.mark.parametrize(("name", "config", "subject"), [(name, *row) for name, row in CLASSES.items()], ids=CLASSES)
def test_every_class_of_oauthenticator(name: str, config: dict[str, Any], subject: str) -> None:
    provider = make({"client_id": "hub", "client_secret": "x", **config}, authenticator=name)
    assert provider.traits.subject_claim == subject
    # Requests of the class itself use the bounded client too.
    assert all(traits.http_client is provider._client for traits in provider._config.restrictions.values())
    assert provider.traits.http_client is provider._client


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("GithubOauthenticator", "did you mean `GitHubOAuthenticator`"),
        ("LocalGitHubOAuthenticator", "use `GitHubOAuthenticator`"),
        ("jupyterhub.auth.DummyAuthenticator", "not a class of oauthenticator"),
        ("nowhere.at.all", "cannot be loaded"),
        ("AzureAdOAuthenticator", "config.issuer"),
    ],
)
def test_an_invalid_class(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make({"client_id": "hub"}, authenticator=name)


def test_the_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("from a file\n")
    config = {"issuer": GOOD["issuer"], "client_id": "hub", "client_secret_file": "s"}
    assert make(config, tmp_path).traits.client_secret == "from a file"


@pytest.mark.proves("R25")
async def test_a_domain_of_cilogon_applies_in_addition_to_a_list_of_users() -> None:
    idps = CLASSES["CILogonOAuthenticator"][0]["idps"]
    provider = make({"client_id": "hub", "idps": idps, "allowed_users": ["bob@example.org"]}, authenticator="cilogon")

    async def enters(name: str) -> bool:
        user = {"idp": next(iter(idps)), "email": name}
        model = {"name": name, "admin": None, "groups": [], "auth_state": {"cilogon_user": user}}
        return all([await traits.check_allowed(name, dict(model)) for traits in provider._config.restrictions.values()])

    assert await enters("bob@example.org")
    assert not await enters("alice@example.org")
    assert not await enters("bob@example.com")


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://x.example.org/a?b", True),
        ("http://127.0.0.1:8080/a", True),
        ("http://[::1]:8080/a", True),
        ("http://localhost/a", True),
        ("http://idp.localhost/a", True),
        ("http://x.example.org/", False),
        ("http://127.0.0.1.example.org/", False),
        ("http://localhost.example.org/", False),
        ("https://user:password@x.example.org/", False),
        ("https:///a", False),
        ("file:///etc/passwd", False),
        ("ftp://x.example.org/", False),
        ("https://x.example.org/\r\nHost: y", False),
        ("https://x.example.org\\@y/", False),
        ("https://x.example.org:port/", False),
        ("", False),
        (None, False),
        (7, False),
    ],
)
def test_urls(url: Any, good: bool) -> None:
    assert (url_fault(url) is None) is good
    if isinstance(url, str) and url.startswith("http:"):
        assert url_fault(url, loopback=False) is not None


@pytest.mark.proves("R24")
@pytest.mark.parametrize("key", ["manage_groups", "require_groups"])
def test_settings_that_contradict_a_catalog_that_requires_groups(key: str) -> None:
    def provider(value: bool) -> OidcProvider:
        settings = ProviderSettings(name="idp", kind="oidc", config={**GOOD, key: value})
        return OidcProvider(settings, groups_required=True)

    provider(True).close()
    with pytest.raises(ConfigurationError, match=rf"`providers\.idp\.config\.{key}`: .*groups_claim_required: false"):
        provider(False)


@pytest.mark.proves("R24")
@pytest.mark.parametrize(
    ("catalog", "overlay", "fits"),
    [
        ("aizen", None, True),
        ("aihub", None, False),
        ("aihub", "groups_claim_required: false", True),
        ("aizen", "groups_claim_required: true", False),
        ("aihub", "groups_claim_required: [", False),
    ],
)
def test_the_catalog_determines_whether_groups_are_required(
    tmp_path: Path, catalog: str, overlay: str | None, fits: bool
) -> None:
    entry = {"name": "idp", "kind": "oidc", "config": {**GOOD, "require_groups": False}}
    given: dict[str, Any] = {"catalog": catalog, "providers": [{"name": "local", "kind": "local"}, entry]}
    if overlay is not None:
        (tmp_path / "overlay.yaml").write_text(overlay)
        given["overlays"] = ["overlay.yaml"]
    (tmp_path / "aizen.yaml").write_text(json.dumps(given))
    settings, client = Settings.load(tmp_path / "aizen.yaml", {}), ServiceClient("http://127.0.0.1:9", "s" * 32)
    if fits:
        for built in build_providers(settings, client, tmp_path).values():
            built.close()
    else:
        with pytest.raises(ConfigurationError):
            build_providers(settings, client, tmp_path)
