"""The realm in ``deploy/keycloak``: the content of its file, and its behaviour in a real Keycloak."""

from __future__ import annotations

import asyncio
import html
import re
import secrets
import threading
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Empty, Queue
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from oauthenticator.oauth2 import _serialize_state

from aizen_hub.hub.login.oidc.provider import OidcProvider
from aizen_hub.hub.login.provider import AccessDeniedError, AuthenticatedIdentity
from aizen_hub.settings import ProviderSettings
from aizen_hub.validation import strict_json
from tests.fixtures.identity.keycloak import REALM, Keycloak, running_keycloak

README = REALM.with_name("README.md")
PASSWORD = "a password of a user"


class TestFile:
    """Without a Keycloak: what can be checked before the import."""

    @pytest.fixture
    def realm(self) -> dict[str, Any]:
        realm = strict_json.loads(REALM.read_bytes())
        assert isinstance(realm, dict)
        return realm

    def clients(self, realm: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {client["clientId"]: client for client in realm["clients"]}

    @pytest.mark.proves("R8")
    def test_it_contains_no_secret_and_no_user(self, realm: dict[str, Any]) -> None:
        text = REALM.read_text()
        assert not re.search(r'"(secret|password|credentials|privateKey|certificate|value)"', text)
        accounts = {f"service-account-{name}" for name in ("aizen-service", "aihub-backend")}
        assert {user["username"] for user in realm["users"]} == accounts
        assert realm["registrationAllowed"] is False

    @pytest.mark.proves("R134")
    @pytest.mark.parametrize(
        ("name", "roles"),
        [("aizen-service", {"view-users"}), ("aihub-backend", {"impersonation", "view-users", "manage-users"})],
    )
    def test_a_service_account_has_the_documented_rights_and_no_others(
        self, realm: dict[str, Any], name: str, roles: set[str]
    ) -> None:
        (account,) = [user for user in realm["users"] if user["serviceAccountClientId"] == name]
        assert set(account["clientRoles"]) == {"realm-management"}
        assert set(account["clientRoles"]["realm-management"]) == roles
        assert "realmRoles" not in account
        client = self.clients(realm)[name]
        assert client["serviceAccountsEnabled"]
        assert not client["standardFlowEnabled"]
        assert not client["redirectUris"]

    def test_every_client_has_the_groups_scope(self, realm: dict[str, Any]) -> None:
        assert all("groups" in client["defaultClientScopes"] for client in realm["clients"])
        assert "groups" in realm["defaultDefaultClientScopes"]

    @pytest.mark.proves("R26")
    def test_the_hub_uses_codes_with_pkce_and_exact_addresses(self, realm: dict[str, Any]) -> None:
        hub = self.clients(realm)["aizen-hub"]
        assert hub["standardFlowEnabled"]
        assert hub["publicClient"] is False
        assert not any(hub[f"{flow}Enabled"] for flow in ("implicitFlow", "directAccessGrants", "serviceAccounts"))
        assert hub["attributes"]["pkce.code.challenge.method"] == "S256"
        # Otherwise the token of a Keycloak administrator, stored by the hub, could administer Keycloak.
        assert hub["fullScopeAllowed"] is False
        addresses = [*hub["redirectUris"], *(v for k, v in hub["attributes"].items() if "redirect" in k or "url" in k)]
        assert len(addresses) == 3
        assert all(address.startswith("${AIZEN_HUB_URL}/hub/") and "*" not in address for address in addresses)

    def test_groups_keep_their_path(self, realm: dict[str, Any]) -> None:
        (groups,) = [scope for scope in realm["clientScopes"] if scope["name"] == "groups"]
        (mapper,) = groups["protocolMappers"]
        assert mapper["config"]["full.path"] == "true"
        assert mapper["config"]["claim.name"] == "groups"

    def test_every_scope_that_is_used_is_defined(self, realm: dict[str, Any]) -> None:
        defined = {scope["name"] for scope in realm["clientScopes"]}
        for client in realm["clients"]:
            assert {*client["defaultClientScopes"], *client["optionalClientScopes"]} <= defined

    def test_the_settings_in_the_readme_are_valid(self) -> None:
        import yaml

        (block,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.S)
        (entry,) = yaml.safe_load(block)["providers"]
        entry["config"].pop("client_secret_file")
        provider = OidcProvider(ProviderSettings(**entry))
        assert provider.name == "keycloak"
        assert provider.traits.realm_roles is False


@pytest.fixture(scope="module")
def logout_listener() -> Iterator[tuple[str, Queue[str]]]:
    """A listener in place of the hub; returns its address and the logout tokens that it receives."""
    tokens: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            tokens.put(parse_qs(body)["logout_token"][0])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", tokens
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def keycloak(logout_listener: tuple[str, Queue[str]]) -> Iterator[Keycloak]:
    with running_keycloak(logout_listener[0]) as running:
        yield running


class _Stop(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return None if "/hub/" in newurl else super().redirect_request(req, fp, code, msg, headers, newurl)


def _follow(opener: urllib.request.OpenerDirector, url: str, form: dict[str, str] | None = None) -> tuple[str, str]:
    """Return the page, or the address at the hub where it ends."""
    try:
        with opener.open(url, None if form is None else urlencode(form).encode(), timeout=30) as page:
            return page.read().decode(), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(), error.headers.get("Location") or ""


def authorize(url: str, name: str) -> dict[str, str]:
    """Sign in at the page of Keycloak; returns the parameters of the callback."""
    # A browser sends secure cookies to this machine without TLS; this jar does so only if configured.
    jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar), _Stop()
    )
    page, back = _follow(opener, url)
    if not back:
        action = re.search(r'action="([^"]+)"', page)
        assert action is not None, page[:2000]
        page, back = _follow(opener, html.unescape(action[1]), {"username": name, "password": PASSWORD})
    assert back, page[:2000]
    return {key: values[0] for key, values in parse_qs(urlsplit(back).query).items()}


async def sign_in(provider: OidcProvider, name: str, **query: str | None) -> AuthenticatedIdentity:
    metadata = await provider.prepare_login()
    assert metadata is not None
    nonce, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    parameters: dict[str, str | None] = {
        "response_type": "code",
        "client_id": provider.traits.client_id,
        "redirect_uri": provider.traits.oauth_callback_url,
        "scope": " ".join(provider.traits.scope),
        "state": "x" * 16,
        "nonce": nonce,
        "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **query,
    }
    url = metadata.authorize_url + "?" + urlencode({key: value for key, value in parameters.items() if value})
    back = await asyncio.to_thread(authorize, url, name)
    if "code" not in back:
        raise AccessDeniedError(back["error_description"])
    assert back["iss"] == provider.issuer
    handler = SimpleNamespace(
        get_argument=lambda key, default="": back.get(key, default),
        get_state_cookie=lambda: _serialize_state({"code_verifier": verifier}),
    )
    return await provider.complete_login(handler, nonce=nonce, reauthenticated="prompt" in query)


@pytest.mark.needs("keycloak")
@pytest.mark.slow
class TestKeycloak:
    @pytest.fixture
    async def make(self, keycloak: Keycloak, logout_listener: tuple[str, Queue[str]]) -> Any:
        providers: list[OidcProvider] = []
        secret = await asyncio.to_thread(keycloak.client_secret, "aizen-hub")

        def build(**config: Any) -> OidcProvider:
            values = {
                "issuer": keycloak.issuer,
                "client_id": "aizen-hub",
                "client_secret": secret,
                "username_claim": "preferred_username",
                "scope": ["openid", "profile", "email", "groups"],
                "auth_state_groups_key": "oauth_user.groups",
                "require_groups": False,
                "oauth_callback_url": f"{logout_listener[0]}/hub/oidc/keycloak/callback",
                **config,
            }
            settings = ProviderSettings(name="keycloak", kind="oidc", deadline_seconds=20, config=values)
            providers.append(OidcProvider(settings))
            return providers[-1]

        yield build
        for provider in providers:
            provider.close()

    @pytest.mark.proves("R22", "R24")
    async def test_a_user_with_the_full_paths_of_their_groups(
        self, keycloak: Keycloak, make: Callable[..., OidcProvider]
    ) -> None:
        groups = ("/projects/admin", "/projects/churn/executors")
        subject = keycloak.create_user("alice", PASSWORD, groups)
        identity = await sign_in(make(), "alice")
        assert identity.subject == f"{keycloak.issuer}#{subject}"
        assert (identity.name, identity.email) == ("alice", "alice@example.org")
        assert identity.groups == groups
        # A member of `/projects/admin` is in no group `admin`, and not in `/projects` either.
        for wrong in ("admin", "/projects", "projects/admin"):
            with pytest.raises(AccessDeniedError):
                await sign_in(make(allowed_groups=[wrong]), "alice")

    @pytest.mark.proves("R63", "T-50")
    async def test_a_refresh_sees_removed_groups_and_disabled_users(
        self, keycloak: Keycloak, make: Callable[..., OidcProvider]
    ) -> None:
        subject = keycloak.create_user("bob", PASSWORD, ("/projects/churn", "/projects/fraud"))
        provider = make()
        identity = await sign_in(provider, "bob")
        keycloak.admin("DELETE", f"/users/{subject}/groups/{keycloak.create_group('/projects/fraud')}")
        refreshed = await provider.refresh(identity.subject, identity.name, identity.provider_state)
        assert refreshed is not None
        assert refreshed.groups == ("/projects/churn",)
        keycloak.admin("PUT", f"/users/{subject}", {"enabled": False})
        assert await provider.refresh(identity.subject, identity.name, refreshed.provider_state) is None

    async def test_realm_and_client_roles_as_groups(
        self, keycloak: Keycloak, make: Callable[..., OidcProvider]
    ) -> None:
        subject = keycloak.create_user("carol", PASSWORD, ("/projects/churn",))
        (hub,) = keycloak.admin("GET", "/clients?clientId=aizen-hub")
        for path, user_path in (
            ("/roles", f"/users/{subject}/role-mappings/realm"),
            (f"/clients/{hub['id']}/roles", f"/users/{subject}/role-mappings/clients/{hub['id']}"),
        ):
            keycloak.admin("POST", path, {"name": "analyst"})
            role = keycloak.admin("GET", f"{path}/analyst")
            keycloak.admin("POST", user_path, [role])
            if path == "/roles":
                keycloak.admin("POST", f"/clients/{hub['id']}/scope-mappings/realm", [role])
        scope = ["openid", "profile", "groups", "roles"]
        identity = await sign_in(make(scope=scope, realm_roles=True, client_roles=["aizen-hub"]), "carol")
        assert identity.groups == ("/projects/churn", "client-role/aizen-hub/analyst", "realm-role/analyst")

    @pytest.mark.proves("R26")
    async def test_keycloak_refuses_a_request_without_pkce(self, make: Callable[..., OidcProvider]) -> None:
        with pytest.raises(AccessDeniedError, match="code_challenge"):
            await sign_in(make(), "alice", code_challenge=None, code_challenge_method=None)

    async def test_a_recent_login(self, keycloak: Keycloak, make: Callable[..., OidcProvider]) -> None:
        keycloak.create_user("erin", PASSWORD)
        identity = await sign_in(make(), "erin", prompt="login", max_age="0")
        assert identity.authenticated_at is not None
        # A user without groups: Keycloak omits the claim, which means no groups, not unknown groups.
        assert identity.groups == ()
        with pytest.raises(AccessDeniedError, match="is missing"):
            await sign_in(make(require_groups=True), "erin")

    def test_every_client_sends_the_groups_claim_also_one_that_is_added(self, keycloak: Keycloak) -> None:
        own = {"account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"}
        keycloak.admin("POST", "/clients", {"clientId": "added", "protocol": "openid-connect"})
        clients = keycloak.admin("GET", "/clients")
        scopes = {
            client["clientId"]: {
                scope["name"] for scope in keycloak.admin("GET", f"/clients/{client['id']}/default-client-scopes")
            }
            for client in clients
        }
        assert {"aizen-hub", "aizen-service", "aihub-backend", "added"} <= set(scopes)
        assert {name for name, names in scopes.items() if "groups" not in names} <= own

    def test_the_backend_of_ai_hub_acts_for_users_reads_and_creates(self, keycloak: Keycloak) -> None:
        token = keycloak.token(
            grant_type="client_credentials",
            client_id="aihub-backend",
            client_secret=keycloak.client_secret("aihub-backend"),
        )
        subject = keycloak.create_user("heidi", PASSWORD, ("/projects/churn",))
        users = "/admin/realms/aizen/users"
        groups = keycloak.request("GET", f"{users}/{subject}/groups", token=token)
        assert [group["path"] for group in groups] == ["/projects/churn"]
        assert keycloak.request("POST", f"{users}/{subject}/impersonation", {}, token=token)
        assert keycloak.request("POST", users, {"username": "migrated"}, token=token)
        assert keycloak.request("POST", "/admin/realms/aizen/groups", {"name": "migrated"}, token=token)
        with pytest.raises(urllib.error.HTTPError) as refused:
            keycloak.request("PUT", "/admin/realms/aizen", {"registrationAllowed": True}, token=token)
        assert refused.value.code == 403

    @pytest.mark.proves("R134")
    def test_the_service_account_may_read_and_nothing_else(self, keycloak: Keycloak) -> None:
        token = keycloak.token(
            grant_type="client_credentials",
            client_id="aizen-service",
            client_secret=keycloak.client_secret("aizen-service"),
        )
        subject = keycloak.create_user("frank", PASSWORD, ("/projects/churn",))
        groups = keycloak.request("GET", f"/admin/realms/aizen/users/{subject}/groups", token=token)
        assert [group["path"] for group in groups] == ["/projects/churn"]
        assert keycloak.request("GET", "/admin/realms/aizen/clients", token=token) == []
        for method, path, body in (
            ("PUT", f"/users/{subject}", {"enabled": False}),
            ("POST", "/users", {"username": "mallory"}),
            ("DELETE", f"/users/{subject}", None),
            ("POST", f"/users/{subject}/impersonation", {}),
            ("POST", "/groups", {"name": "x"}),
            ("PUT", "", {"registrationAllowed": True}),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                keycloak.request(method, f"/admin/realms/aizen{path}", body, token=token)
            assert refused.value.code == 403, path

    async def test_keycloak_reports_the_end_of_a_session(
        self, keycloak: Keycloak, make: Callable[..., OidcProvider], logout_listener: tuple[str, Queue[str]]
    ) -> None:
        subject = keycloak.create_user("grace", PASSWORD)
        provider = make()
        identity = await sign_in(provider, "grace")
        while True:
            try:
                logout_listener[1].get_nowait()
            except Empty:
                break
        keycloak.admin("POST", f"/users/{subject}/logout")
        token = await asyncio.to_thread(logout_listener[1].get, True, 20)
        assert await provider.verify_logout_token(token) == (identity.subject, identity.provider_state["sid"])
        with pytest.raises(AccessDeniedError, match="used before"):
            await provider.verify_logout_token(token)
        assert await provider.refresh(identity.subject, identity.name, identity.provider_state) is None

    async def test_signing_out_redirects_to_keycloak(
        self, keycloak: Keycloak, make: Callable[..., OidcProvider]
    ) -> None:
        provider = make()
        url = await provider.logout_url({"id_token": "x"}, "http://127.0.0.1:1/hub/login")
        assert url is not None
        assert url.startswith(f"{keycloak.issuer}/protocol/openid-connect/logout?client_id=aizen-hub&")
