"""The progress display: what it shows, when it is drawn by itself, and how it says that it stands still."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.notebook.display import progress as progress_module
from aizen_hub.notebook.display.progress import JOB_MIME, ProgressDisplay
from tests.notebook.display.markup import NASTY, VALUES, check

ID = "0" * 38 + "1a2b3c4d"


class Recorder:
    """Stands for the display of a front end."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, output: ProgressDisplay, display_id: bool = False) -> Recorder:
        self.update(output)
        return self

    def update(self, output: ProgressDisplay) -> None:
        self.texts.append(output.text())


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(progress_module, "display", recorder)
    return recorder


@given(
    st.dictionaries(
        st.sampled_from(["event", "fraction", "message", "line"]), VALUES | st.sampled_from(["progress", "log"])
    )
)
def test_any_event_can_be_drawn(event: dict[str, Any]) -> None:
    progress = ProgressDisplay(NASTY)
    progress._drawn_at = float("inf")
    progress.update(event)
    check(progress)


def test_it_names_its_job_and_how_to_attach() -> None:
    progress = ProgressDisplay("start training churn")
    assert "aizen-stale" not in progress._html()
    progress.job_id, progress.fraction = ID, 0.25
    bundle = check(progress, JOB_MIME)
    assert "1a2b3c4d" in bundle["text/plain"]
    markup = bundle["text/html"]
    # Hidden until it is older than a display that is still drawn can be.
    assert "animation:aizen-stale 0s 20s both" in markup
    assert progress_module.HEARTBEAT_SECONDS * 2 < progress_module._STALE_SECONDS
    assert "<code>%aizen attach 1a2b3c4d</code>" in markup
    assert bundle[JOB_MIME] == {
        "job_id": ID, "line": "start training churn", "state": "running", "percent": 25.0, "message": "", "log": [],
    }  # fmt: skip


@pytest.mark.parametrize(("state", "attaches"), [("done", False), ("failed", False), ("lost", True)])
def test_an_ended_job_does_not_ask_to_attach(state: str, attaches: bool) -> None:
    progress = ProgressDisplay("start training churn")
    progress.job_id = ID
    progress.finish(state)
    assert ("%aizen attach" in progress._html()) == attaches


def test_without_news_it_says_what_is_waited_for(shown: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "WAITING_SECONDS", 0.2)
    monkeypatch.setattr(progress_module, "HEARTBEAT_SECONDS", 0.2)
    with ProgressDisplay("list trainings") as progress:
        progress.waiting_for = "waiting for the access service"
        end = time.monotonic() + 60
        while len(shown.texts) < 3 and time.monotonic() < end:
            time.sleep(0.05)
    assert len(shown.texts) >= 3, "drawn once for the wait, and again and again"
    assert all("waiting for the access service" in text for text in shown.texts)
    drawn = len(shown.texts)
    time.sleep(0.8)
    assert len(shown.texts) == drawn, "nothing is drawn after its end"


def test_a_quick_command_draws_nothing(shown: Recorder) -> None:
    with ProgressDisplay("list trainings") as progress:
        progress.waiting_for = "waiting for the access service"
        progress.finish("done")
    assert shown.texts == []
