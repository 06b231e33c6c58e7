"""Mapping of an OIDC provider's claims to an authenticated identity, with the configured restrictions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from inspect import isawaitable
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.hub.login.oidc.claims import (
    ClaimError,
    display_text,
    exclude_role_names,
    find_claim,
    is_email_based,
    read_names,
    read_roles,
    verified_email,
)
from aizen_hub.hub.login.oidc.config import OidcConfig
from aizen_hub.hub.login.oidc.http import IdpError
from aizen_hub.hub.login.oidc.traits import VERIFIED_CLAIMS_KEY
from aizen_hub.hub.login.provider import AccessDeniedError, AuthenticatedIdentity, printable

log = logging.getLogger("aizen_hub.login")

MAX_SUBJECT = 255


class ClaimsMapper:
    """Maps the claims of one provider.

    Parameters
    ----------
    name, label : str
        Of the provider, for logs and for users.
    config : OidcConfig
    """

    def __init__(self, name: str, label: str, config: OidcConfig) -> None:
        self.name, self.label, self._config = name, label, config
        self.traits = config.traits
        self.issuer: str = config.traits.issuer

    async def map(self, token_response: dict[str, Any], provider_state: Mapping[str, Any]) -> AuthenticatedIdentity:
        """Return the identity that a token response describes.

        Parameters
        ----------
        token_response : dict
            The response, with the verified claims of its ID token under `VERIFIED_CLAIMS_KEY`, which is removed.
        provider_state : mapping
            See `AuthenticatedIdentity.provider_state`.

        Raises
        ------
        AccessDeniedError
            The user does not meet the restrictions.
        ClaimError, IdpError
            The claims are invalid.
        """
        traits = self.traits
        user_info = await traits.token_to_user(token_response)
        claims = token_response.pop(VERIFIED_CLAIMS_KEY, None)
        name = self._username(user_info)
        if is_email_based(user_info, name, traits.username_claim) and verified_email(user_info) is None:
            raise AccessDeniedError(
                f"`{self.label}` does not report your e-mail address as verified (`email_verified`)"
            )
        try:
            groups = await self._apply_class_rules(name, token_response, user_info)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IdpError(
                f"its response is not what {type(traits).__name__} expects ({type(error).__name__})"
            ) from None
        return AuthenticatedIdentity(
            self.name,
            self.to_subject(self._identifier(user_info)),
            name,
            display_name=display_text(user_info, "name"),
            email=verified_email(user_info),
            groups=groups,
            provider_state=provider_state,
            authenticated_at=to_timestamp((claims or {}).get("auth_time")),
        )

    async def _apply_class_rules(
        self, name: str, token_response: dict[str, Any], user_info: dict[str, Any]
    ) -> tuple[str, ...] | None:
        """Apply the rules of the oauthenticator class; return the groups."""
        state = self.traits.build_auth_state_dict(token_response, user_info)
        model: dict[str, Any] = {"name": self.traits.normalize_username(name), "admin": None, "groups": []}
        model["auth_state"] = await state if isawaitable(state) else state
        model = await self.traits.update_auth_model(model)
        groups = self._groups(model["auth_state"], user_info)
        model["groups"] = list(groups or ())
        await self._check_restrictions(model)
        return groups

    def _username(self, user_info: Mapping[str, Any]) -> str:
        claim = self.traits.username_claim
        try:
            name = self.traits.user_info_to_username(dict(user_info))
        except (ValueError, KeyError, TypeError, AttributeError):
            name = None
        if not isinstance(name, str) or not 0 < len(name) <= MAX_SUBJECT or not name.isprintable():
            raise ClaimError(f"the claim `{printable(str(claim))}` contains no user name")
        return name

    def _identifier(self, user_info: Mapping[str, Any]) -> str:
        claim = "sub" if self.issuer else self.traits.subject_claim
        _, value = find_claim(user_info, claim)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT or not value.isprintable():
            raise ClaimError(f"the claim `{printable(claim)}` contains no immutable id")
        return value

    def to_subject(self, identifier: str) -> str:
        """Join issuer and subject (R22); unambiguous, because an issuer has no fragment (R33)."""
        address = urlsplit(self.traits.authorize_url)
        issuer = self.issuer or f"{address.scheme}://{address.netloc}"
        subject = f"{issuer}#{identifier}"
        return subject if len(subject) <= MAX_SUBJECT else "sha256:" + hashlib.sha256(subject.encode()).hexdigest()

    def _groups(self, state: Mapping[str, Any], user_info: Mapping[str, Any]) -> tuple[str, ...] | None:
        config, traits = self._config, self.traits
        if not config.reads_groups:
            return None
        groups = read_names(state, config.groups_claim, required=config.groups_required)
        if groups is None and config.groups_configured:
            groups = ()
        if not traits.realm_roles and not traits.client_roles:
            return groups
        roles = read_roles(user_info, realm=traits.realm_roles, clients=traits.client_roles)
        return tuple(sorted({*exclude_role_names(groups or ()), *roles}))

    async def _check_restrictions(self, model: dict[str, Any]) -> None:
        denied = AccessDeniedError(f"your account in `{self.label}` is not permitted to use this hub")
        allowed = self.traits.check_blocked_users(model["name"], model)
        if not (await allowed if isawaitable(allowed) else allowed):
            raise denied
        for name, restricted_traits in self._config.restrictions.items():
            if not await restricted_traits.check_allowed(model["name"], model):
                log.warning("provider `%s`: `%s` does not meet `%s`", self.name, printable(model["name"]), name)
                raise denied


def to_timestamp(value: Any) -> float | None:
    """Return a claim's time in seconds since the epoch, or None if it is not a time."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
