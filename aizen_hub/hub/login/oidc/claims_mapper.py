"""Who somebody is by what an OIDC provider tells of them, and whether they may come in by it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from inspect import isawaitable
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.hub.login.oidc.claims import (
    ClaimFault,
    find,
    read_names,
    read_roles,
    rests_on_mail,
    text,
    verified_mail,
    without_roles,
)
from aizen_hub.hub.login.oidc.config import OidcConfig
from aizen_hub.hub.login.oidc.http import IdpFailed
from aizen_hub.hub.login.oidc.traits import VERIFIED
from aizen_hub.hub.login.provider import NotLetIn, Proof, show

log = logging.getLogger("aizen_hub.login")

MAX_SUBJECT = 255


class OidcJudge:
    """Reads persons of one provider.

    Parameters
    ----------
    name, label : str
        Of the provider, for logs and for people.
    config : OidcConfig
    """

    def __init__(self, name: str, label: str, config: OidcConfig) -> None:
        self.name, self.label, self._config = name, label, config
        self.traits = config.traits
        self.issuer: str = config.traits.issuer

    async def judge(self, told: dict[str, Any], keep: Mapping[str, Any]) -> Proof:
        """Return the proof that a token answer is.

        Parameters
        ----------
        told : dict
            The answer, with the verified claims of its ID token under `VERIFIED`, which are taken out.
        keep : mapping
            See `Proof.keep`.

        Raises
        ------
        NotLetIn
        ClaimFault, IdpFailed
            What the provider says cannot be used.
        """
        traits = self.traits
        info = await traits.token_to_user(told)
        claims = told.pop(VERIFIED, None)
        name = self._username(info)
        if rests_on_mail(info, name, traits.username_claim) and verified_mail(info) is None:
            raise NotLetIn(f"`{self.label}` does not say that your mail address is verified (`email_verified`)")
        try:
            groups = await self._of_class(name, told, info)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IdpFailed(
                f"its answer is not what {type(traits).__name__} expects ({type(error).__name__})"
            ) from None
        return Proof(
            self.name,
            self.subject(self._identifier(info)),
            name,
            display_name=text(info, "name"),
            email=verified_mail(info),
            groups=groups,
            keep=keep,
            authenticated_at=seconds((claims or {}).get("auth_time")),
        )

    async def _of_class(self, name: str, told: dict[str, Any], info: dict[str, Any]) -> tuple[str, ...] | None:
        """Go through what the class of oauthenticator adds and demands; returns the groups."""
        state = self.traits.build_auth_state_dict(told, info)
        model: dict[str, Any] = {"name": self.traits.normalize_username(name), "admin": None, "groups": []}
        model["auth_state"] = await state if isawaitable(state) else state
        model = await self.traits.update_auth_model(model)
        groups = self._groups(model["auth_state"], info)
        model["groups"] = list(groups or ())
        await self._restrict(model)
        return groups

    def _username(self, info: Mapping[str, Any]) -> str:
        claim = self.traits.username_claim
        try:
            name = self.traits.user_info_to_username(dict(info))
        except (ValueError, KeyError, TypeError, AttributeError):
            name = None
        if not isinstance(name, str) or not 0 < len(name) <= MAX_SUBJECT or not name.isprintable():
            raise ClaimFault(f"the claim `{show(str(claim))}` gives no user name")
        return name

    def _identifier(self, info: Mapping[str, Any]) -> str:
        claim = "sub" if self.issuer else self.traits.subject_claim
        _, value = find(info, claim)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT or not value.isprintable():
            raise ClaimFault(f"the claim `{show(claim)}` gives no identity")
        return value

    def subject(self, identifier: str) -> str:
        """Join issuer and subject (R22): an issuer has no fragment, so that no two pairs give one text (R33)."""
        address = urlsplit(self.traits.authorize_url)
        issuer = self.issuer or f"{address.scheme}://{address.netloc}"
        whole = f"{issuer}#{identifier}"
        return whole if len(whole) <= MAX_SUBJECT else "sha256:" + hashlib.sha256(whole.encode()).hexdigest()

    def _groups(self, state: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[str, ...] | None:
        config, traits = self._config, self.traits
        if not config.reads_groups:
            return None
        groups = read_names(state, config.groups_claim, required=config.groups_required)
        if groups is None and config.groups_wanted:
            groups = ()
        if not traits.realm_roles and not traits.client_roles:
            return groups
        roles = read_roles(info, realm=traits.realm_roles, clients=traits.client_roles)
        return tuple(sorted({*without_roles(groups or ()), *roles}))

    async def _restrict(self, model: dict[str, Any]) -> None:
        refused = NotLetIn(f"your account in `{self.label}` is not among those that may use this hub")
        allowed = self.traits.check_blocked_users(model["name"], model)
        if not (await allowed if isawaitable(allowed) else allowed):
            raise refused
        for name, only in self._config.restrictions.items():
            if not await only.check_allowed(model["name"], model):
                log.warning("provider `%s`: `%s` is outside of `%s`", self.name, show(model["name"]), name)
                raise refused


def seconds(value: Any) -> float | None:
    """Return a time of a claim in seconds since the epoch, or None if it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
