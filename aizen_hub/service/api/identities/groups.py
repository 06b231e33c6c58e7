"""Routes for groups and service accounts."""

from __future__ import annotations

from datetime import timedelta

from aizen_hub.accounts import identities
from aizen_hub.accounts.groups import management, membership
from aizen_hub.accounts.service_accounts import accounts, credentials
from aizen_hub.accounts.service_accounts.credential_binding import CredentialBinding
from aizen_hub.commands.result import Result, message_result
from aizen_hub.problems import BadInput, Fault
from aizen_hub.rbac.identity import Identity
from aizen_hub.service.api.change_response import authorized_result, id_param
from aizen_hub.service.api.schemas.access import canonical_identity
from aizen_hub.service.api.schemas.groups import AccountChange, GroupChange, NewAccount, NewCredential, NewGroup
from aizen_hub.service.api.schemas.result import ResultView
from aizen_hub.service.http.route import ANY_REGISTERED, ROLE_CHECKED_METHODS, JsonResponse, Requirement, Route
from aizen_hub.service.pipeline.request_context import RequestContext
from aizen_hub.store.transaction import WriteTransaction

GROUPS = Requirement.endpoint("groups")
ACCOUNTS = Requirement.endpoint("service-accounts")


def _member_param(ctx: RequestContext) -> Identity:
    try:
        return Identity.parse(canonical_identity(ctx.path_params["member"]))
    except ValueError as error:
        raise BadInput(str(error), faults=[Fault("", "the member in the address is not an identity")]) from None


async def list_groups(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, management.list_groups)


async def create_group(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx,
        lambda tx: management.create_group(tx, body.name, description=body.description, provider=body.provider),
        201,
    )


async def update_group(ctx: RequestContext) -> JsonResponse:
    body, name = ctx.body, ctx.path_params["group"]

    def operation(tx: WriteTransaction) -> Result:
        result = message_result(f"nothing to change in `{identities.get_group(tx, name).name}`")
        if body.description is not None:
            result = management.describe_group(tx, name, body.description)
        if body.joined_by_new_users is not None:
            result = management.set_default_group(tx, name, body.joined_by_new_users)
        return result

    return await authorized_result(ctx, operation)


async def delete_group(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: management.delete_group(tx, ctx.path_params["group"]))


async def list_members(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: membership.list_group_members(tx, ctx.path_params["group"]))


async def add_member(ctx: RequestContext) -> JsonResponse:
    member = _member_param(ctx)
    return await authorized_result(ctx, lambda tx: membership.add_member(tx, ctx.path_params["group"], member))


async def remove_member(ctx: RequestContext) -> JsonResponse:
    member = _member_param(ctx)
    return await authorized_result(ctx, lambda tx: membership.remove_member(tx, ctx.path_params["group"], member))


async def list_accounts(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, accounts.list_service_accounts)


async def create_account(ctx: RequestContext) -> JsonResponse:
    body = ctx.body
    return await authorized_result(
        ctx, lambda tx: accounts.create_service_account(tx, body.name, description=body.description), 201
    )


async def update_account(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(
        ctx, lambda tx: accounts.set_service_account_active(tx, ctx.path_params["account"], ctx.body.active)
    )


async def delete_account(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: accounts.delete_service_account(tx, ctx.path_params["account"]))


async def list_credentials(ctx: RequestContext) -> JsonResponse:
    return await authorized_result(ctx, lambda tx: credentials.list_credentials(tx, ctx.path_params["account"]))


async def issue_credential(ctx: RequestContext) -> JsonResponse:
    body: NewCredential = ctx.body
    seconds = body.lifetime_seconds
    lifetime = credentials.DEFAULT_LIFETIME if seconds is None else timedelta(seconds=seconds)
    binding = CredentialBinding.parse(None if body.jwk is None else body.jwk.thumbprint, body.networks or ())
    return await authorized_result(
        ctx, lambda tx: credentials.issue_credential(tx, ctx.path_params["account"], lifetime, binding), 201
    )


async def revoke_credential(ctx: RequestContext) -> JsonResponse:
    credential_id = id_param(ctx, "credential", "credential")
    return await authorized_result(
        ctx, lambda tx: credentials.revoke_credential(tx, ctx.path_params["account"], credential_id)
    )


_GROUPS, _ACCOUNTS = "/api/v1/groups", "/api/v1/service-accounts"

ROUTES = (
    Route("GET", _GROUPS, ROLE_CHECKED_METHODS, GROUPS, list_groups, "List the groups.", response=ResultView),
    Route(
        "POST",
        _GROUPS,
        ROLE_CHECKED_METHODS,
        GROUPS,
        create_group,
        "Create a group, local or filled by a provider.",
        body=NewGroup,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "PATCH",
        _GROUPS + "/{group}",
        ROLE_CHECKED_METHODS,
        GROUPS,
        update_group,
        "Change a group.",
        body=GroupChange,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "DELETE",
        _GROUPS + "/{group}",
        ROLE_CHECKED_METHODS,
        GROUPS,
        delete_group,
        "Delete a group.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        _GROUPS + "/{group}/members",
        ROLE_CHECKED_METHODS,
        GROUPS,
        list_members,
        "List the members of a group.",
        response=ResultView,
    ),
    Route(
        "PUT",
        _GROUPS + "/{group}/members/{member}",
        ROLE_CHECKED_METHODS,
        GROUPS,
        add_member,
        "Add a member to a group.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "DELETE",
        _GROUPS + "/{group}/members/{member}",
        ROLE_CHECKED_METHODS,
        GROUPS,
        remove_member,
        "Remove a member from a group.",
        response=ResultView,
        idempotent=True,
    ),
    # The creator of a service account controls it without a permission, so the account functions authorize.
    Route(
        "GET",
        _ACCOUNTS,
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_accounts,
        "List the service accounts that you control.",
        response=ResultView,
    ),
    Route(
        "POST",
        _ACCOUNTS,
        ROLE_CHECKED_METHODS,
        ACCOUNTS,
        create_account,
        "Create a service account.",
        body=NewAccount,
        response=ResultView,
        status=201,
        idempotent=True,
    ),
    Route(
        "PATCH",
        _ACCOUNTS + "/{account}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        update_account,
        "Activate or deactivate a service account.",
        body=AccountChange,
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "DELETE",
        _ACCOUNTS + "/{account}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        delete_account,
        "Delete a service account.",
        response=ResultView,
        idempotent=True,
    ),
    Route(
        "GET",
        _ACCOUNTS + "/{account}/credentials",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        list_credentials,
        "List the credentials of a service account, without their secrets.",
        response=ResultView,
    ),
    # Not idempotent: the response contains the credential, and responses to idempotent requests are stored.
    Route(
        "POST",
        _ACCOUNTS + "/{account}/credentials",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        issue_credential,
        "Issue a credential, shown once; it can be bound to a key or to networks.",
        body=NewCredential,
        response=ResultView,
        status=201,
    ),
    Route(
        "DELETE",
        _ACCOUNTS + "/{account}/credentials/{credential}",
        ROLE_CHECKED_METHODS,
        ANY_REGISTERED,
        revoke_credential,
        "Revoke a credential.",
        response=ResultView,
        idempotent=True,
    ),
)
