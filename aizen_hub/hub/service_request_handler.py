"""Base of the endpoints of the hub that the service calls, with the hub secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tornado import web

from aizen_hub.problems import NotAuthenticated, Unavailable
from aizen_hub.secret_files import SecretFileError, read_secret
from aizen_hub.tokens.opaque_token import constant_time_equals


class ServiceRequestHandler(web.RequestHandler):
    """Accepts the hub secret as bearer, and nothing else.

    Attributes
    ----------
    secret_path : Path
        Set by `initialize` of the subclass.
    """

    secret_path: Path

    def check_xsrf_cookie(self) -> None:
        """Do nothing: this endpoint ignores cookies, and a page in a browser does not have the secret."""

    def authenticate(self) -> None:
        """Raise NotAuthenticated for another credential, and Unavailable where the secret cannot be read."""
        scheme, _, credential = self.request.headers.get("Authorization", "").partition(" ")
        try:
            secret = read_secret(self.secret_path)
        except SecretFileError as error:
            raise Unavailable(str(error)) from None
        if scheme.lower() != "bearer" or not constant_time_equals(credential, secret):
            raise NotAuthenticated("this endpoint accepts the hub secret only")

    def respond(self, status: int, content_type: str, body: dict[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))
