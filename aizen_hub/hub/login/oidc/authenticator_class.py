"""Which class of oauthenticator a provider names."""

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

from aizen_hub.hub.login.provider import show
from aizen_hub.settings import ConfigurationError, ProviderSettings

DEFAULT_CLASS = "GenericOAuthenticator"
_SUBJECTS: Mapping[str, str] = {
    "Auth0OAuthenticator": "sub",
    "BitbucketOAuthenticator": "uuid",
    "CILogonOAuthenticator": "sub",
    "GitHubOAuthenticator": "id",
    "GitLabOAuthenticator": "id",
    "GlobusOAuthenticator": "sub",
    "GoogleOAuthenticator": "id",
    "OpenShiftOAuthenticator": "metadata.uid",
}
"""Where the classes for providers without OpenID Connect have the id that never changes."""


def class_of(settings: ProviderSettings) -> Any:
    """Return the oauthenticator class that a provider names: its class name, entry point or dotted path.

    Raises
    ------
    ConfigurationError
    """
    where, name = f"`providers.{settings.name}.authenticator`", settings.authenticator or DEFAULT_CLASS
    points = [one for one in entry_points(group="jupyterhub.authenticators") if one.value.startswith("oauthenticator.")]
    known = {one.value.partition(":")[2]: one.value for one in points} | {one.name: one.value for one in points}
    if "." not in name and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigurationError(
            f"{where}: oauthenticator has no `{show(name)}`: "
            + (f"did you mean `{near[0]}`?" if near else "leave it out for any provider with OpenID Connect")
        )
    try:
        found: Any = import_item(known.get(name, name).replace(":", "."))
    except ImportError as error:
        raise ConfigurationError(f"{where}: `{show(name)}` cannot be loaded: {show(str(error), 200)}") from None
    right: bool = inspect.isclass(found) and issubclass(found, OAuthenticator)
    if not right:
        raise ConfigurationError(f"{where}: `{show(name)}` is no class of oauthenticator")
    if issubclass(found, LocalAuthenticator):
        raise ConfigurationError(
            f"{where}: `{show(name)}` makes accounts on the hub's machine: use `{found.__name__.removeprefix('Local')}`"
        )
    if found.login_handler.get is not OAuthLoginHandler.get:
        raise ConfigurationError(f"{where}: `{show(name)}` does not speak OAuth 2: use a provider that does")
    return found


def subject_of(kind: type) -> str | None:
    """Return the claim with the immutable id for a class without an issuer, or None where nobody can know."""
    return next((_SUBJECTS[one.__name__] for one in kind.mro() if one.__name__ in _SUBJECTS), None)


def reads_unverified(kind: type) -> bool:
    """Whether a class takes what an ID token says without checking its signature."""
    return issubclass(kind, AzureAdOAuthenticator)
