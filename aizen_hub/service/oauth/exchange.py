"""``POST /oauth/token``: a server's hub token, or a role token, for a new role token (RFC 8693)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from aizen_hub.accounts.sessions.token_exchange import Exchange, Exchanged, find, unknown_credential
from aizen_hub.problems import BadInput, Denied, Escalation, NotAuthenticated, NotFound
from aizen_hub.service.auth.authenticator import Caller
from aizen_hub.service.http.route import Answer, Credential
from aizen_hub.service.oauth.schemas import ExchangeForm
from aizen_hub.service.oauth.token_parameter import role_token
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.tokens.opaque_token import hash_credential

if TYPE_CHECKING:
    from aizen_hub.service.context import House

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, not a secret
JWT = "urn:ietf:params:oauth:token-type:jwt"

_exchanges: WeakKeyDictionary[House, Exchange] = WeakKeyDictionary()


def exchange_of(house: House) -> Exchange:
    """Return the one exchange of a service."""
    found = _exchanges.get(house)
    if found is None:
        found = _exchanges[house] = Exchange(house.store, house.keys, house.clock.check)
    return found


async def token(call: Call) -> Answer:
    form: ExchangeForm = call.body
    _check(form, call.house.settings.service_url)
    metrics = call.house.metrics
    try:
        done = await _way(form)(call, form)
    except (NotAuthenticated, Denied, Escalation, NotFound, BadInput):
        metrics.exchange("refused")
        raise
    metrics.exchange("granted")
    return Answer(_document(done), headers={"Pragma": "no-cache"})


async def _renewed(call: Call, form: ExchangeForm) -> Exchanged:
    house, exchange, source = call.house, exchange_of(call.house), call.caller.source
    # A token is a durable write, and everybody waits for the same writer: each session has a share of its own, and who
    # has used it up is turned away before anything is asked of the store (R125, T-37).
    await house.limits.need_minting(hash_credential(form.subject_token))
    beside = None if form.actor_token is None else await role_token(call, form.actor_token)
    async with house.roads.doubts.looking_at(form.subject_token, source):
        holder = await call.look(lambda tx: find(tx, form.subject_token))
        if holder is None:
            note = exchange.note_unknown(beside, source)
            if note is not None:
                await house.pools.writes.run(note)
            raise unknown_credential()
    async with house.limits.minting(holder.credential):
        return await house.pools.writes.run(
            lambda: exchange.renew(holder, project=form.project, scope=form.scope, beside=beside, source=source)
        )


def _way(form: ExchangeForm) -> Callable[[Call, ExchangeForm], Awaitable[Exchanged]]:
    if form.subject_token_type != JWT:
        return _renewed
    return _narrowed if form.actor_token is None else _acted


async def _acted(call: Call, form: ExchangeForm) -> Exchanged:
    # RFC 8693, 1.1, delegation: the subject token is the person's, the actor token the service account's.
    house, exchange, source = call.house, exchange_of(call.house), call.caller.source
    actor = await house.roads.machine(form.actor_token or "", source)
    with house.limits.admitted(Caller(Credential.SERVICE_ACCOUNT, source, actor)):
        subject = await role_token(call, form.subject_token)
        async with house.limits.minting(f"acting {subject.session}"):
            return await house.pools.writes.run(
                lambda: exchange.act(actor, subject, scope=form.scope, project=form.project)
            )


async def _narrowed(call: Call, form: ExchangeForm) -> Exchanged:
    house, exchange, source = call.house, exchange_of(call.house), call.caller.source
    subject = await role_token(call, form.subject_token)
    async with house.limits.minting(subject.session):
        return await house.pools.writes.run(
            lambda: exchange.narrow(subject, scope=form.scope, project=form.project, source=source)
        )


def _document(done: Exchanged) -> dict[str, Any]:
    out: dict[str, Any] = {
        "access_token": done.text,
        "issued_token_type": JWT,
        "token_type": "Bearer",
        "expires_in": done.expires_in,
        "project": done.project,
        "session": done.session,
    }
    if done.scope is not None:
        out["scope"] = " ".join(done.scope)
    return out


def _check(form: ExchangeForm, own: str) -> None:
    def fail(error: str, sentence: str) -> BadInput:
        return BadInput(sentence, more={"oauth": error})

    if form.grant_type != GRANT:
        raise fail("unsupported_grant_type", f"the only grant type here is `{GRANT}`")
    if form.subject_token_type not in (ACCESS_TOKEN, JWT):
        raise fail("invalid_request", f"the subject token is of the type `{ACCESS_TOKEN}` or `{JWT}`")
    if form.requested_token_type not in (None, ACCESS_TOKEN, JWT):
        raise fail("invalid_request", "only role tokens are issued here")
    if form.audience not in (None, own) or form.resource not in (None, own):
        raise fail("invalid_target", "role tokens are good for this service only")
    if (form.actor_token is None) != (form.actor_token_type is None):
        raise fail("invalid_request", "an actor token and its type come together")
    if form.subject_token_type == JWT and form.actor_token_type not in (None, ACCESS_TOKEN):
        raise fail("invalid_request", f"who acts for somebody else is a service account: its type is `{ACCESS_TOKEN}`")
    if form.subject_token_type == ACCESS_TOKEN and form.actor_token_type not in (None, JWT):
        raise fail("invalid_request", "beside a server's hub token the actor token is the session's own role token")
