"""Resolution of the oauthenticator class of a provider."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from jupyterhub.auth import LocalAuthenticator
from oauthenticator.azuread import AzureAdOAuthenticator
from oauthenticator.oauth2 import OAuthenticator, OAuthLoginHandler
from traitlets.utils.importstring import import_item

from aizen_hub.hub.login.provider import printable
from aizen_hub.settings import ConfigurationError, ProviderSettings

DEFAULT_CLASS = "GenericOAuthenticator"
_SUBJECT_CLAIMS: Mapping[str, str] = {
    "Auth0OAuthenticator": "sub",
    "BitbucketOAuthenticator": "uuid",
    "CILogonOAuthenticator": "sub",
    "GitHubOAuthenticator": "id",
    "GitLabOAuthenticator": "id",
    "GlobusOAuthenticator": "sub",
    "GoogleOAuthenticator": "id",
    "OpenShiftOAuthenticator": "metadata.uid",
}
"""Claims with the immutable id, for classes of providers without OpenID Connect."""


def resolve_authenticator_class(settings: ProviderSettings) -> Any:
    """Return the oauthenticator class that a provider names: its class name, entry point or dotted path.

    Raises
    ------
    ConfigurationError
    """
    setting, name = f"`providers.{settings.name}.authenticator`", settings.authenticator or DEFAULT_CLASS
    entry_point_list = [
        entry_point
        for entry_point in entry_points(group="jupyterhub.authenticators")
        if entry_point.value.startswith("oauthenticator.")
    ]
    import_names = {entry_point.value.partition(":")[2]: entry_point.value for entry_point in entry_point_list} | {
        entry_point.name: entry_point.value for entry_point in entry_point_list
    }
    if "." not in name and name not in import_names:
        suggestions = difflib.get_close_matches(name, import_names, n=1)
        raise ConfigurationError(
            f"{setting}: oauthenticator has no `{printable(name)}`: "
            + (f"did you mean `{suggestions[0]}`?" if suggestions else "remove it for any provider with OpenID Connect")
        )
    try:
        authenticator_class: Any = import_item(import_names.get(name, name).replace(":", "."))
    except ImportError as error:
        raise ConfigurationError(
            f"{setting}: `{printable(name)}` cannot be loaded: {printable(str(error), 200)}"
        ) from None
    is_oauthenticator: bool = inspect.isclass(authenticator_class) and issubclass(authenticator_class, OAuthenticator)
    if not is_oauthenticator:
        raise ConfigurationError(f"{setting}: `{printable(name)}` is not a class of oauthenticator")
    if issubclass(authenticator_class, LocalAuthenticator):
        raise ConfigurationError(
            f"{setting}: `{printable(name)}` creates accounts on the hub's machine: use "
            f"`{authenticator_class.__name__.removeprefix('Local')}`"
        )
    if authenticator_class.login_handler.get is not OAuthLoginHandler.get:
        raise ConfigurationError(f"{setting}: `{printable(name)}` does not speak OAuth 2: use a provider that does")
    return authenticator_class


def default_subject_claim(authenticator_class: type) -> str | None:
    """Return the claim with the immutable id for a class without an issuer, or None where it is unknown."""
    return next(
        (_SUBJECT_CLAIMS[base.__name__] for base in authenticator_class.mro() if base.__name__ in _SUBJECT_CLAIMS), None
    )


def accepts_unverified_tokens(authenticator_class: type) -> bool:
    """Return whether a class reads ID tokens without checking their signature."""
    return issubclass(authenticator_class, AzureAdOAuthenticator)
