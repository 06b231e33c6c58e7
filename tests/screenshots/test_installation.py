"""The invented installation of the pictures: every change of its history is still accepted, and every page opens."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.browser.panel import running_panel
from tests.screenshots.installation import History, fixed_time
from tests.screenshots.pictures import PICTURES


def test_every_page_of_a_picture_opens(tmp_path: Path) -> None:
    with fixed_time() as clock, running_panel(tmp_path, populated=False) as panel:
        ids = History(panel, clock).make()
        texts = {picture.name: panel.get(picture.user, picture.path.format(**ids)) for picture in PICTURES}
    assert "1 request and 1 pending change wait for you." in texts["home"]
    assert "rita may not start training in churn" in texts["why"]
