"""The settings of one OIDC provider, checked: what cannot work, or undoes a protection, stops the start."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import TraitError
from traitlets.config import Config

from aizen_hub.hub.login.oidc.authenticator_class import class_of, reads_unverified, subject_of
from aizen_hub.hub.login.oidc.http import IdpClient, address_fault, is_loopback
from aizen_hub.hub.login.oidc.jwks import ALGORITHMS
from aizen_hub.hub.login.oidc.traits import OidcTraits
from aizen_hub.hub.login.provider import show
from aizen_hub.settings import ConfigurationError, ProviderSettings


class OidcConfig:
    """The checked settings of one provider.

    Attributes
    ----------
    traits : OAuthenticator
        An instance of the class, with `OidcTraits` mixed in.
    restrictions : dict
        By the name of each configured allow-list, the same instance with this one list only: all must say yes (R25),
        where the class alone would be content with any.
    groups_claim : str
        Path of the groups in the sign-in state.
    groups_wanted : bool
        Whether groups are configured, so that their absence means something.
    groups_required : bool
        Whether nobody comes in without them: the catalog says so, or they are wanted and ``require_groups`` says so.

    Parameters
    ----------
    groups_required : bool
        What the catalog says (``groups_claim_required``).

    Raises
    ------
    ConfigurationError
        A setting is unknown, cannot work, undoes a protection, or contradicts the catalog; names the key and the fix.
    """

    def __init__(
        self, settings: ProviderSettings, folder: Path, client_of: Any, *, groups_required: bool = False
    ) -> None:
        self._where = f"`providers.{settings.name}.config"
        base = class_of(settings)
        self._kind: Any = type("Aizen" + base.__name__, (OidcTraits, base), {})
        given = dict(settings.config)
        self._check_names(given, settings)
        tls = self._tls(given, settings, folder)
        self._read_secret(given, folder)
        self.groups_wanted = bool(
            {"auth_state_groups_key", "claim_groups_key", "manage_groups", "allowed_groups"} & given.keys()
        ) and given.get("manage_groups", True)
        self.reads_groups = bool(given.setdefault("manage_groups", True))
        if groups_required:
            self._check_groups(given)
        self.traits = self._make(given)
        self._check_values(given, settings)
        self.groups_required = groups_required or (self.groups_wanted and self.traits.require_groups)
        names = sorted(one for one in given if one.startswith("allowed_") and one != "allowed_idps")
        if any("allowed_domains" in one for one in dict(given.get("idps") or {}).values() if isinstance(one, Mapping)):
            names.append("idps")
        self.restrictions = {name: self._make(_only(given, name)) for name in names}
        # What the class demands of everybody whatever it is told, such as Google's hosted domain.
        self.restrictions["the class"] = self._make({**_only(given, ""), "allow_all": True})
        loopback = is_loopback_url(self.traits.issuer or self.traits.authorize_url)
        self.client: IdpClient = client_of(loopback, tls)
        for one in (self.traits, *self.restrictions.values()):
            one.http_client = self.client
        key = self.traits.auth_state_groups_key
        self.groups_claim = key if isinstance(key, str) and key else f"{self.traits.user_auth_state_key}.groups"

    def adopt(self, **urls: str | None) -> None:
        """Set discovered addresses; those that are configured stay."""
        for one in (self.traits, *self.restrictions.values()):
            for name, url in urls.items():
                configured = name in self.traits.config[self._kind.__name__]
                if not configured and url is not None and not (name == "userdata_url" and one.userdata_from_id_token):
                    setattr(one, name, url)

    def _make(self, given: Mapping[str, Any]) -> Any:
        try:
            return self._kind(config=Config({self._kind.__name__: dict(given)}))
        except (TraitError, ValueError, TypeError) as error:
            raise ConfigurationError(f"{self._where}`: {error}") from None

    def _check_names(self, given: Mapping[str, Any], settings: ProviderSettings) -> None:
        known = self._kind.class_trait_names(config=True)
        for key in sorted(given):
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise ConfigurationError(
                    f"{self._where}.{key}`: {self._kind.__name__.removeprefix('Aizen')} has no such trait: "
                    + (f"did you mean `{near[0]}`?" if near else "remove it")
                )
            refused = _REFUSED.get(key) or (_ADMINS if key.startswith("admin_") else None)
            if refused:
                raise ConfigurationError(f"{self._where}.{key}`: {refused}")
            if (key.startswith("allowed_") or key == "idps") and not given[key]:
                raise ConfigurationError(
                    f"{self._where}.{key}` is empty, so nobody could sign in: list somebody, or remove the key for no "
                    "restriction"
                )
        if given.get("enable_pkce", True) is not True:
            raise ConfigurationError(f"{self._where}.enable_pkce`: without it a stolen code signs in: remove it")
        for key, forbidden in (
            ("extra_authorize_params", _OWN_AUTHORIZE),
            ("token_params", _OWN_TOKEN),
            ("extra_params", _OWN_TOKEN),
        ):
            value = given.get(key) or {}
            wrong = sorted(set(value) & forbidden) if isinstance(value, Mapping) else []
            if wrong:
                raise ConfigurationError(f"{self._where}.{key}.{wrong[0]}`: is set for each sign-in: remove it")

    def _check_groups(self, given: Mapping[str, Any]) -> None:
        for key in ("manage_groups", "require_groups"):
            if not given.get(key, True):
                raise ConfigurationError(
                    f"{self._where}.{key}`: the catalog lets nobody in without the groups claim: remove it, or set "
                    "`groups_claim_required: false` in an overlay"
                )

    def _check_values(self, given: Mapping[str, Any], settings: ProviderSettings) -> None:
        traits = self.traits
        if traits.issuer:
            fault = address_fault(traits.issuer)
            if fault or "?" in traits.issuer:
                raise ConfigurationError(f"{self._where}.issuer`: {fault or 'holds a query'}")
            if "subject_claim" in given and traits.subject_claim != "sub":
                raise ConfigurationError(f"{self._where}.subject_claim`: with `issuer` it is always `sub`: remove it")
        elif traits.userdata_from_id_token or reads_unverified(type(traits)):
            raise ConfigurationError(
                f"{self._where}.issuer`: is needed here, since ID tokens would be believed unverified without it"
            )
        elif not (traits.authorize_url and traits.token_url and traits.userdata_url):
            raise ConfigurationError(
                f"{self._where}.issuer`: name the issuer, e.g. `https://login.example.org`, or for a provider without "
                "OpenID Connect `authorize_url`, `token_url` and `userdata_url`"
            )
        elif "subject_claim" not in given:
            subject = subject_of(type(traits))
            if subject is None:
                raise ConfigurationError(
                    f"{self._where}.subject_claim`: without `issuer`, name the claim with the id that never changes"
                )
            traits.subject_claim = subject
        loopback = not traits.issuer or is_loopback_url(traits.issuer)
        for key in ("authorize_url", "token_url", "userdata_url", "oauth_callback_url", "logout_redirect_url"):
            value = getattr(traits, key)
            fault = address_fault(value, loopback=loopback or key == "oauth_callback_url") if value else None
            if fault:
                raise ConfigurationError(f"{self._where}.{key}`: {fault}")
        wanted = f"/oidc/{settings.name}/callback"
        if traits.oauth_callback_url and not traits.oauth_callback_url.endswith(wanted):
            raise ConfigurationError(
                f"{self._where}.oauth_callback_url`: each provider has its own, so that answers cannot be mixed up: it "
                f"must end with `{wanted}`"
            )
        if not traits.client_id:
            raise ConfigurationError(f"{self._where}.client_id`: name the client that is registered for this hub")
        wrong = sorted(set(traits.id_token_algorithms) - set(ALGORITHMS))
        if wrong or not traits.id_token_algorithms:
            raise ConfigurationError(
                f"{self._where}.id_token_algorithms`: "
                + (f"`{show(wrong[0])}` is not among {', '.join(ALGORITHMS)}" if wrong else "is empty")
            )
        if traits.validate_server_cert is False and not settings.insecure_tls:
            raise ConfigurationError(
                f"{self._where}.validate_server_cert`: others on the network could then pose as the provider: name its "
                "CA in `http_request_kwargs.ca_certs`, or accept the risk with "
                f"`providers.{settings.name}.insecure_tls: true`"
            )
        if traits.issuer and "scope" not in given:
            traits.scope = ["openid", "profile", "email"]
        if traits.issuer and "openid" not in traits.scope:
            raise ConfigurationError(f"{self._where}.scope`: needs `openid`, else there is no ID token to verify")

    def _tls(self, given: Mapping[str, Any], settings: ProviderSettings, folder: Path) -> dict[str, Any]:
        options = dict(given.get("http_request_kwargs") or {})
        wrong = sorted(options.keys() - _HTTP)
        if wrong:
            raise ConfigurationError(f"{self._where}.http_request_kwargs.{wrong[0]}`: allowed are {', '.join(_HTTP)}")
        for key, value in options.items():
            options[key] = str(folder / str(value))
            if not Path(options[key]).is_file():
                raise ConfigurationError(f"{self._where}.http_request_kwargs.{key}`: there is no file `{options[key]}`")
        unverified = settings.insecure_tls and given.get("validate_server_cert") is False
        return {**options, "validate_cert": not unverified}

    def _read_secret(self, given: dict[str, Any], folder: Path) -> None:
        file = given.pop("client_secret_file", None)
        if not file:
            return
        if given.get("client_secret"):
            raise ConfigurationError(f"{self._where}.client_secret`: stands beside `client_secret_file`: remove one")
        try:
            given["client_secret"] = (folder / str(file)).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"{self._where}.client_secret_file`: `{file}` cannot be read: {error.strerror}"
            ) from None


_HTTP = ("ca_certs", "client_cert", "client_key")
_OWN_AUTHORIZE = frozenset(
    {
        "state", "nonce", "code_challenge", "code_challenge_method", "response_type", "response_mode", "redirect_uri",
        "client_id", "scope", "request", "request_uri",
    }
)  # fmt: skip
_OWN_TOKEN = frozenset({"code", "code_verifier", "grant_type", "redirect_uri", "refresh_token"})
_LETS_IN = "has no effect here, the registration lets people in: remove it"
_ADMINS = "administrators of the hub can enter every server: remove it, and grant the role AIZEN_ADMIN instead"
_HUBS = "is a setting of the hub, not of one provider: remove it"
_REFUSED: Mapping[str, str] = {
    "allow_all": _LETS_IN,
    "allow_existing_users": _LETS_IN,
    "any_allow_config": _LETS_IN,
    "delete_invalid_users": _HUBS,
    **dict.fromkeys(
        (
            "auto_login", "auto_login_oauth2_authorize", "auth_refresh_age", "auth_refresh_strict", "enable_auth_state",
            "refresh_pre_spawn", "refresh_pre_stop", "manage_roles", "reset_managed_roles_on_startup", "otp_prompt",
            "request_otp",
        ),
        _HUBS,
    ),
    "username_map": "one person would become another: register people by name instead",
    "refresh_user_hook": "would decide without the provider who may stay: remove it",
    "http_client": "is set by aizen-hub: remove it",
}  # fmt: skip


def is_loopback_url(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _only(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    others = {key for key in given if key.startswith("allowed_")} - {name, "allowed_idps"}
    out = {key: value for key, value in given.items() if key not in others}
    if name != "idps" and "idps" in out:
        # Otherwise CILogon's class would be content with the domain alone.
        out["idps"] = {
            source: {key: value for key, value in one.items() if key not in ("allowed_domains", "allow_all")}
            for source, one in given["idps"].items()
        }
    elif name == "idps":
        # A source without a list of domains has no restriction, which CILogon's class spells `allow_all`.
        out["idps"] = {
            source: dict(one) if one.get("allowed_domains") else {**one, "allow_all": True}
            for source, one in given["idps"].items()
        }
    return out
