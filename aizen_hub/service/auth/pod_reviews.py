"""Whether a role token is sent from the pod of its session, by the API server of Kubernetes (TokenReview)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from aizen_hub.pod_identity_settings import PodIdentitySettings
from aizen_hub.problems import NotAuthenticated, Problem, Unavailable
from aizen_hub.secret_files import SecretFileError, read_secret_file
from aizen_hub.service.auth.hub_api import read_bounded
from aizen_hub.tokens.opaque_token import hash_credential
from aizen_hub.validation import strict_json

log = logging.getLogger(__name__)

CONFIRMED_SECONDS: Final = 60.0
"""How long a pod counts as confirmed. Its session may end before, and is checked at every decision."""
MAX_CONFIRMED: Final = 10_000
MISSING, REFUSED = "pod-missing", "pod-refused"
_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_EXTRA: Final = "authentication.kubernetes.io/pod-"
_TOKEN = re.compile(r"(?=.{1,8192}$)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9-]+):[a-z0-9.-]+")
_MAX_RESPONSE, _MAX_OWN_TOKEN = 256 * 1024, 16 * 1024
_MAX_CONNECTIONS = 16
_REMEDIES: Final = {
    401: "an administrator corrects `pod_identity.token_file`",
    403: "an administrator lets the service's account create `tokenreviews`",
    404: "an administrator corrects `pod_identity.api_url`",
}
_ATTEMPTS = 2


class PodReviews:
    """Asks the API server about tokens of pods, and remembers for a minute what it confirmed.

    The token of a pod has the id of the session in its audience, which the hub chose when it created the pod. So
    nothing about pods has to be stored, and every replica can check it.

    Parameters
    ----------
    settings : PodIdentitySettings
    deadline : float
        Seconds for all attempts of one review.

    Raises
    ------
    OSError
        ``ca_file`` cannot be read, or has no certificate (`ssl.SSLError`).
    """

    def __init__(self, settings: PodIdentitySettings, deadline: float) -> None:
        self._settings, self._deadline = settings, deadline
        self._url = settings.api_url.rstrip("/") + _PATH
        self._tls = ssl.create_default_context(cafile=str(settings.ca_file))
        self._session: ClientSession | None = None
        self._confirmed: OrderedDict[str, float] = OrderedDict()

    def was_confirmed(self, token: str | None, session_id: str) -> bool:
        """Return whether this token was confirmed within the last minute."""
        return self._confirmed.get(_cache_key(token, session_id), 0.0) > time.monotonic()

    async def confirm(self, token: str, session_id: str) -> None:
        """Confirm that a token belongs to the pod of a session.

        Raises
        ------
        NotAuthenticated
            It does not.
        Unavailable
            The API server does not answer, or does not let the service ask.
        """
        if not _TOKEN.fullmatch(token):
            raise refusal("its token is malformed")
        audience = self._settings.audience_of(session_id)
        fault = find_fault(await self._review(token, audience), audience, self._settings)
        if fault is not None:
            raise refusal(fault)
        key = _cache_key(token, session_id)
        self._confirmed[key] = time.monotonic() + CONFIRMED_SECONDS
        self._confirmed.move_to_end(key)
        if len(self._confirmed) > MAX_CONFIRMED:
            self._confirmed.popitem(last=False)

    async def _review(self, token: str, audience: str) -> Any:
        try:
            own_token = await asyncio.to_thread(
                read_secret_file, self._settings.token_file, _MAX_OWN_TOKEN, group_reads_ours=True
            )
        except SecretFileError as error:
            log.error("no token for the API server of Kubernetes: %s", error)
            raise _unavailable(_REMEDIES[401]) from None
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        headers = {
            "Authorization": f"Bearer {own_token.decode('ascii', 'replace').strip()}",
            "Content-Type": "application/json",
        }
        status, content = await self._post(json.dumps(review).encode(), headers)
        if status not in (200, 201):
            log.error("the API server of Kubernetes does not review a token: status %d", status)
            raise _unavailable(_REMEDIES.get(status))
        try:
            answer = strict_json.loads(content, max_bytes=_MAX_RESPONSE)
        except Problem:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("status"), dict):
            log.error("the answer of `%s` is not a TokenReview", self._url)
            raise _unavailable(_REMEDIES[404])
        return answer["status"]

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a review, once more if the API server does not answer: it changes nothing there."""
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=_MAX_CONNECTIONS, ssl=self._tls),
                cookie_jar=DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,
                timeout=ClientTimeout(total=self._deadline / _ATTEMPTS),
            )
        cause = ""
        for _ in range(_ATTEMPTS):
            try:
                async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                    if response.status < 500:
                        return response.status, await read_bounded(response.content, _MAX_RESPONSE)
                    cause = f"status {response.status}"
            except (OSError, ClientError) as error:  # a timeout is an OSError
                cause = type(error).__name__
        log.error("the API server of Kubernetes does not answer: %s", cause)
        raise _unavailable()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def find_fault(status: Any, audience: str, settings: PodIdentitySettings) -> str | None:
    """Return why the status of a TokenReview does not confirm a pod; None if it does.

    The API server checks signature, expiry, and that the pod still exists; for a few seconds after a forced deletion it
    may not have noticed.
    """
    if not isinstance(status, dict) or status.get("authenticated") is not True:
        return "its token has expired, is for another session, or its pod is gone"
    audiences = status.get("audiences")
    if not isinstance(audiences, list) or audience not in audiences:
        # An API server that ignores audiences returns none.
        return "its token is for another session"
    user = status.get("user")
    name = user.get("username") if isinstance(user, dict) else None
    account = _ACCOUNT.fullmatch(name) if isinstance(name, str) else None
    if account is None:
        return "its token is not that of a pod"
    if not settings.permits_namespace(account.group(1)):
        return f"its pod is in the namespace `{account.group(1)}`, where no user servers run"
    extra = user.get("extra") if isinstance(user, dict) else None
    if not isinstance(extra, dict) or not all(_one_text(extra.get(_EXTRA + name)) for name in ("name", "uid")):
        return "its token is not bound to a pod"
    return None


def missing_token() -> NotAuthenticated:
    """Return the problem of a request without the token of a pod."""
    return _refused(MISSING, "this request has no token of the pod of its session")


def refusal(why: str) -> NotAuthenticated:
    """Return the problem of a request that does not come from the pod of its session."""
    return _refused(REFUSED, f"this request does not come from the pod of its session: {why}")


def _refused(code: str, detail: str) -> NotAuthenticated:
    return NotAuthenticated(detail, remedy="restart the server from the hub", extensions={"code": code})


def _unavailable(remedy: str | None = None) -> Unavailable:
    return Unavailable("Kubernetes cannot be asked which pod this request comes from", remedy=remedy)


def _one_text(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0] != ""


def _cache_key(token: str | None, session_id: str) -> str:
    return hash_credential(f"{session_id} {token}")
