"""Role tokens: what the verifier accepts, and everything it refuses."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.rbac.permission import Permission
from aizen_hub.tokens.jws import MAX_BYTES, TokenError, TokenErrorCode
from aizen_hub.tokens.keys import KeyRing, KeyState, Purpose, SigningKey
from aizen_hub.tokens.opaque_token import new_id
from aizen_hub.tokens.role_token import RoleToken, RoleTokenVerifier, issue_role_token
from tests.tokens.conftest import ISSUER, NOW
from tests.tokens.forged_tokens import Forger, Labelled

SECOND = timedelta(seconds=1)


def refusal_codes(verifier: RoleTokenVerifier, tokens: list[Labelled], now: datetime = NOW) -> dict[str, str]:
    """Every label with the code of its refusal; an accepted token or any other exception fails the test."""
    codes = {}
    for label, token in tokens:
        with pytest.raises(NotAuthenticated) as caught:
            raise AssertionError(f"accepted: {label}: {verifier.verify(token, now)}")
        assert caught.value.extensions["code"] in set(TokenErrorCode), label
        codes[label] = caught.value.extensions["code"]
    return codes


def test_a_token_has_the_issued_content(ring: KeyRing, verifier: RoleTokenVerifier) -> None:
    session, token_id = new_id(), new_id()
    text = issue_role_token(
        ring, ISSUER, ISSUER, subject="alice", session_id=session, project="churn", roles=["A", "B", "A"], revision=41,
        now=NOW + timedelta(milliseconds=700), scope=["view", "execute:training"], actor="user:bob", token_id=token_id,
    )  # fmt: skip
    assert verifier.verify(text, NOW) == RoleToken(
        subject="alice",
        session_id=session,
        project="churn",
        roles=("A", "B"),
        revision=41,
        token_id=token_id,
        issued_at=NOW,
        not_before=NOW,
        expires_at=NOW + timedelta(minutes=5),
        scope=frozenset({"view:*", "execute:training"}),
        actor="user:bob",
        key_id=ring.signer(Purpose.ROLE)[0].kid,
    )


def test_the_forgers_valid_token_is_accepted(forger: Forger, verifier: RoleTokenVerifier) -> None:
    # Without this, every refusal below could have another cause than the one under test.
    assert verifier.verify(forger.token(), NOW).subject == "alice"
    assert verifier.verify(forger.changed(project=None), NOW).project is None
    assert verifier.verify(forger.changed(act={"sub": "user:bob"}), NOW).actor == "user:bob"
    assert verifier.verify(forger.changed(scope="execute:training"), NOW).scope == {"execute:training"}


@pytest.mark.proves("R36")
def test_every_flipped_bit_is_refused(forger: Forger, verifier: RoleTokenVerifier) -> None:
    token = forger.token()
    assert len(refusal_codes(verifier, list(forger.families()["flips"]()))) == 8 * len(token)
    assert verifier.verify(token, NOW)


@pytest.mark.proves("R42", "T-14")
def test_other_serializations_are_refused(forger: Forger, verifier: RoleTokenVerifier) -> None:
    codes = refusal_codes(verifier, list(forger.forms()))
    assert set(codes.values()) <= {"malformed", "bad-signature"}


@pytest.mark.proves("R42")
def test_malformed_tokens_are_refused_before_cryptography(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("cryptography was reached")

    monkeypatch.setattr("aizen_hub.tokens.jws._JWS.decode_complete", never)
    verifier = RoleTokenVerifier(forger.ring, ISSUER, ISSUER)
    codes = refusal_codes(
        verifier,
        [
            (label, token)
            for label, token in forger.forms()
            if not label.startswith(("payload", "nested without", "zero", "standard", "escaped"))
        ],
    )
    assert set(codes.values()) == {"malformed"}


@pytest.mark.proves("R37", "R38", "T-11")
def test_only_the_one_algorithm_is_accepted(forger: Forger, verifier: RoleTokenVerifier) -> None:
    codes = refusal_codes(verifier, list(forger.algorithms()))
    assert {code for label, code in codes.items() if "rightly signed" in label} == {"malformed"}


@pytest.mark.proves("R39", "R40", "R41", "R43", "T-11")
def test_every_other_header_is_refused(forger: Forger, verifier: RoleTokenVerifier) -> None:
    codes = refusal_codes(verifier, list(forger.headers()))
    assert codes["with jwk"] == codes["with crit"] == "malformed"
    assert codes["signed by a stranger"] == "bad-signature"
    assert codes["typ 'JWT'"] == "wrong-type"
    assert codes["kid '/dev/null'"] == "unknown-key"


@pytest.mark.proves("R40")
def test_key_lookup_does_no_io(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = RoleTokenVerifier(forger.ring, ISSUER, ISSUER)
    tokens = [(label, token) for label, token in forger.headers() if label.startswith("kid")]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("input or output")

    with monkeypatch.context() as patch:
        for name in ("builtins.open", "os.open", "os.stat", "socket.socket.connect", "sqlite3.connect"):
            patch.setattr(name, never)
        codes = []
        for _, token in tokens:
            try:
                verifier.verify(token, NOW)
            except TokenError as refused:
                codes.append(refused.code)
    assert len(codes) == len(tokens)


@pytest.mark.proves("R44")
def test_every_wrong_claim_is_refused(forger: Forger, verifier: RoleTokenVerifier) -> None:
    codes = refusal_codes(verifier, list(forger.wrong_claims()))
    assert codes["iss 'https://evil.example'"] == "foreign"
    assert codes["aud 'core'"] == "wrong-audience"
    assert codes["without sid"] == "bad-claims"
    assert codes["exp twice"] == "malformed"


@pytest.mark.proves("R45")
@pytest.mark.parametrize(
    ("issued", "begins", "ends", "code"),
    [
        pytest.param(0, 0, 300, None, id="now"),
        pytest.param(0, 0, 600, None, id="ten minutes"),
        pytest.param(0, 0, 601, "bad-claims", id="longer than ten minutes"),
        pytest.param(-599, -599, 1, None, id="one second left"),
        pytest.param(-300, -300, 0, "expired", id="ends now"),
        pytest.param(-300, -300, -1, "expired", id="ended"),
        pytest.param(-300, -300, -29, "expired", id="no allowance at the end"),
        pytest.param(30, 30, 330, None, id="issued by a clock 30 s ahead"),
        pytest.param(31, 31, 331, "not-yet-valid", id="issued by a clock 31 s ahead"),
        pytest.param(0, 30, 300, None, id="begins in 30 s"),
        pytest.param(0, 31, 300, "not-yet-valid", id="begins in 31 s"),
        pytest.param(3600, 3600, 3900, "not-yet-valid", id="from the next hour"),
        pytest.param(10, 0, 300, "bad-claims", id="begins before it was issued"),
        pytest.param(0, 0, 0, "bad-claims", id="no life"),
        pytest.param(0, 10, 5, "bad-claims", id="ends before it begins"),
        pytest.param(-(10**9), -(10**9), 300, "bad-claims", id="for thirty years"),
    ],
)
def test_times(
    forger: Forger, verifier: RoleTokenVerifier, issued: int, begins: int, ends: int, code: str | None
) -> None:
    at = int(NOW.timestamp())
    token = forger.changed(iat=at + issued, nbf=at + begins, exp=at + ends)
    for _ in range(2):  # the second time from the memory of good tokens
        if code is None:
            assert verifier.verify(token, NOW)
        else:
            assert refusal_codes(verifier, [("token", token)]) == {"token": code}


@pytest.mark.proves("T-43")
def test_a_clock_that_jumps_gives_no_eternal_token(ring: KeyRing, verifier: RoleTokenVerifier) -> None:
    year = timedelta(days=365)
    for now in (NOW - 10 * year, NOW, NOW + 10 * year):
        text = issue_role_token(
            ring, ISSUER, ISSUER, subject="a", session_id=new_id(), project=None, roles=(), revision=0, now=now
        )
        token = verifier.verify(text, now)
        assert timedelta(0) < token.expires_at - token.issued_at <= timedelta(minutes=10)
        for jump in (-year, -timedelta(hours=1), timedelta(hours=1), year):
            assert refusal_codes(verifier, [("jumped", text)], now + jump)


@pytest.mark.parametrize("lifetime", [timedelta(seconds=601), timedelta(0), timedelta(seconds=-1)])
@pytest.mark.proves("R45")
def test_invalid_lifetimes_are_not_issued(ring: KeyRing, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="such a token cannot be issued"):
        issue_role_token(
            ring, ISSUER, ISSUER, subject="alice", session_id=new_id(), project=None, roles=(), revision=0, now=NOW,
            lifetime=lifetime,
        )  # fmt: skip


def test_many_roles_never_make_a_token_too_large(ring: KeyRing, verifier: RoleTokenVerifier) -> None:
    roles = ["R" * 240 + str(number) for number in range(1000)]
    text = issue_role_token(
        ring,
        ISSUER,
        ISSUER,
        subject="ü" * 255,
        session_id=new_id(),
        project="ü" * 255,
        roles=roles,
        revision=0,
        now=NOW,
    )
    assert len(text) <= MAX_BYTES
    assert 0 < len(verifier.verify(text, NOW).roles) < 20


@pytest.mark.proves("R7")
def test_without_a_key_nothing_is_issued(ring: KeyRing) -> None:
    public_only = KeyRing(
        [SigningKey(k.kid, k.purpose, k.state, k.created_at, k.state_changed_at, k.public_key) for k in ring.keys]
    )
    for empty in (KeyRing(), public_only, KeyRing(sealed_reason="the key-encryption file is missing")):
        assert empty.is_sealed
        with pytest.raises(Unavailable):
            issue_role_token(
                empty, ISSUER, ISSUER, subject="alice", session_id=new_id(), project=None, roles=(), revision=0, now=NOW
            )
    assert not ring.is_sealed


@pytest.mark.proves("R98")
def test_no_refusal_repeats_any_part_of_the_token(forger: Forger, verifier: RoleTokenVerifier) -> None:
    secrets = ["alice", "churn", forger.claims["jti"], forger.claims["sid"], "PROJECT_EXECUTOR", forger.key.kid]
    seen = 0
    for make in forger.families().values():
        for _, token in islice(make(), 0, None, 7):
            parts = [part for part in token.split(".") if len(part) >= 8]
            with pytest.raises(TokenError) as caught:
                verifier.verify(token, NOW)
            shown = f"{caught.value!r} {caught.value} {caught.value.to_json()}"
            shown += "".join(traceback.format_exception_only(caught.value))
            for text in (*secrets, *parts, *(part[:16] for part in parts)):
                assert text not in shown
            seen += 1
    assert seen > 500


class TestCache:
    """The bounded cache of verified tokens."""

    def tokens(self, ring: KeyRing, count: int) -> list[str]:
        return [Forger.of(ring, ISSUER, ISSUER, NOW).token() for _ in range(count)]

    @pytest.mark.proves("R127")
    def test_it_is_bounded(self, ring: KeyRing) -> None:
        verifier = RoleTokenVerifier(ring, ISSUER, ISSUER, cache_size=10)
        for token in self.tokens(ring, 50):
            verifier.verify(token, NOW)
        assert len(verifier._cache) == 10

    @pytest.mark.proves("R127")
    def test_it_holds_verified_tokens_only(self, forger: Forger, verifier: RoleTokenVerifier) -> None:
        for make in (forger.forms, forger.headers, forger.wrong_claims, forger.algorithms):
            refusal_codes(verifier, list(make()))
        assert len(verifier._cache) == 0

    def test_it_saves_the_signature_check(
        self, forger: Forger, verifier: RoleTokenVerifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = forger.token()
        first = verifier.verify(token, NOW)
        monkeypatch.setattr("aizen_hub.tokens.role_token.verify_jws", None)
        assert verifier.verify(token, NOW) is first

    @pytest.mark.proves("R47")
    def test_a_withdrawn_key_ends_cached_tokens_at_once(self, forger: Forger, verifier: RoleTokenVerifier) -> None:
        token, fresh = forger.token(), forger.changed(jti=new_id())
        verifier.verify(token, NOW)
        verifier.ring = with_state(forger.ring, KeyState.WITHDRAWN, NOW)
        assert refusal_codes(verifier, [("remembered", token), ("fresh", fresh)]) == {
            "remembered": "unknown-key",
            "fresh": "unknown-key",
        }

    @pytest.mark.proves("R47")
    def test_a_retired_key_verifies_only_older_tokens(self, forger: Forger, verifier: RoleTokenVerifier) -> None:
        before = forger.token()
        at = int(NOW.timestamp())
        after = forger.changed(iat=at + 60, nbf=at + 60)
        verifier.ring = with_state(forger.ring, KeyState.RETIRED, NOW)
        later = NOW + timedelta(seconds=61)
        assert verifier.verify(before, later)
        assert refusal_codes(verifier, [("after", after)], later) == {"after": "unknown-key"}

    def test_times_are_checked_on_every_use(self, forger: Forger, verifier: RoleTokenVerifier) -> None:
        token = forger.token()
        verifier.verify(token, NOW)
        assert refusal_codes(verifier, [("later", token)], NOW + timedelta(minutes=5)) == {"later": "expired"}


def with_state(ring: KeyRing, state: KeyState, changed: datetime) -> KeyRing:
    return KeyRing(
        [
            SigningKey(k.kid, k.purpose, state, k.created_at, changed, k.public_key, k.private_key)
            if k.purpose is Purpose.ROLE
            else k
            for k in ring.keys
        ]
    )


@pytest.mark.proves("R49")
def test_a_scope_only_restricts(forger: Forger, verifier: RoleTokenVerifier) -> None:
    plain = verifier.verify(forger.token(), NOW)
    assert not plain.excludes(Permission("execute", "training"))
    narrow = verifier.verify(forger.changed(scope="execute:training view:*"), NOW)
    assert not narrow.excludes(Permission("execute", "training"))
    assert not narrow.excludes(Permission("view", "anything"))
    assert narrow.excludes(Permission("execute"))
    assert narrow.excludes(Permission("write", "training"))


names = st.text(min_size=1, max_size=40).filter(str.isprintable)
ids = st.binary(min_size=16, max_size=16).map(bytes.hex)


@given(
    subject=names,
    session=ids,
    project=st.none() | names,
    roles=st.lists(names, max_size=5, unique=True),
    revision=st.integers(0, 2**63 - 1),
    seconds=st.integers(1, 600),
    actor=st.none() | names.map("user:{}".format),
)
@settings(max_examples=60, deadline=None)
def test_round_trip(
    ring: KeyRing,
    subject: str,
    session: str,
    project: str | None,
    roles: list[str],
    revision: int,
    seconds: int,
    actor: str | None,
) -> None:
    text = issue_role_token(
        ring, ISSUER, ISSUER, subject=subject, session_id=session, project=project, roles=roles, revision=revision,
        now=NOW, lifetime=seconds * SECOND, actor=actor,
    )  # fmt: skip
    token = RoleTokenVerifier(ring, ISSUER, ISSUER).verify(text, NOW)
    assert (token.subject, token.session_id, token.project, token.roles, token.revision, token.actor) == (
        subject,
        session,
        project,
        tuple(roles),
        revision,
        actor,
    )
    assert token.expires_at == NOW + seconds * SECOND


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{1,60}(\.[A-Za-z0-9_-]{1,90}){0,4}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_any_other_text_raises_token_error(ring: KeyRing, text: str) -> None:
    with pytest.raises(TokenError):
        RoleTokenVerifier(ring, ISSUER, ISSUER).verify(text, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_claims_are_refused_or_valid(ring: KeyRing, data: st.DataObject) -> None:
    good = Forger.of(ring, ISSUER, ISSUER, NOW)
    name = data.draw(st.sampled_from([*good.claims, "scope", "act"]))
    value = data.draw(json_values)
    try:
        token = RoleTokenVerifier(ring, ISSUER, ISSUER).verify(good.changed(**{name: value}), NOW)
    except TokenError:
        return
    assert isinstance(token.subject, str)
    assert token.subject
    assert token.project is None or (isinstance(token.project, str) and token.project)
    assert type(token.revision) is int
    assert token.revision >= 0
    assert all(isinstance(role, str) for role in token.roles)
    assert token.issued_at <= token.not_before < token.expires_at <= token.issued_at + timedelta(minutes=10)
    assert token.issued_at.tzinfo is UTC
