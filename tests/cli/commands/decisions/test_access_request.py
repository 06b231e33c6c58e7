"""``aizen-hub request``: the list shows what waits for the user as well as the user's own requests."""

from __future__ import annotations

import pytest

from tests.cli.conftest import RecordingServer


@pytest.mark.parametrize(("options", "which"), [([], "all"), (["--to-decide"], "to-decide"), (["--mine"], "mine")])
def test_the_list_shows_what_waits_for_the_user(
    recording_server: RecordingServer, options: list[str], which: str
) -> None:
    answer = recording_server.run("request", "list", *options)
    assert answer.return_value == 0, answer.output
    assert recording_server.requests == [("GET", f"requests?which={which}", None)]
