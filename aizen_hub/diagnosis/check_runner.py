"""Runs checks, each on its own: the fault that one of them finds must not hide those of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from aizen_hub.diagnosis.check_result import CheckResult
from aizen_hub.problems import Problem


class Check(NamedTuple):
    """One check: what it concerns, as in "not checked: …", and the function that makes it."""

    subject: str
    run: Callable[..., Iterable[CheckResult]]


def run_each(checks: Iterable[Check], *arguments: Any) -> Iterator[CheckResult]:
    """Run the checks with these arguments; what keeps one from its end is a result as well."""
    for check in checks:
        try:
            yield from check.run(*arguments)
        except Problem as error:
            yield not_checked(check.subject, error.detail, error.remedy)
        except PermissionError as error:
            reason = f"{error.strerror}: {error.filename}"
            yield not_checked(check.subject, reason, "run this command under the service's account")
        except Exception as error:  # noqa: BLE001 - the installation is faulty in a way that no check expects
            yield not_checked(check.subject, str(error) or type(error).__name__)


def not_checked(subject: str, reason: str, remedy: str | None = None) -> CheckResult:
    return CheckResult.error(
        "not-checked", subject, f"not checked: {subject}: {reason}", remedy or "correct that, and run it again"
    )
