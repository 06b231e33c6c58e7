"""Contexts: the hubs that a person has signed in to, and where their tokens are kept."""

from __future__ import annotations

import importlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aizen_hub.secret_files import SecretFileError, create_secret_file, read_secret_file

CONTEXT_VARIABLE = "AIZEN_HUB_CONTEXT"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_KEYRING_SERVICE = "aizen-hub"
_WITHOUT_KEYRING = "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring"
_MAX_BYTES, _MAX_TOKEN = 1 << 20, 4096


class ContextError(ValueError):
    """A context is missing, or its file cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Context:
    """A hub and an account there.

    Attributes
    ----------
    name : str
        As the person calls it.
    url : str
        The hub's address, as in the browser.
    user : str
        Who signed in; empty before.
    """

    name: str
    url: str
    user: str = ""


@dataclass(slots=True)
class ContextStore:
    """The contexts of the person at this machine, in a file of their configuration folder."""

    folder: Path
    current: str = ""
    contexts: dict[str, Context] = field(default_factory=dict)

    @classmethod
    def load(cls) -> ContextStore:
        """Read the contexts; there are none where nothing was saved.

        Raises
        ------
        ContextError
        """
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        store = cls(Path(base).expanduser() / "aizen-hub")
        try:
            with store._file.open("rb") as file:
                document = json.loads(file.read(_MAX_BYTES))
            store.current = str(document["current"])
            store.contexts = {item["name"]: Context(**item) for item in document["contexts"]}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ContextError(
                f"`{store._file}` cannot be read ({type(error).__name__}): correct or remove it"
            ) from None
        return store

    def find(self, name: str) -> Context:
        """Return the context of a name.

        Raises
        ------
        ContextError
        """
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise ContextError(f"there is no context `{name}` (there are: {known}); see `aizen-hub context list`")
        return self.contexts[name]

    @property
    def chosen(self) -> Context | None:
        """The context that the environment or `context use` chose."""
        name = os.environ.get(CONTEXT_VARIABLE) or self.current
        return self.find(name) if name else None

    def find_by_url(self, url: str) -> Context | None:
        """Return the context of an address, of several the chosen one, or None.

        Raises
        ------
        ContextError
            Several have this address, for several accounts, and none of them is chosen.
        """
        known = [item for item in self.contexts.values() if item.url == url]
        chosen = next((item for item in known if item == self.chosen), None) if len(known) > 1 else None
        if len(known) > 1 and chosen is None:
            names = ", ".join(sorted(item.name for item in known))
            raise ContextError(f"several contexts have the address {url}: name one of {names} with --context")
        return chosen or next(iter(known), None)

    def put(self, context: Context, *, use: bool) -> None:
        """Save a context, and with ``use`` make it the current one; a token for another address is deleted first."""
        known = self.contexts.get(context.name)
        if known is not None and known.url != context.url:
            self.delete_token(known.name)
        self.contexts[context.name] = context
        if use:
            self.current = context.name
        self._save()

    def remove(self, name: str) -> None:
        """Remove a context and its token from this machine."""
        self.find(name)
        self.delete_token(name)
        del self.contexts[name]
        if self.current == name:
            self.current = ""
        self._save()

    def read_token(self, name: str) -> str | None:
        """Return the token of a context, or None.

        Raises
        ------
        ContextError
            Its file can be read by others, or the keyring refuses.
        """
        if (keyring := find_keyring()) is not None:
            token = _call(keyring, "get_password", self._account(name))
            if token:
                return str(token)
        try:
            # Tokens of the hub's OAuth are shorter than those that `read_token` demands.
            return read_secret_file(self._token_file(name), _MAX_TOKEN).decode("ascii", "replace").strip()
        except SecretFileError as error:
            if error.missing:
                return None
            raise ContextError(str(error)) from None

    def save_token(self, name: str, token: str) -> str:
        """Keep a token in the keyring of this machine, or in a file for this account only; return where."""
        self.delete_token(name)
        if (keyring := find_keyring()) is not None:
            _call(keyring, "set_password", self._account(name), token)
            return "the keyring"
        create_secret_file(self._token_file(name), token.encode())
        return str(self._token_file(name))

    def delete_token(self, name: str) -> None:
        """Delete the token of a context from this machine."""
        if (keyring := find_keyring()) is not None and _call(keyring, "get_password", self._account(name)):
            _call(keyring, "delete_password", self._account(name))
        self._token_file(name).unlink(missing_ok=True)

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = {"current": self.current, "contexts": [asdict(item) for item in self.contexts.values()]}
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._file)

    @property
    def _file(self) -> Path:
        return self.folder / "contexts.json"

    def _token_file(self, name: str) -> Path:
        return self.folder / "tokens" / name

    def _account(self, name: str) -> str:
        return f"{name} {self.contexts[name].url}" if name in self.contexts else name


def check_name(name: str) -> str:
    """Return a name of a context; raises ContextError."""
    if not _NAME.fullmatch(name):
        raise ContextError(f"`{name}` cannot name a context: use letters, digits, `.`, `_` and `-`")
    return name


def name_of_url(url: str) -> str:
    """Return the name that a hub gets by default: its host, and its port where it is an unusual one.

    Raises
    ------
    ContextError
        It is not the address of a hub.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError
        return check_name(parts.hostname.replace(":", "_") + (f"_{parts.port}" if parts.port else ""))
    except ValueError:
        raise ContextError(f"`{url}` is no address of a hub: write it as in the browser, with https://") from None


def find_keyring() -> Any | None:
    """Return the library `keyring` where it is installed and this machine has a keyring; else None."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None
    # Those below 1 are not recommended: none at all, and files without encryption.
    return keyring if keyring.get_keyring().priority >= 1 else None


def _call(keyring: Any, function: str, *arguments: str) -> Any:
    try:
        return getattr(keyring, function)(_KEYRING_SERVICE, *arguments)
    except keyring.errors.KeyringError as error:
        raise ContextError(
            f"the keyring of this machine refused ({error or type(error).__name__}): unlock it, or set "
            f"{_WITHOUT_KEYRING} to keep tokens in files"
        ) from None
