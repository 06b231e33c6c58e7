"""Settings of one OIDC provider, with checks for invalid and insecure values."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import TraitError
from traitlets.config import Config

from aizen_hub.hub.login.oidc.authenticator_class import (
    accepts_unverified_tokens,
    default_subject_claim,
    resolve_authenticator_class,
)
from aizen_hub.hub.login.oidc.http import IdpClient, is_loopback, url_fault
from aizen_hub.hub.login.oidc.jwks import ALGORITHMS
from aizen_hub.hub.login.oidc.traits import OidcTraits
from aizen_hub.hub.login.provider import printable
from aizen_hub.settings import ConfigurationError, ProviderSettings


class OidcConfig:
    """The checked settings of one provider.

    Attributes
    ----------
    traits : OAuthenticator
        An instance of the class, with `OidcTraits` mixed in.
    restrictions : dict
        By the name of each configured allow-list, an instance with this list only: a user must meet all of them (R25),
        while the class alone would accept any.
    groups_claim : str
        Path of the groups in the ``auth_state``.
    groups_configured : bool
        Whether groups are configured, so that their absence means something.
    groups_required : bool
        Whether a login without groups is denied: by the catalog, or where groups are configured by ``require_groups``.

    Parameters
    ----------
    groups_required : bool
        The catalog's ``groups_claim_required``.

    Raises
    ------
    ConfigurationError
        A setting is unknown, invalid, insecure, or contradicts the catalog; names the key and the fix.
    """

    def __init__(
        self, settings: ProviderSettings, base_dir: Path, build_client: Any, *, groups_required: bool = False
    ) -> None:
        self._prefix = f"`providers.{settings.name}.config"
        base = resolve_authenticator_class(settings)
        self._class: Any = type("Aizen" + base.__name__, (OidcTraits, base), {})
        values = dict(settings.config)
        self._check_names(values, settings)
        tls = self._check_tls(values, settings, base_dir)
        self._read_secret(values, base_dir)
        self.groups_configured = bool(
            {"auth_state_groups_key", "claim_groups_key", "manage_groups", "allowed_groups"} & values.keys()
        ) and values.get("manage_groups", True)
        self.reads_groups = bool(values.setdefault("manage_groups", True))
        if groups_required:
            self._check_groups(values)
        self.traits = self._build_traits(values)
        self._check_values(values, settings)
        self.groups_required = groups_required or (self.groups_configured and self.traits.require_groups)
        names = sorted(key for key in values if key.startswith("allowed_") and key != "allowed_idps")
        idps = dict(values.get("idps") or {}).values()
        if any("allowed_domains" in idp for idp in idps if isinstance(idp, Mapping)):
            names.append("idps")
        self.restrictions = {name: self._build_traits(_only_restriction(values, name)) for name in names}
        # Restrictions that the class applies to all users, such as Google's hosted domain.
        self.restrictions["the class"] = self._build_traits({**_only_restriction(values, ""), "allow_all": True})
        loopback = is_loopback_url(self.traits.issuer or self.traits.authorize_url)
        self.client: IdpClient = build_client(loopback, tls)
        for traits in (self.traits, *self.restrictions.values()):
            traits.http_client = self.client
        key = self.traits.auth_state_groups_key
        self.groups_claim = key if isinstance(key, str) and key else f"{self.traits.user_auth_state_key}.groups"

    def set_discovered_urls(self, **urls: str | None) -> None:
        """Set discovered URLs, except those that are configured."""
        for traits in (self.traits, *self.restrictions.values()):
            for name, url in urls.items():
                configured = name in self.traits.config[self._class.__name__]
                if (
                    not configured
                    and url is not None
                    and not (name == "userdata_url" and traits.userdata_from_id_token)
                ):
                    setattr(traits, name, url)

    def _build_traits(self, values: Mapping[str, Any]) -> Any:
        try:
            return self._class(config=Config({self._class.__name__: dict(values)}))
        except (TraitError, ValueError, TypeError) as error:
            raise ConfigurationError(f"{self._prefix}`: {error}") from None

    def _check_names(self, values: Mapping[str, Any], settings: ProviderSettings) -> None:
        known_keys = self._class.class_trait_names(config=True)
        for key in sorted(values):
            if key not in known_keys:
                suggestions = difflib.get_close_matches(key, known_keys, n=1)
                raise ConfigurationError(
                    f"{self._prefix}.{key}`: {self._class.__name__.removeprefix('Aizen')} has no such trait: "
                    + (f"did you mean `{suggestions[0]}`?" if suggestions else "remove it")
                )
            reason = _FORBIDDEN_KEYS.get(key) or (_NO_HUB_ADMINS if key.startswith("admin_") else None)
            if reason:
                raise ConfigurationError(f"{self._prefix}.{key}`: {reason}")
            if (key.startswith("allowed_") or key == "idps") and not values[key]:
                raise ConfigurationError(
                    f"{self._prefix}.{key}` is empty, so no user could sign in: add an entry, or remove the key for no "
                    "restriction"
                )
        if values.get("enable_pkce", True) is not True:
            raise ConfigurationError(
                f"{self._prefix}.enable_pkce`: without it a stolen code could be used to sign in: remove it"
            )
        for key, forbidden in (
            ("extra_authorize_params", _RESERVED_AUTHORIZE_PARAMS),
            ("token_params", _RESERVED_TOKEN_PARAMS),
            ("extra_params", _RESERVED_TOKEN_PARAMS),
        ):
            value = values.get(key) or {}
            wrong = sorted(set(value) & forbidden) if isinstance(value, Mapping) else []
            if wrong:
                raise ConfigurationError(f"{self._prefix}.{key}.{wrong[0]}`: is set for each sign-in: remove it")

    def _check_groups(self, values: Mapping[str, Any]) -> None:
        for key in ("manage_groups", "require_groups"):
            if not values.get(key, True):
                raise ConfigurationError(
                    f"{self._prefix}.{key}`: the catalog denies logins without the groups claim: remove it, or set "
                    "`groups_claim_required: false` in an overlay"
                )

    def _check_values(self, values: Mapping[str, Any], settings: ProviderSettings) -> None:
        traits = self.traits
        if traits.issuer:
            fault = url_fault(traits.issuer)
            if fault or "?" in traits.issuer:
                raise ConfigurationError(f"{self._prefix}.issuer`: {fault or 'contains a query'}")
            if "subject_claim" in values and traits.subject_claim != "sub":
                raise ConfigurationError(f"{self._prefix}.subject_claim`: with `issuer` it is always `sub`: remove it")
        elif traits.userdata_from_id_token or accepts_unverified_tokens(type(traits)):
            raise ConfigurationError(
                f"{self._prefix}.issuer`: is required here, since ID tokens would be trusted unverified without it"
            )
        elif not (traits.authorize_url and traits.token_url and traits.userdata_url):
            raise ConfigurationError(
                f"{self._prefix}.issuer`: name the issuer, e.g. `https://login.example.org`, or for a provider without "
                "OpenID Connect `authorize_url`, `token_url` and `userdata_url`"
            )
        elif "subject_claim" not in values:
            subject = default_subject_claim(type(traits))
            if subject is None:
                raise ConfigurationError(
                    f"{self._prefix}.subject_claim`: without `issuer`, name the claim with the immutable id"
                )
            traits.subject_claim = subject
        loopback = not traits.issuer or is_loopback_url(traits.issuer)
        for key in ("authorize_url", "token_url", "userdata_url", "oauth_callback_url", "logout_redirect_url"):
            value = getattr(traits, key)
            fault = url_fault(value, loopback=loopback or key == "oauth_callback_url") if value else None
            if fault:
                raise ConfigurationError(f"{self._prefix}.{key}`: {fault}")
        callback_path = f"/oidc/{settings.name}/callback"
        if traits.oauth_callback_url and not traits.oauth_callback_url.endswith(callback_path):
            raise ConfigurationError(
                f"{self._prefix}.oauth_callback_url`: each provider has its own, so that responses cannot be mixed up: "
                f"it must end with `{callback_path}`"
            )
        if not traits.client_id:
            raise ConfigurationError(f"{self._prefix}.client_id`: name the client that is registered for this hub")
        wrong = sorted(set(traits.id_token_algorithms) - set(ALGORITHMS))
        if wrong or not traits.id_token_algorithms:
            raise ConfigurationError(
                f"{self._prefix}.id_token_algorithms`: "
                + (f"`{printable(wrong[0])}` is not among {', '.join(ALGORITHMS)}" if wrong else "is empty")
            )
        if traits.validate_server_cert is False and not settings.insecure_tls:
            raise ConfigurationError(
                f"{self._prefix}.validate_server_cert`: the provider could be impersonated on the network: name its "
                "CA in `http_request_kwargs.ca_certs`, or accept the risk with "
                f"`providers.{settings.name}.insecure_tls: true`"
            )
        if traits.issuer and "scope" not in values:
            traits.scope = ["openid", "profile", "email"]
        if traits.issuer and "openid" not in traits.scope:
            raise ConfigurationError(f"{self._prefix}.scope`: needs `openid`, else there is no ID token to verify")

    def _check_tls(self, values: Mapping[str, Any], settings: ProviderSettings, base_dir: Path) -> dict[str, Any]:
        options = dict(values.get("http_request_kwargs") or {})
        unknown_keys = sorted(options.keys() - _HTTP_KEYS)
        if unknown_keys:
            raise ConfigurationError(
                f"{self._prefix}.http_request_kwargs.{unknown_keys[0]}`: allowed are {', '.join(_HTTP_KEYS)}"
            )
        for key, value in options.items():
            options[key] = str(base_dir / str(value))
            if not Path(options[key]).is_file():
                raise ConfigurationError(
                    f"{self._prefix}.http_request_kwargs.{key}`: there is no file `{options[key]}`"
                )
        unverified = settings.insecure_tls and values.get("validate_server_cert") is False
        return {**options, "validate_cert": not unverified}

    def _read_secret(self, values: dict[str, Any], base_dir: Path) -> None:
        file = values.pop("client_secret_file", None)
        if not file:
            return
        if values.get("client_secret"):
            raise ConfigurationError(
                f"{self._prefix}.client_secret`: is set in addition to `client_secret_file`: remove one"
            )
        try:
            values["client_secret"] = (base_dir / str(file)).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"{self._prefix}.client_secret_file`: `{file}` cannot be read: {error.strerror}"
            ) from None


_HTTP_KEYS = ("ca_certs", "client_cert", "client_key")
_RESERVED_AUTHORIZE_PARAMS = frozenset(
    {
        "state", "nonce", "code_challenge", "code_challenge_method", "response_type", "response_mode", "redirect_uri",
        "client_id", "scope", "request", "request_uri",
    }
)  # fmt: skip
_RESERVED_TOKEN_PARAMS = frozenset({"code", "code_verifier", "grant_type", "redirect_uri", "refresh_token"})
_NO_EFFECT = "has no effect here, users are admitted by their registration: remove it"
_NO_HUB_ADMINS = "administrators of the hub can enter every server: remove it, and grant the role AIZEN_ADMIN instead"
_HUB_SETTING = "is a setting of the hub, not of one provider: remove it"
_FORBIDDEN_KEYS: Mapping[str, str] = {
    "allow_all": _NO_EFFECT,
    "allow_existing_users": _NO_EFFECT,
    "any_allow_config": _NO_EFFECT,
    "delete_invalid_users": _HUB_SETTING,
    **dict.fromkeys(
        (
            "auto_login", "auto_login_oauth2_authorize", "auth_refresh_age", "auth_refresh_strict", "enable_auth_state",
            "refresh_pre_spawn", "refresh_pre_stop", "manage_roles", "reset_managed_roles_on_startup", "otp_prompt",
            "request_otp",
        ),
        _HUB_SETTING,
    ),
    "username_map": "one user would become another: register users by name instead",
    "refresh_user_hook": "would replace the provider's decision at a refresh: remove it",
    "http_client": "is set by aizen-hub: remove it",
}  # fmt: skip


def is_loopback_url(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _only_restriction(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    other_restrictions = {key for key in values if key.startswith("allowed_")} - {name, "allowed_idps"}
    result = {key: value for key, value in values.items() if key not in other_restrictions}
    if name != "idps" and "idps" in result:
        # Otherwise CILogon's class would accept the domain alone.
        result["idps"] = {
            source: {key: value for key, value in idp.items() if key not in ("allowed_domains", "allow_all")}
            for source, idp in values["idps"].items()
        }
    elif name == "idps":
        # A source without a list of domains has no restriction, which CILogon's class spells `allow_all`.
        result["idps"] = {
            source: dict(idp) if idp.get("allowed_domains") else {**idp, "allow_all": True}
            for source, idp in values["idps"].items()
        }
    return result
