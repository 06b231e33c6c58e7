"""Completion in a real IPython shell: words from the catalog, names from the service within a bounded time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter

from aizen_hub.notebook import completion as completion_module
from aizen_hub.notebook.client import NotebookClient
from aizen_hub.notebook.command_runner import CommandRunner
from aizen_hub.notebook.completion import NAMES_SECONDS, make_matcher
from tests.fixtures.timing import wait_until
from tests.notebook.service_double import ServiceDouble


def completions(shell: Any, text: str) -> list[str]:
    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(text, len(text))]


def test_completion_after_the_magic(shell: Any, double: ServiceDouble) -> None:
    assert "training" in completions(shell, "%aizen start tr")
    assert completions(shell, "%aizen request PROJECT_RE") == ["PROJECT_READER"]
    assert set(completions(shell, "%aizen list data-")) >= {"data-quality", "data-drift"}
    assert "start" in completions(shell, "%aizen sta")
    assert "off" in completions(shell, "%aizen of")
    assert completions(shell, "%aizen start tr") == ["training"], "no completions of Python"
    assert double.catalog_requests == 1


def test_completion_in_plain_text(shell: Any, double: ServiceDouble) -> None:
    assert "training" not in completions(shell, "start tr"), "the catalog is not fetched for Python's completions"
    assert double.catalog_requests == 0
    completions(shell, "%aizen ")
    assert completions(shell, "start tr") == ["training"]
    assert "PROJECT_READER" in completions(shell, "grant role PROJECT_R")
    assert any(word.endswith("PROJECT_READER") for word in completions(shell, "grant role PROJECT_ADMIN,PROJECT_R"))
    assert "dataclasses" in completions(shell, "import da"), "Python's modules are still completed"
    shell.user_ns["training_set"] = 1
    assert "training_set" in completions(shell, "training_s")
    assert "training_set" in completions(shell, "x = training_s")


def test_completion_sends_one_request_to_an_unreachable_service(
    double: ServiceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.catalog_status = 503
    matcher = make_matcher(CommandRunner(NotebookClient.from_environment(double.environment())))
    for _ in range(5):
        context = CompletionContext(token="s", full_text="%aizen s", cursor_position=8, cursor_line=0, limit=None)
        assert matcher(context)["completions"] == []
    assert double.catalog_requests == 1


def test_names_come_from_the_service(shell: Any, double: ServiceDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_module, "NAMES_SECONDS", 20.0)
    double.names = ("churn", "chart", "epochs=")
    completions(shell, "%aizen ")
    assert completions(shell, "start training ch") == ["chart", "churn"]
    assert completions(shell, "%aizen start training ch") == ["chart", "churn"]
    assert double.completed == ["start training ch"] * 2, "asked for the arguments of a command only"
    double.names = ("PROJECT_READER,PROJECT_EXECUTOR",)
    assert "PROJECT_READER,PROJECT_EXECUTOR" in {
        text if "," in text else f"PROJECT_READER,{text}"
        for text in completions(shell, "grant role PROJECT_READER,PROJECT_E")
    }


def test_a_slow_service_delays_no_completion(shell: Any, double: ServiceDouble) -> None:
    double.names, double.completion_seconds = ("churn",), 30.0
    completions(shell, "%aizen ")
    started = time.monotonic()
    assert completions(shell, "start training ch") == []
    # The names are given up long before the service answers.
    assert time.monotonic() - started < 10 * NAMES_SECONDS + 5
    assert completions(shell, "start training ch") == []
    wait_until(lambda: double.completed)
    assert len(double.completed) == 1, "and it is not asked again for a while"


def test_subjects_of_questions_are_completed(shell: Any, double: ServiceDouble) -> None:
    completions(shell, "%aizen ")
    assert completions(shell, "can i start tr") == ["training"]
    assert completions(shell, "who can start tr") == ["training"]
    assert completions(shell, "request PROJECT_RE") == ["PROJECT_READER"]
