"""Following an operation: lines or a bar, Ctrl-C, an interruption, and a service that is away for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
import pytest

from aizen_hub.cli import operation_progress
from aizen_hub.cli.operation_progress import LineProgress, TerminalProgress, follow_operation
from aizen_hub.client.errors import Unreachable
from aizen_hub.client.sync_client import SyncClient
from aizen_hub.problems import Conflict, Denied, Problem, Unavailable


def operation(state: str = "running", phase: str = "staging", done: int = 0, total: int = 0, **more: Any) -> Any:
    progress = {"phase": phase, "done": done, "total": total}
    return {"id": "7", "state": state, "progress": progress, "result": None, "problem": None, **more}


class Service(SyncClient):
    """A client whose answers are given; an exception among them is raised."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answers: Iterator[Any] = iter(answers)
        self.sent: list[tuple[str, str]] = []

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        self.sent.append((method, path))
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FAST_SECONDS", "_SLOW_SECONDS"):
        monkeypatch.setattr(operation_progress, name, 0.001)


SUCCEEDED = operation("succeeded", result={"message": "done"})
CANCELLED = operation(
    "cancelled",
    problem={"type": "/services/aizen/docs/problems/operation-cancelled", "status": 409, "detail": "was cancelled"},
)


def test_a_log_gets_a_line_for_each_phase_and_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [operation(phase="comparing"), *(operation(done=number, total=1000) for number in range(0, 1000, 10))]
    assert follow_operation(Service(*steps, SUCCEEDED), operation(phase="waiting")) == {"message": "done"}
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["waiting", "comparing", "staging"]
    assert lines[3:] == [f"staging: {number} of 1,000 ({number // 10} %)" for number in range(100, 1000, 100)]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert follow_operation(Service(operation(done=5, total=10), SUCCEEDED), operation())["message"] == "done"
    view = TerminalProgress()
    view.show("staging", 5, 10)
    view.show("recording", 0, 0)
    view.close()


def test_its_problem_is_raised_with_its_type() -> None:
    problem = {"type": "/services/aizen/docs/problems/denied", "status": 403, "detail": "no", "remedy": "ask"}
    with pytest.raises(Denied, match="no") as caught:
        follow_operation(Service(operation("failed", problem=problem)), operation())
    assert caught.value.remedy == "ask"
    interrupted = {
        "type": "/services/aizen/docs/problems/operation-interrupted",
        "status": 503,
        "detail": "the service ended",
    }
    with pytest.raises(Problem, match="the service ended"):
        follow_operation(Service(operation("interrupted", problem=interrupted)), operation())


def test_ctrl_c_cancels_it_and_waits_for_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(KeyboardInterrupt(), operation(), operation(), CANCELLED)
    with pytest.raises(click.Abort):
        follow_operation(service, operation())
    assert ("DELETE", "/api/v1/operations/7") in service.sent
    assert "was cancelled" in capsys.readouterr().err


def test_ctrl_c_after_its_effect_shows_the_result() -> None:
    service = Service(KeyboardInterrupt(), Conflict("it has taken effect"), operation(phase="recording"), SUCCEEDED)
    assert follow_operation(service, operation()) == {"message": "done"}


def test_a_restart_of_the_service_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [Unreachable("no response"), Unavailable("starting")]
    assert follow_operation(Service(*away, operation(), *away, SUCCEEDED), operation()) == {"message": "done"}
    monkeypatch.setattr(operation_progress, "_UNREACHABLE_SECONDS", 0.0)
    with pytest.raises(Unreachable):
        follow_operation(Service(*[Unreachable("no response")] * 50), operation())


def test_lines_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineProgress()
    for _ in range(3):
        view.show("staging", 55, 100)
    assert capsys.readouterr().err == "staging: 55 of 100 (55 %)\n"
