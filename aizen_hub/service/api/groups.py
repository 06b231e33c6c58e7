"""Groups and service accounts."""

from __future__ import annotations

from datetime import timedelta

from aizen_hub.accounts.groups import groups
from aizen_hub.accounts.service_accounts import service_accounts
from aizen_hub.accounts.service_accounts.credential_binding import Binding
from aizen_hub.commands.result import Result, message
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.change_response import change, number_in
from aizen_hub.service.api.schemas.access import canonical_identity
from aizen_hub.service.api.schemas.groups import AccountChange, GroupChange, NewAccount, NewCredential, NewGroup
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import PEOPLE, REGISTERED, Answer, Need, Route
from aizen_hub.service.pipeline.request_context import Call
from aizen_hub.store.transaction import Write

GROUPS = Need.operation("groups")
ACCOUNTS = Need.operation("service-accounts")


def _member(call: Call) -> Identity:
    try:
        return Identity.parse(canonical_identity(call.members["member"]))
    except ValueError as error:
        raise BadInput(str(error), faults=[Fault("", "the member in the address is not an identity")]) from None


async def list_groups(call: Call) -> Answer:
    return await change(call, groups.list_groups)


async def create_group(call: Call) -> Answer:
    body = call.body
    return await change(
        call, lambda tx: groups.create(tx, body.name, description=body.description, provider=body.provider), 201
    )


async def alter_group(call: Call) -> Answer:
    body, name = call.body, call.members["group"]

    def work(tx: Write) -> Result:
        result = message(f"nothing to change in `{groups.row_of(tx, name).name}`")
        if body.description is not None:
            result = groups.describe(tx, name, body.description)
        if body.joined_by_everybody is not None:
            result = groups.set_default(tx, name, body.joined_by_everybody)
        return result

    return await change(call, work)


async def remove_group(call: Call) -> Answer:
    return await change(call, lambda tx: groups.remove(tx, call.members["group"]))


async def members(call: Call) -> Answer:
    return await change(call, lambda tx: groups.members(tx, call.members["group"]))


async def add_member(call: Call) -> Answer:
    member = _member(call)
    return await change(call, lambda tx: groups.add_member(tx, call.members["group"], member))


async def remove_member(call: Call) -> Answer:
    member = _member(call)
    return await change(call, lambda tx: groups.remove_member(tx, call.members["group"], member))


async def list_accounts(call: Call) -> Answer:
    return await change(call, service_accounts.list_accounts)


async def create_account(call: Call) -> Answer:
    body = call.body
    return await change(call, lambda tx: service_accounts.create(tx, body.name, description=body.description), 201)


async def alter_account(call: Call) -> Answer:
    return await change(call, lambda tx: service_accounts.set_active(tx, call.members["account"], call.body.active))


async def remove_account(call: Call) -> Answer:
    return await change(call, lambda tx: service_accounts.remove(tx, call.members["account"]))


async def credentials(call: Call) -> Answer:
    return await change(call, lambda tx: service_accounts.credentials(tx, call.members["account"]))


async def issue(call: Call) -> Answer:
    body: NewCredential = call.body
    seconds = body.lifetime_seconds
    lifetime = service_accounts.DEFAULT_LIFE if seconds is None else timedelta(seconds=seconds)
    binding = Binding.of(None if body.jwk is None else body.jwk.thumbprint, body.networks or ())
    return await change(call, lambda tx: service_accounts.issue(tx, call.members["account"], lifetime, binding), 201)


async def revoke(call: Call) -> Answer:
    number = number_in(call, "credential", "credential")
    return await change(call, lambda tx: service_accounts.revoke(tx, call.members["account"], number))


_G, _S = "/api/v1/groups", "/api/v1/service-accounts"

ROUTES = (
    Route("GET", _G, PEOPLE, GROUPS, list_groups, "List the groups.", answer=ResultView),
    Route(
        "POST",
        _G,
        PEOPLE,
        GROUPS,
        create_group,
        "Make a group, local or fed by a provider.",
        body=NewGroup,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "PATCH",
        _G + "/{group}",
        PEOPLE,
        GROUPS,
        alter_group,
        "Change a group.",
        body=GroupChange,
        answer=ResultView,
        keyed=True,
    ),
    Route("DELETE", _G + "/{group}", PEOPLE, GROUPS, remove_group, "Delete a group.", answer=ResultView, keyed=True),
    Route("GET", _G + "/{group}/members", PEOPLE, GROUPS, members, "List the members of a group.", answer=ResultView),
    Route(
        "PUT",
        _G + "/{group}/members/{member}",
        PEOPLE,
        GROUPS,
        add_member,
        "Put somebody into a group.",
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "DELETE",
        _G + "/{group}/members/{member}",
        PEOPLE,
        GROUPS,
        remove_member,
        "Take somebody out of a group.",
        answer=ResultView,
        keyed=True,
    ),
    # Whoever made a service account controls it without any further right, so its own functions judge.
    Route(
        "GET", _S, PEOPLE, REGISTERED, list_accounts, "List the service accounts that one controls.", answer=ResultView
    ),
    Route(
        "POST",
        _S,
        PEOPLE,
        ACCOUNTS,
        create_account,
        "Make a service account.",
        body=NewAccount,
        answer=ResultView,
        status=201,
        keyed=True,
    ),
    Route(
        "PATCH",
        _S + "/{account}",
        PEOPLE,
        REGISTERED,
        alter_account,
        "Switch a service account on or off.",
        body=AccountChange,
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "DELETE",
        _S + "/{account}",
        PEOPLE,
        REGISTERED,
        remove_account,
        "Delete a service account.",
        answer=ResultView,
        keyed=True,
    ),
    Route(
        "GET",
        _S + "/{account}/credentials",
        PEOPLE,
        REGISTERED,
        credentials,
        "List credentials, never what they are.",
        answer=ResultView,
    ),
    # Not keyed: the answer holds the credential, and answers of keyed requests are kept.
    Route(
        "POST",
        _S + "/{account}/credentials",
        PEOPLE,
        REGISTERED,
        issue,
        "Make a credential, shown once; bound to a key or to networks, it opens nothing without them.",
        body=NewCredential,
        answer=ResultView,
        status=201,
    ),
    Route(
        "DELETE",
        _S + "/{account}/credentials/{credential}",
        PEOPLE,
        REGISTERED,
        revoke,
        "End a credential.",
        answer=ResultView,
        keyed=True,
    ),
)
