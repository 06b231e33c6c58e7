"""Checks of the further hubs, as the service reaches them: whether each answers, and has the secret of its entry."""

from __future__ import annotations

from collections.abc import Iterator

from aizen_hub.client.sync_client import SyncClient
from aizen_hub.diagnosis.check_result import CheckResult, in_settings
from aizen_hub.diagnosis.installation import Installation
from aizen_hub.hub_settings import FurtherHubSettings
from aizen_hub.problems import NotAuthenticated, NotFound, Problem
from aizen_hub.secret_files import SecretFileError, read_secret

_SECONDS = 5.0
_HUB_HEADER = "x-jupyterhub-version"
_USER = "doctor"
"""Of whom the tokens are asked for; it need not exist."""


def check_further_hubs(installation: Installation) -> Iterator[CheckResult]:
    for hub in installation.settings.further_hubs:
        try:
            secret = read_secret(hub.secret_file)
        except SecretFileError:
            continue  # reported with the secret files
        yield _check_hub(hub, secret)


def _check_hub(hub: FurtherHubSettings, secret: str) -> CheckResult:
    client = SyncClient(hub.api_url.rstrip("/"), f"Bearer {secret}", deadline=_SECONDS)
    try:
        # Asked without the secret first, which is for a hub only.
        _, headers = client.probe()
        if _HUB_HEADER not in headers:
            return _report_silence(hub, "what answers there is no hub")
        # An endpoint that changes nothing, and that our hubs alone have.
        client.post("/aizen/tokens", {"user": _USER})
    except NotFound:
        pass  # the hub has no such user
    except NotAuthenticated:
        return CheckResult.error(
            "hub-secret-differs",
            in_settings(f"further_hubs.{hub.id}.secret_file"),
            f"the hub `{hub.id}` has another secret: it and the service refuse each other",
            f"copy {hub.secret_file} to the file that hub_secret_file of its aizen.yaml names, and restart that hub",
        )
    except Problem as error:
        return _report_silence(hub, error.detail)
    return CheckResult.passed("further-hub", f"the hub `{hub.id}` answers, and has its secret")


def _report_silence(hub: FurtherHubSettings, why: str) -> CheckResult:
    return CheckResult.warning(
        "further-hub",
        in_settings(f"further_hubs.{hub.id}.api_url"),
        f"the hub `{hub.id}` does not answer, so a stop does not reach it: {why}",
        "start that hub, and let the machine of the service connect to its API",
    )
