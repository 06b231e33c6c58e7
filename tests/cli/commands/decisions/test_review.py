"""``aizen-hub review``: each command as the request that it sends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import RecordingServer

END = "2027-01-31T00:00:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "request_sent"),
    [
        (("list", "churn"), ("GET", "reviews?scope=churn", None)),
        (("start", "churn", "--note", "x"), ("POST", "reviews", {"scope": "churn", "note": "x"})),
        (
            ("start", "churn", "--due", "2027-01-31T00:00Z"),
            ("POST", "reviews", {"scope": "churn", "note": "", "deadline": END}),
        ),
        (("show", "f00", "--only", "never-used"), ("GET", "reviews/f00?show=never-used", None)),
        (
            ("decide", "f00", "4", "5", "--remove"),
            (
                "POST",
                "reviews/f00/decisions",
                {"decisions": [{"assignment": 4, "choice": "remove"}, {"assignment": 5, "choice": "remove"}]},
            ),
        ),
        (
            ("decide", "f00", "4", "--shorten", "--until", "2027-01-31T00:00Z"),
            ("POST", "reviews/f00/decisions", {"decisions": [{"assignment": 4, "choice": "shorten", "until": END}]}),
        ),
        (
            ("decide", "f00", "4", "--open"),
            ("POST", "reviews/f00/decisions", {"decisions": [{"assignment": 4, "choice": None}]}),
        ),
        (("fill", "f00", "keep-used"), ("POST", "reviews/f00/fill", {"rule": "keep-used"})),
        (("carry-out", "f00", "--dry-run"), ("POST", "reviews/f00/carry-out", None)),
        (("undo", "f00"), ("POST", "reviews/f00/undo", {})),
        (("undo", "f00", "4"), ("POST", "reviews/f00/undo", {"assignments": [4]})),
        (("finish", "f00"), ("POST", "reviews/f00/finish", None)),
        (("unused", "--project", "churn"), ("GET", "unused-access?scope=churn", None)),
    ],
)
def test_a_command_sends_its_request(
    recording_server: RecordingServer, arguments: tuple[str, ...], request_sent: tuple[str, str, Any]
) -> None:
    answer = recording_server.run("review", *arguments)
    assert answer.return_value == 0, answer.output
    assert recording_server.requests == [request_sent]


@pytest.mark.parametrize(
    "arguments",
    [
        ("decide", "f00", "4"),
        ("decide", "f00", "4", "--shorten"),
        ("decide", "f00", "4", "--keep", "--until", "2027-01-31T00:00Z"),
        ("decide", "f00", "--keep"),
        ("decide", "f00", "0", "--keep"),
        ("fill", "f00", "everything"),
    ],
)
def test_a_wrong_call_sends_nothing(recording_server: RecordingServer, arguments: tuple[str, ...]) -> None:
    assert recording_server.run("review", *arguments).exception is not None
    assert recording_server.requests == []
