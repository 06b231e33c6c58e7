"""Sign-in by a real OpenID provider, honest and not: who comes in, with which groups, and who does not."""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import pytest
from oauthenticator.oauth2 import _serialize_state

from aizen_hub.hub.login.oidc import GrantRefused, OidcProvider
from aizen_hub.hub.login.provider import NotLetIn, Proof, ProviderUnreachable
from aizen_hub.settings import ProviderSettings
from tests.fixtures.oidc_provider_server import CALLBACK, Idp, running_idp

pytestmark = [pytest.mark.needs("oidc"), pytest.mark.xdist_group("oidc")]

Make = Callable[..., OidcProvider]


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    with running_idp() as running:
        yield running


@pytest.fixture(autouse=True)
def honest(idp: Idp) -> None:
    idp.people.clear()
    idp.person("alice", email="alice@example.org", email_verified=True, groups=["staff", "/projects/admin"])
    idp.control(faults={}, rotate=False, conform=True, logout={})


@pytest.fixture
async def make(idp: Idp) -> AsyncIterator[Make]:
    made: list[OidcProvider] = []

    def build(seconds: float = 5.0, authenticator: str | None = None, **config: Any) -> OidcProvider:
        settings = ProviderSettings(
            name="idp",
            kind="oidc",
            label="Lab IdP",
            deadline_seconds=seconds,
            authenticator=authenticator,
            config=idp.settings(**config),
        )
        made.append(OidcProvider(settings))
        return made[-1]

    yield build
    for one in made:
        one.close()


@dataclass
class Answer:
    """What the callback handler is for a provider; the handler itself is tested with a whole hub."""

    told: dict[str, str]
    verifier: str
    callback_path: str = "oidc/idp/callback"
    log: Any = field(default=None)

    def get_argument(self, name: str, default: str = "") -> str:
        return self.told.get(name, default)

    def get_state_cookie(self) -> str:
        return str(_serialize_state({"code_verifier": self.verifier}))


async def sign_in(
    provider: OidcProvider, idp: Idp, name: str = "alice", *, fresh: bool = False, verifier: str = "", **changed: str
) -> Proof:
    """Walk the whole way; ``changed`` replaces what the browser brings back."""
    known = await provider.begin()
    nonce, proof_key = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    query = {
        "response_type": "code",
        "client_id": provider.traits.client_id,
        "redirect_uri": CALLBACK,
        "scope": " ".join(provider.traits.scope),
        "state": "s" * 16,
        "nonce": changed.pop("nonce", nonce),
        "code_challenge": urlsafe_b64encode(sha256(proof_key.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **({"prompt": "login", "max_age": "0"} if fresh else {}),
    }
    url = (known.authorize_url if known else provider.traits.authorize_url) + "?" + urlencode(query)
    told = await asyncio.to_thread(idp.authorize, url, name)
    return await provider.finish(Answer({**told, **changed}, verifier or proof_key), nonce=nonce, fresh=fresh)


@pytest.mark.proves("R22", "R23", "R24")
async def test_a_person_is_issuer_and_subject(make: Make, idp: Idp) -> None:
    proof = await sign_in(make(auth_state_groups_key="oauth_user.groups"), idp)
    assert (proof.provider, proof.name, proof.display_name) == ("idp", "alice", "Alice")
    assert proof.subject == f"{idp.issuer}#sub-of-alice"
    assert proof.email == "alice@example.org"
    # The whole path is the name, never its leaf.
    assert proof.groups == ("/projects/admin", "staff")


# -- groups: F6, R24 -------------------------------------------------------------------------------------------------

URL_CLAIM = "https://example.org/groups"
BAD_GROUPS = {
    "text": "AIZEN_ADMIN",
    "object": {"AIZEN_ADMIN": True},
    "null": None,
    "number": 7,
    "true": True,
    "nested list": [["AIZEN_ADMIN"]],
    "number inside": ["staff", 7],
    "null inside": ["staff", None],
    "object inside": [{"name": "staff"}],
    "too many": [f"g{number}" for number in range(1001)],
    "empty name": ["staff", ""],
    "line feed": ["staff\n"],
    "override character": ["st\u202eaff"],
    "very long": ["x" * 256],
}


@pytest.mark.proves("R24", "T-20")
@pytest.mark.parametrize("groups", BAD_GROUPS.values(), ids=BAD_GROUPS)
@pytest.mark.parametrize("configured", [True, False], ids=["configured", "by default"])
async def test_groups_are_a_list_of_names_or_nobody_comes_in(
    make: Make, idp: Idp, groups: Any, configured: bool
) -> None:
    idp.person("alice", groups=groups)
    provider = make(**({"auth_state_groups_key": "oauth_user.groups"} if configured else {}))
    with pytest.raises(NotLetIn, match=r"the claim `(oauth_user\.)?groups`"):
        await sign_in(provider, idp)


GROUP_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    # id: (what the provider says, configuration, groups or what is refused)
    "default name": ({"groups": ["b", "a"]}, {}, ("a", "b")),
    "twice is once": ({"groups": ["a", "a"]}, {}, ("a",)),
    "empty list": ({"groups": []}, {"manage_groups": True}, ()),
    "a thousand": ({"groups": [f"g{n:04}" for n in range(1000)]}, {}, tuple(f"g{n:04}" for n in range(1000))),
    "unicode twins stay two": ({"groups": ["admin", "\u0430dmin"]}, {}, ("admin", "\u0430dmin")),
    "escaped comma": ({"groups": ["cn=a\\,b,dc=x"]}, {}, ("cn=a\\,b,dc=x",)),
    "missing, not configured": ({"groups": ...}, {}, None),
    "missing, key configured": ({"groups": ...}, {"auth_state_groups_key": "oauth_user.groups"}, "oauth_user.groups"),
    "missing, manage_groups": ({"groups": ...}, {"manage_groups": True}, "oauth_user.groups"),
    "missing, allowed_groups": ({"groups": ...}, {"allowed_groups": ["a"]}, "oauth_user.groups"),
    "missing, not required": ({"groups": ...}, {"manage_groups": True, "require_groups": False}, ()),
    "missing, not required, but malformed": (
        {"groups": None},
        {"manage_groups": True, "require_groups": False},
        "oauth_user.groups",
    ),
    "not managed": ({"groups": ["a"]}, {"manage_groups": False}, None),
    "not managed, malformed": ({"groups": "a"}, {"manage_groups": False}, None),
    "claim_groups_key": ({"groups": ["a"]}, {"claim_groups_key": "groups", "manage_groups": True}, ("a",)),
    "url as a name": ({URL_CLAIM: ["a"]}, {"claim_groups_key": URL_CLAIM, "manage_groups": True}, ("a",)),
    "url as a key": ({URL_CLAIM: ["a"]}, {"auth_state_groups_key": f"oauth_user.{URL_CLAIM}"}, ("a",)),
    "nested": ({"nested": {"deep": ["a"]}}, {"auth_state_groups_key": "oauth_user.nested.deep"}, ("a",)),
    "nested literal first": (
        {"nested": {"deep.er": ["a"], "deep": {"er": ["b"]}}},
        {"auth_state_groups_key": "oauth_user.nested.deep.er"},
        ("a",),
    ),
    "path into a list": (
        {"nested": ["deep"]},
        {"auth_state_groups_key": "oauth_user.nested.deep"},
        "oauth_user.nested.deep",
    ),
    "realm roles": (
        {"groups": ["/a"], "realm_access": {"roles": ["analyst"]}},
        {"realm_roles": True},
        ("/a", "realm-role/analyst"),
    ),
    "roles not asked for": ({"groups": ["/a"], "realm_access": {"roles": ["analyst"]}}, {}, ("/a",)),
    "client roles": (
        {"resource_access": {"aizen": {"roles": ["run"]}, "other": {"roles": ["run"]}}},
        {"client_roles": ["aizen"]},
        ("client-role/aizen/run",),
    ),
    "client with a dot": (
        {"resource_access": {"a.b": {"roles": ["run"]}, "a": {"b": {"roles": ["root"]}}}},
        {"client_roles": ["a.b"]},
        ("client-role/a.b/run",),
    ),
    "a group cannot look like a role": (
        {"groups": ["realm-role/admin", "Client-Role/aizen/x", "/a"], "realm_access": {"roles": ["analyst"]}},
        {"realm_roles": True},
        ("/a", "realm-role/analyst"),
    ),
    "no roles": ({"groups": ["/a"]}, {"realm_roles": True, "client_roles": ["aizen"]}, ("/a",)),
    "malformed realm roles": ({"realm_access": {"roles": "admin"}}, {"realm_roles": True}, "realm_access.roles"),
    "malformed client roles": (
        {"resource_access": {"aizen": {"roles": {"admin": 1}}}},
        {"client_roles": ["aizen"]},
        "roles",
    ),
}


@pytest.mark.proves("R24", "T-20")
@pytest.mark.parametrize(("claims", "config", "expected"), GROUP_ROWS.values(), ids=GROUP_ROWS)
async def test_groups(make: Make, idp: Idp, claims: dict[str, Any], config: dict[str, Any], expected: Any) -> None:
    idp.person("alice", **claims)
    provider = make(**config)
    if isinstance(expected, str):
        with pytest.raises(NotLetIn, match=f"the claim `{expected}`"):
            await sign_in(provider, idp)
    else:
        assert (await sign_in(provider, idp)).groups == expected


# -- who comes in: every restriction alone and together (R25) --------------------------------------------------------

ALICE = {"groups": ["staff"], "email": "alice@example.org", "email_verified": True}
IN_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "nothing configured": (ALICE, {}, True),
    "user on the list": (ALICE, {"allowed_users": ["alice"]}, True),
    "user not on the list": (ALICE, {"allowed_users": ["bob"]}, False),
    "group on the list": (ALICE, {"allowed_groups": ["staff", "x"]}, True),
    "group not on the list": (ALICE, {"allowed_groups": ["x"]}, False),
    "part of a group's name": (ALICE, {"allowed_groups": ["sta"]}, False),
    "leaf of a group's path": ({"groups": ["/projects/admin"]}, {"allowed_groups": ["admin"]}, False),
    "user and group": (ALICE, {"allowed_users": ["alice"], "allowed_groups": ["staff"]}, True),
    "user but not group": (ALICE, {"allowed_users": ["alice"], "allowed_groups": ["x"]}, False),
    "group but not user": (ALICE, {"allowed_users": ["bob"], "allowed_groups": ["staff"]}, False),
    "scope granted": (ALICE, {"allowed_scopes": ["openid"]}, True),
    "scope not granted": (ALICE, {"scope": ["openid", "groups", "gone"], "allowed_scopes": ["gone"]}, False),
    "scope but not user": (ALICE, {"allowed_scopes": ["openid"], "allowed_users": ["bob"]}, False),
    "blocked": (ALICE, {"blocked_users": ["alice"]}, False),
    "blocked though allowed": (ALICE, {"blocked_users": ["alice"], "allowed_users": ["alice"]}, False),
    "mail, verified": (ALICE, {"username_claim": "email"}, True),
    "mail, not verified": ({**ALICE, "email_verified": False}, {"username_claim": "email"}, False),
    "mail, nothing said": ({**ALICE, "email_verified": ...}, {"username_claim": "email"}, False),
    "mail, a text that says true": ({**ALICE, "email_verified": "true"}, {"username_claim": "email"}, False),
    "name that is the mail, not verified": (
        {**ALICE, "preferred_username": "alice@example.org", "email_verified": False},
        {},
        False,
    ),
    "name beside an unverified mail": ({**ALICE, "email_verified": False}, {}, True),
    "name claim missing": ({"preferred_username": ...}, {}, False),
    "name claim a list": ({"preferred_username": ["alice"]}, {}, False),
    "name claim empty": ({"preferred_username": ""}, {}, False),
    "name with a line feed": ({"preferred_username": "alice\n"}, {}, False),
    "roles as allowed groups": (
        {"realm_access": {"roles": ["analyst"]}},
        {"realm_roles": True, "allowed_groups": ["realm-role/analyst"]},
        True,
    ),
}


@pytest.mark.proves("R25", "R22")
@pytest.mark.parametrize(("claims", "config", "enters"), IN_ROWS.values(), ids=IN_ROWS)
async def test_who_comes_in(make: Make, idp: Idp, claims: dict[str, Any], config: dict[str, Any], enters: bool) -> None:
    idp.person("alice", **claims)
    provider = make(**config)
    if enters:
        assert (await sign_in(provider, idp)).name == (claims or ALICE).get(config.get("username_claim", ""), "alice")
    else:
        with pytest.raises(NotLetIn):
            await sign_in(provider, idp)


async def test_an_unverified_mail_address_is_not_shown(make: Make, idp: Idp) -> None:
    idp.person("alice", email="root@example.org", email_verified=False)
    assert (await sign_in(make(), idp)).email is None


@pytest.mark.proves("R22")
async def test_equal_short_names_of_two_domains_are_two_people(make: Make, idp: Idp) -> None:
    found = []
    for domain in ("example.org", "example.com"):
        idp.person("alice", sub=f"alice-of-{domain}", email=f"alice@{domain}", email_verified=True)
        found.append(await sign_in(make(username_claim="email"), idp))
    assert [one.name for one in found] == ["alice@example.org", "alice@example.com"]
    assert found[0].subject != found[1].subject


# -- ID tokens: each check of R23 has its lie ------------------------------------------------------------------------

NOW = time.time()
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "no ID token": ({"drop": True}, "compact form"),
    "foreign key": ({"key": "foreign"}, "signature"),
    "flipped signature": ({"flip": True}, "signature"),
    "unknown kid": ({"header": {"kid": "another"}}, "key that the provider does not publish"),
    "alg none": ({"key": "none", "header": {"alg": "none"}}, "compact form"),
    "public key as secret": ({"key": "hmac", "header": {"alg": "HS256"}}, "alg"),
    "crit": ({"header": {"b64": True}}, "header"),
    "key brought along": ({"header": {"jwk": {"kty": "RSA"}}}, "header"),
    "key address brought along": ({"header": {"jku": "http://127.0.0.1:9/"}}, "header"),
    "role token": ({"header": {"typ": "aizen-role+jwt"}}, "typ"),
    "access token": ({"header": {"typ": "at+jwt"}}, "typ"),
    "logout token": ({"header": {"typ": "logout+jwt"}}, "typ"),
    "other issuer": ({"claims": {"iss": "https://evil.example.org"}}, "iss"),
    "issuer with a slash": ({"claims": {"iss": "SLASH"}}, "iss"),
    "no issuer": ({"claims": {"iss": None}}, "iss"),
    "other audience": ({"claims": {"aud": "other"}}, "aud"),
    "no audience": ({"claims": {"aud": None}}, "aud"),
    "audience an object": ({"claims": {"aud": {"hub": 1}}}, "aud"),
    "several audiences without azp": ({"claims": {"aud": ["hub", "other"]}}, "azp"),
    "other azp": ({"claims": {"aud": ["hub", "other"], "azp": "other"}}, "azp"),
    "other azp, one audience": ({"claims": {"azp": "other"}}, "azp"),
    "expired": ({"claims": {"exp": int(NOW) - 60}}, "exp"),
    "no end": ({"claims": {"exp": None}}, "exp"),
    "end as text": ({"claims": {"exp": "9999999999"}}, "exp"),
    "end true": ({"claims": {"exp": True}}, "exp"),
    "from the future": ({"claims": {"iat": int(NOW) + 7200}}, "iat"),
    "not yet valid": ({"claims": {"nbf": int(NOW) + 7200}}, "nbf"),
    "other nonce": ({"claims": {"nonce": "another"}}, "nonce"),
    "no nonce": ({"claims": {"nonce": None}}, "nonce"),
    "no subject": ({"claims": {"sub": None}}, "sub"),
    "subject a number": ({"claims": {"sub": 7}}, "sub"),
    "subject too long": ({"claims": {"sub": "x" * 256}}, "sub"),
    "other access token": ({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "at_hash"),
}


@pytest.mark.proves("R23", "R38", "R39", "R43", "T-13")
@pytest.mark.parametrize(("fault", "says"), LIES.values(), ids=LIES)
async def test_a_false_id_token_lets_nobody_in(make: Make, idp: Idp, fault: dict[str, Any], says: str) -> None:
    if fault.get("claims", {}).get("iss") == "SLASH":
        fault = {"claims": {"iss": idp.issuer + "/"}}
    idp.control(faults={"id_token": fault})
    with pytest.raises(NotLetIn, match=says):
        await sign_in(make(), idp)


TRUTHS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "audience in a list": {"claims": {"aud": ["hub"]}},
    "several audiences with azp": {"claims": {"aud": ["hub", "other"], "azp": "hub"}},
    "typ": {"header": {"typ": "JWT"}},
    "just expired, within the skew": {"claims": {"exp": int(NOW) + 5}},
}


@pytest.mark.parametrize("fault", TRUTHS.values(), ids=TRUTHS)
async def test_a_true_id_token_lets_in(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    if "exp" in fault.get("claims", {}):
        fault = {"claims": {"exp": int(time.time()) - 5}}
    idp.control(faults={"id_token": fault})
    assert (await sign_in(make(), idp)).name == "alice"


@pytest.mark.proves("R23")
async def test_the_allow_list_of_algorithms_holds(make: Make, idp: Idp) -> None:
    with pytest.raises(NotLetIn, match="alg"):
        await sign_in(make(id_token_algorithms=["ES256"]), idp)


@pytest.mark.proves("R26")
async def test_a_code_needs_its_verifier(make: Make, idp: Idp) -> None:
    with pytest.raises(GrantRefused):
        await sign_in(make(), idp, verifier="x" * 43)


@pytest.mark.proves("R26")
async def test_a_made_up_code_is_refused(make: Make, idp: Idp) -> None:
    with pytest.raises(GrantRefused):
        await sign_in(make(), idp, code="made-up")


async def test_userinfo_about_somebody_else_is_refused(make: Make, idp: Idp) -> None:
    idp.control(faults={"userinfo": {"merge": {"sub": "sub-of-root"}}})
    with pytest.raises(ProviderUnreachable):
        await sign_in(make(), idp)


async def test_claims_of_the_id_token_alone(make: Make, idp: Idp) -> None:
    idp.control(conform=False)
    proof = await sign_in(make(userdata_from_id_token=True, auth_state_groups_key="oauth_user.groups"), idp)
    assert proof.groups == ("/projects/admin", "staff")


async def test_a_fresh_sign_in_is_proven_by_auth_time(make: Make, idp: Idp) -> None:
    proof = await sign_in(make(), idp, fresh=True)
    assert proof.authenticated_at is not None
    assert abs(time.time() - proof.authenticated_at) < 60
    for claims in ({"auth_time": None}, {"auth_time": int(time.time()) - 3600}):
        idp.control(faults={"id_token": {"claims": claims}})
        with pytest.raises(NotLetIn, match="again"):
            await sign_in(make(), idp, fresh=True)


# -- keys and metadata (T-12) ----------------------------------------------------------------------------------------


async def test_rotated_keys_are_found_once_a_minute(make: Make, idp: Idp) -> None:
    provider = make()
    await sign_in(provider, idp)
    before = idp.control()["calls"]["jwks"]
    idp.control(rotateKeys=True)
    assert (await sign_in(provider, idp)).name == "alice"
    assert idp.control()["calls"]["jwks"] == before + 1
    idp.control(faults={"id_token": {"header": {"kid": "made-up"}}})
    for _ in range(3):
        with pytest.raises(NotLetIn):
            await sign_in(provider, idp)
    assert idp.control()["calls"]["jwks"] == before + 1


async def test_other_algorithms_work(make: Make, idp: Idp) -> None:
    for algorithm in ("ES256", "EdDSA", "PS256"):
        idp.control(rotateKeys=algorithm)
        assert (await sign_in(make(), idp)).name == "alice"
    idp.control(rotateKeys=True)


@pytest.mark.proves("T-12")
async def test_the_last_good_keys_and_metadata_stay(make: Make, idp: Idp) -> None:
    provider = make()
    await sign_in(provider, idp)
    assert provider._discovery is not None
    provider._discovery._next = 0.0
    provider._tokens._keys._next = 0.0  # type: ignore[union-attr]
    idp.control(faults={"discovery": {"status": 500}, "jwks": {"raw": "{}"}})
    assert (await sign_in(provider, idp)).name == "alice"


METADATA: dict[str, dict[str, Any]] = {
    "another issuer": {"merge": {"issuer": "https://evil.example.org"}},
    "issuer with a slash": {"merge": {"issuer": "SLASH"}},
    "token endpoint elsewhere in clear": {"merge": {"token_endpoint": "http://evil.example.org/token"}},
    "keys from a file": {"merge": {"jwks_uri": "file:///etc/passwd"}},
    "password in an address": {"merge": {"jwks_uri": "https://a:b@example.org/"}},
    "endpoint a number": {"merge": {"authorization_endpoint": 7}},
    "userinfo in clear": {"merge": {"userinfo_endpoint": "http://example.org/me"}},
    "redirect": {"redirect": True},
    "huge": {"size": 2 << 20},
    "a list": {"raw": "[]"},
    "not JSON": {"raw": "<html>"},
    "duplicate member": {"raw": '{"issuer": "a", "issuer": "b"}'},
    "error": {"status": 503},
    "slow": {"delay": 1500},
}


@pytest.mark.proves("T-12")
@pytest.mark.parametrize("fault", METADATA.values(), ids=METADATA)
async def test_false_metadata_is_no_provider(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    if fault.get("merge", {}).get("issuer") == "SLASH":
        fault = {"merge": {"issuer": idp.issuer + "/"}}
    idp.control(faults={"discovery": fault})
    started = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await make(seconds=1).begin()
    assert time.monotonic() - started < 2


KEY_SETS: dict[str, dict[str, Any]] = {
    "redirect": {"redirect": True},
    "huge": {"size": 2 << 20},
    "no keys": {"raw": '{"keys": []}'},
    "symmetric key": {"raw": '{"keys": [{"kty": "oct", "k": "AAAA"}]}'},
    "too many": {"merge": {"keys": [{"kty": "RSA"}] * 101}},
    "slow": {"delay": 1500},
    "error": {"status": 500},
}


@pytest.mark.proves("T-12")
@pytest.mark.parametrize("fault", KEY_SETS.values(), ids=KEY_SETS)
async def test_a_false_key_set_lets_nobody_in(make: Make, idp: Idp, fault: dict[str, Any]) -> None:
    idp.control(faults={"jwks": fault})
    with pytest.raises(ProviderUnreachable):
        await sign_in(make(seconds=1), idp)


ANSWERS: dict[str, dict[str, Any]] = {
    "token: error": {"token": {"status": 500}},
    "token: wrong client": {"token": {"status": 401, "error": "invalid_client"}},
    "token: redirect": {"token": {"redirect": True}},
    "token: no access token": {"token": {"raw": "{}"}},
    "token: a list": {"token": {"raw": "[]"}},
    "token: not JSON": {"token": {"raw": "<html>"}},
    "token: nothing": {"token": {"raw": ""}},
    "token: access token a number": {"token": {"merge": {"access_token": 7}}},
    "userinfo: error": {"userinfo": {"status": 502}},
    "userinfo: a list": {"userinfo": {"raw": "[]"}},
    "userinfo: not JSON": {"userinfo": {"raw": "eyJ.eyJ.sig"}},
    "userinfo: slow": {"userinfo": {"delay": 1500}},
}


@pytest.mark.parametrize("faults", ANSWERS.values(), ids=ANSWERS)
async def test_nonsense_at_sign_in_is_an_outage(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    idp.control(faults=faults)
    started = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await sign_in(make(seconds=1), idp)
    assert time.monotonic() - started < 3


@pytest.mark.proves("R98")
async def test_no_credential_reaches_a_log_or_a_sentence(
    make: Make, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    sentences = []
    for faults in ({"token": {"merge": {"access_token": 7}}}, {"userinfo": {"status": 401}}, {"userinfo": {"raw": ""}}):
        idp.control(faults=faults)
        with pytest.raises((ProviderUnreachable, GrantRefused, NotLetIn)) as refused:
            await sign_in(make(), idp)
        sentences.append(str(refused.value))
    seen = caplog.text + "".join(sentences)
    for secret in ("the-secret-of-the-hub", "eyJ", "refresh_token"):
        assert secret not in seen


# -- refresh ---------------------------------------------------------------------------------------------------------


@pytest.mark.proves("R63", "T-50")
async def test_a_refresh_sees_a_group_taken_away(make: Make, idp: Idp) -> None:
    provider = make(auth_state_groups_key="oauth_user.groups")
    first = await sign_in(provider, idp)
    idp.person("alice", groups=["staff"])
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.groups == ("staff",)
    assert again.subject == first.subject


async def test_a_refresh_without_userinfo_reads_the_new_id_token(make: Make, idp: Idp) -> None:
    idp.control(conform=False)
    provider = make(userdata_from_id_token=True, auth_state_groups_key="oauth_user.groups")
    first = await sign_in(provider, idp)
    idp.person("alice", groups=["staff"])
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.groups == ("staff",)


async def test_a_refresh_applies_restrictions_again(make: Make, idp: Idp) -> None:
    provider = make(allowed_groups=["staff"])
    first = await sign_in(provider, idp)
    idp.person("alice", groups=["else"])
    assert await provider.look_up(first.subject, first.name, first.keep) is None


async def test_a_replaced_refresh_token_is_kept_even_when_the_rest_fails(make: Make, idp: Idp) -> None:
    idp.control(rotate=True)
    provider = make()
    first = await sign_in(provider, idp)
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.keep["refresh"] != first.keep["refresh"]
    idp.control(faults={"userinfo": {"status": 500}})
    with pytest.raises(ProviderUnreachable) as outage:
        await provider.look_up(first.subject, first.name, again.keep)
    assert outage.value.keep is not None
    assert outage.value.keep["refresh"] != again.keep["refresh"]
    idp.control(faults={})
    assert await provider.look_up(first.subject, first.name, outage.value.keep) is not None


async def test_a_used_refresh_token_is_the_end(make: Make, idp: Idp) -> None:
    idp.control(rotate=True)
    provider = make()
    first = await sign_in(provider, idp)
    assert await provider.look_up(first.subject, first.name, first.keep) is not None
    assert await provider.look_up(first.subject, first.name, first.keep) is None


@pytest.mark.parametrize(
    "faults",
    [
        {"token": {"status": 500}},
        {"token": {"status": 429}},
        {"token": {"status": 401, "error": "invalid_client"}},
        {"token": {"delay": 1500}},
        {"token": {"redirect": True}},
        {"userinfo": {"status": 503}},
        {"userinfo": {"delay": 1500}},
    ],
    ids=str,
)
async def test_an_outage_at_refresh_is_not_the_end(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    provider = make(seconds=1)
    first = await sign_in(provider, idp)
    idp.control(faults=faults)
    started = time.monotonic()
    with pytest.raises(ProviderUnreachable):
        await provider.look_up(first.subject, first.name, first.keep)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "faults",
    [
        {"token": {"status": 400, "error": "invalid_grant"}},
        {"userinfo": {"status": 401, "error": "invalid_token"}},
        {"userinfo": {"merge": {"groups": "AIZEN_ADMIN"}}},
        {"userinfo": {"merge": {"sub": "sub-of-root"}}, "id_token": {"claims": {"sub": "sub-of-root"}}},
        {"id_token": {"claims": {"nonce": "another"}}},
        {"id_token": {"claims": {"aud": "other"}}},
        {"id_token": {"key": "foreign"}},
    ],
    ids=str,
)
async def test_a_refusal_or_a_lie_at_refresh_is_the_end(make: Make, idp: Idp, faults: dict[str, Any]) -> None:
    provider = make()
    first = await sign_in(provider, idp)
    idp.control(faults=faults)
    assert await provider.look_up(first.subject, first.name, first.keep) is None


async def test_without_a_refresh_token_the_access_token_asks(make: Make, idp: Idp) -> None:
    provider = make(auth_state_groups_key="oauth_user.groups")
    idp.control(faults={"token": {"merge": {"refresh_token": ""}}})
    first = await sign_in(provider, idp)
    assert "refresh" not in first.keep
    idp.person("alice", groups=["staff"])
    again = await provider.look_up(first.subject, first.name, first.keep)
    assert again is not None
    assert again.groups == ("staff",)


# -- plain OAuth 2, without an issuer --------------------------------------------------------------------------------


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
